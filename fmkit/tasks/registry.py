"""The tasks by name; their rows are in `fmkit.config.registry`."""

from typing import Any

from fmkit.config import registry as rows
from fmkit.config.registry import TASKS
from fmkit.config.schema.task import TaskConfig
from fmkit.core import registry
from fmkit.core.errors import ConfigError
from fmkit.core.modalities import modality_entry
from fmkit.core.types import DataSpec


def names() -> list[str]:
    """Every `task.name`, those of plugins included."""
    return registry.names("tasks", TASKS)


def build(config: TaskConfig, spec: DataSpec) -> Any:
    """The task that a config names, for one data set.

    Raises:
        ConfigError: it learns from another modality.
    """
    from fmkit.tasks.base import add_defaults  # which loads NumPy; a config error comes before

    entry = rows.task_entry(config.name)
    if entry.modality and entry.modality != spec.modality:
        learned, given = (modality_entry(name).plural for name in (entry.modality, spec.modality))
        raise ConfigError(
            f"task.name={config.name} learns from {learned}, but the data are {given}.",
            f"Use a task that learns from {given}.",
        )
    return add_defaults(registry.load(entry.task)(config, spec))
