"""The config that a run recorded, typed again, or as overrides for another run."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping
from typing import Any

from fmkit.config import interpolation
from fmkit.config.registry import config_class
from fmkit.config.schema.commands import TrainConfig
from fmkit.config.schema.task import JointConfig, ObjectiveConfig
from fmkit.core.errors import ArtifactError, ConfigError, received
from fmkit.core.files import absolute_path


def section(config: Mapping[str, Any], group: str) -> Any:
    """A group of a recorded config as an object of the dataclass behind its `name`.

    What came from environment variables is looked up again; paths are absolute, as they were.

    Raises:
        ArtifactError: a key or a value does not fit the dataclass.
        ConfigError: an environment variable is not set.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    values = _values(config, group)
    _require_plain(group, values)
    try:
        typed = OmegaConf.structured(_kind(group, values))
        found = OmegaConf.to_object(OmegaConf.merge(typed, values))
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(f"the run's config does not fit ({group}): {reason}.") from error
    if isinstance(found, JointConfig):
        found.objectives = {name: _objective(each) for name, each in found.objectives.items()}
    for name in PATHS.get(group, ()):
        if interpolation.is_interpolated(values.get(name)):
            setattr(found, name, absolute_path(getattr(found, name)))
    return found


def _objective(values: Any) -> ObjectiveConfig:
    """An objective of a joint run as it was recorded, when it was settled."""
    if not isinstance(values, dict) or not isinstance(values.get("weight"), float | int):
        raise ArtifactError("the run's config does not fit (task): an objective is no mapping.")
    task, data = section(values, "task"), section(values, "data")
    return ObjectiveConfig(task=task, data=data, weight=float(values["weight"]))


def task_of(task: Any, objective: str | None) -> tuple[Any, str | None]:
    """The task of a run, or of one objective of a joint run.

    Args:
        task: as it was recorded.
        objective: its name; empty means the primary one.

    Returns:
        The task, and the objective's name where it is not the primary one.

    Raises:
        ConfigError: the run has no such objective.
    """
    if not isinstance(task, JointConfig):
        if objective is not None:
            told = f"objective={objective}: the run has one task, {task.name}. Leave it out."
            raise ConfigError(told)
        return task, None
    if not task.objectives:
        raise ArtifactError("the run's config does not fit (task): it has no objective.")
    first = task.primary or list(task.objectives)[-1]
    chosen = objective or first
    if chosen not in task.objectives:
        raise ConfigError(received("objective", chosen, [*task.objectives]))
    return task.objectives[chosen].task, None if chosen == first else chosen


def for_objective(config: Mapping[str, Any], objective: str | None) -> Mapping[str, Any]:
    """A recorded config with the data of one objective of a joint run as the run's own."""
    if objective is None:
        return config
    task = config.get("task")
    known = task.get("objectives") if isinstance(task, dict) else None
    chosen = known.get(objective) if isinstance(known, dict) else None
    if not isinstance(chosen, dict):
        names = known if isinstance(known, dict) else {}
        raise ConfigError(received("objective", objective, [*names]))
    return {**config, "data": chosen.get("data")}


def train_config(config: Mapping[str, Any]) -> TrainConfig:
    """A recorded config of a training run as an object of its dataclass.

    Raises:
        ArtifactError: a key or a value does not fit.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    groups = {name: section(config, name) for name in _GROUPS}
    others = {key: value for key, value in config.items() if key not in groups}
    _require_plain("config", others)
    try:
        merged: Any = OmegaConf.to_object(
            OmegaConf.merge(OmegaConf.structured(TrainConfig(**groups)), others)
        )
    except OmegaConfBaseException as error:
        raise ArtifactError(
            f"the run's config does not fit: {str(error).splitlines()[0]}."
        ) from error
    if not merged.stage:
        raise ArtifactError("the run's config has no phase.")
    return dataclasses.replace(merged, **groups)


def _require_plain(key: str, value: Any) -> None:
    """Refuse a record of somebody else's that would have more looked up than ours do."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            _require_plain(f"{key}.{name}", each)
    elif isinstance(value, list | tuple):
        for each in value:
            _require_plain(key, each)
    elif interpolation.is_interpolated(value) and (
        wrong := interpolation.recorded_problem(key, value)
    ):
        raise ArtifactError(f"the run's config cannot be used: {wrong.rstrip('.')}.")


_GROUPS = ("model", "data", "optimizer", "task", "runtime")


def overrides(config: Mapping[str, Any], group: str, spared: set[str]) -> list[str]:
    """A group of a recorded config as command-line overrides.

    Args:
        config: the recorded config.
        group: such as `data`.
        spared: full keys to leave out, since the user set them.
    """
    values = _values(config, group, spared)
    known = {each.name for each in dataclasses.fields(_kind(group, values))}
    rows = [f"{group}={quote(values.get('name'))}"]
    for key, value in values.items():
        full = f"{group}.{key}"
        if key in known and key != "name" and full not in spared:
            rows.append(f"{full}={_as_recorded(value)}")
    return rows


PATHS = {"data": ("root", "image_root")}
"""By group, keys of paths."""


def _values(config: Mapping[str, Any], group: str, spared: Collection[str] = ()) -> dict[str, Any]:
    values = config.get(group)
    if not isinstance(values, dict):
        raise ArtifactError(f"the run's config has no {group}.")
    for name, value in values.items():
        key = f"{group}.{name}"
        if key in spared or not interpolation.is_interpolated(value):
            continue
        wrong = interpolation.text_problem(key, value)
        if wrong:
            raise ConfigError(f"as the run recorded it, {wrong}", f"Or set {key} yourself.")
    return values


def _kind(group: str, values: Mapping[str, Any]) -> type:
    return config_class(group, str(values.get("name")))


def _as_recorded(value: Any) -> str:
    """A value of a recorded config, whose texts are as OmegaConf reads them, as an override."""
    if isinstance(value, str) and "${" in value:
        return _between_quotes(value)
    return quote(value)


def quote(value: Any) -> str:
    """A value as Hydra's override grammar reads it back."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return _between_quotes(interpolation.escape(value))
    if isinstance(value, list):
        return f"[{','.join(quote(each) for each in value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _between_quotes(text: str) -> str:
    # Hydra reads a backslash as itself unless a quote follows, and resolves `${` later.
    escaped = re.sub(r"(\\*)'", lambda found: found[1] * 2 + "\\'", text)
    trailing = len(escaped) - len(escaped.rstrip("\\"))
    return "'" + escaped + "\\" * trailing + "'"
