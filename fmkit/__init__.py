"""fmkit: fine-tune pretrained image and text models on your own data.

    import fmkit
    run = fmkit.finetune("data=image_folder", "data.root=photos")

`import fmkit` is light: the functions and errors below are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fmkit.core.version import VERSION as __version__

if TYPE_CHECKING:
    from fmkit.api import Run, evaluate, finetune, load, predict, pretrain, resume, runs
    from fmkit.core.errors import (
        ArtifactError,
        ConfigError,
        DataError,
        FmkitError,
        FreezeError,
        Interrupted,
        NonFiniteError,
        ResourceError,
    )

__all__ = [
    "ArtifactError",
    "ConfigError",
    "DataError",
    "FmkitError",
    "FreezeError",
    "Interrupted",
    "NonFiniteError",
    "ResourceError",
    "Run",
    "__version__",
    "evaluate",
    "finetune",
    "load",
    "predict",
    "pretrain",
    "resume",
    "runs",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'fmkit' has no attribute {name!r}")
    is_error = name.endswith("Error") or name == "Interrupted"
    return getattr(import_module("fmkit.core.errors" if is_error else "fmkit.api"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
