"""The tasks by name; their rows are in `fmkit.config.registry`."""

from __future__ import annotations

from typing import Any

from fmkit.config import registry as rows
from fmkit.config.registry import TASKS
from fmkit.config.schema.task import TaskConfig
from fmkit.core import registry
from fmkit.core.types import DataSpec
from fmkit.tasks.base import add_defaults


def names() -> list[str]:
    """Every `task.name`, those of plugins included."""
    return registry.names("tasks", TASKS)


def build(config: TaskConfig, spec: DataSpec) -> Any:
    """The task that a config names, for one data set."""
    return add_defaults(rows.load(rows.task_entry(config.name).task)(config, spec))
