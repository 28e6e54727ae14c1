"""Allowed names of models, data and tasks, including those of the user's plugin file."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fmkit.core import console, registry
from fmkit.core.errors import ConfigError
from fmkit.core.files import display_path
from fmkit.store.run_reader import RunReader


def names(file: Any = None) -> dict[str, list[str]]:
    """Allowed values of `model.name`, `data.name` and `task.name`.

    Args:
        file: the user's plugin file, which is run for its names.

    Raises:
        ConfigError: the plugin file is missing or fails.
    """
    from fmkit.data.sources import registry as source_registry
    from fmkit.models import registry as model_registry
    from fmkit.tasks import registry as task_registry

    if file:
        with console.redirect_stderr(Path(os.devnull)):  # importing TensorFlow writes there
            registry.load_plugins(str(file))
    return {
        "model.name": model_registry.names(),
        "data.name": source_registry.names(),
        "task.name": task_registry.names(),
    }


def require(run: RunReader, groups: Sequence[str], allowed: Mapping[str, Sequence[str]]) -> None:
    """Refuse a run that needs a plugin file which the user has not named.

    Args:
        groups: those of its config that are needed, of `model`, `data` and `task`.
        allowed: names, as `names` returns them.

    Raises:
        ConfigError: with the file that the run was made with.
    """
    config = run.config()
    file = config.get("plugins")
    for group in groups:
        values = config.get(group)
        name = values.get("name") if isinstance(values, dict) else None
        if name is not None and name not in allowed[f"{group}.name"]:
            option = f"plugins={display_path(file)}" if isinstance(file, str) else "plugins=FILE"
            raise ConfigError(
                f"run {run.id} has {group}={name}, which is neither fmkit's nor an installed "
                "package's.",
                f"Add {option}. A plugin file is code, so it is run only where you name it.",
            )
