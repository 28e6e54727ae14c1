"""What is refused before there is a run folder: it takes no framework, and no data, to know it."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fmkit.config.registry import source_entry
from fmkit.config.schema.commands import TrainConfig
from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.config.schema.task import JointConfig
from fmkit.core import optional_packages
from fmkit.core.errors import ArtifactError, ConfigError, DataError, closest_names, join_names
from fmkit.core.files import matching_paths
from fmkit.store.loggers import mlflow

_WITHOUT_PACKAGE = {
    "efficientnet_lite0": ", or give model.weights=none for random weights",
    "minilm": ", or try model=small_bert, which begins with random weights",
    "smollm2": ", or try model=small_gpt, which begins with random weights",
}
"""By model, what does without its packages."""


def refuse(config: TrainConfig) -> None:
    """Refuse a training run that could not begin.

    Raises:
        ConfigError: the model does not read such data, its preset is unknown, or the package of a
            logger is not installed.
        ArtifactError: the package that the model comes in is not installed.
        DataError: the package that the data come in is not installed, or there is no such path.
    """
    require_model(config.model, list(_data_of(config)))
    for data in _data_of(config):
        require_package(data)
        _require_path(data)
    require_loggers(config.runtime)


def require_model(model: ModelConfig, datasets: Sequence[Any]) -> None:
    """Refuse a model that does not read such data, or whose package is not installed.

    Raises:
        ConfigError: the model does not read such data, or its preset is unknown.
        ArtifactError: the package that the model comes in is not installed.
    """
    from fmkit.models import registry

    _require_preset(model.preset)
    reads = registry.modality(model)
    for data in datasets:
        needed = source_entry(data.name).modality
        if reads and needed and reads != needed:
            raise registry.wrong_modality(model, reads, needed)
    if packages := optional_packages.missing(registry.packages(model)):
        names = " and ".join(package.name for package in packages)
        subject = "the package" if len(packages) == 1 else "the packages"
        verb = "is" if len(packages) == 1 else "are"
        without = _WITHOUT_PACKAGE.get(model.name, "")
        raise ArtifactError(
            f"model={model.name} needs {subject} {names}, which {verb} not installed.",
            optional_packages.how_to_install(packages) + without,
        )


def require_loggers(runtime: RuntimeConfig) -> None:
    """Refuse a logger whose package is not installed.

    Raises:
        ConfigError: it is not.
    """
    for name in runtime.loggers or ():
        modules: tuple[str, ...] = (name,)
        if name == "mlflow" and mlflow.needs_database(dataclasses.asdict(runtime.mlflow)):
            modules += ("sqlalchemy", "alembic")
        if packages := optional_packages.missing(modules):
            names = join_names([package.name for package in packages])
            raise ConfigError(
                f"runtime.loggers=[{name}] needs {names}, which "
                f"{'is' if len(packages) == 1 else 'are'} not installed.",
                f"{optional_packages.how_to_install(packages[:1])}, or leave it out",
            )


def require_package(data: Any) -> None:
    """Refuse data whose package is not installed."""
    package = source_entry(data.name).package
    if packages := optional_packages.missing((package,) if package else ()):
        raise DataError(
            f"The package {packages[0].name} is not installed.",
            optional_packages.how_to_install(packages),
        )


def _require_path(data: Any) -> None:
    from fmkit.data.sources.paths import existing_path

    # The folder of a packaged set has a default, and a message of its own.
    root = None if source_entry(data.name).is_packaged else getattr(data, "root", None)
    if root and not Path(matching_paths(root)[0]).exists():
        existing_path(root, "file or folder")


def _data_of(config: TrainConfig) -> Iterator[Any]:
    if isinstance(config.task, JointConfig):
        yield from (objective.data for objective in config.task.objectives.values())
    else:
        yield config.data


def _require_preset(preset: str | None) -> None:
    """Refuse the name of a preset that KerasHub does not have."""
    from fmkit.models.hub import preset_list

    names = preset_list.presets()
    if not preset or preset in names or not names:
        return
    if "://" in preset or Path(preset).expanduser().exists():
        return
    close = closest_names(preset, names)
    meant = f" Did you mean {' or '.join(close)}?" if close else ""
    raise ConfigError(
        f"model.preset: received {preset!r}. Expected a folder or the name of a KerasHub preset of "
        f"images or texts.{meant}"
    )
