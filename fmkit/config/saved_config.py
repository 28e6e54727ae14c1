"""The config that a run recorded, typed again, or as overrides for another run."""

import dataclasses
import re
import shlex
from collections.abc import Collection, Mapping
from typing import Any

from fmkit.config import interpolation
from fmkit.config.registry import config_class
from fmkit.config.schema.commands import TrainConfig
from fmkit.config.schema.keys import field_types
from fmkit.config.schema.task import JointConfig, ObjectiveConfig
from fmkit.core.errors import ArtifactError, ConfigError, received
from fmkit.core.files import input_path

_PLAIN = re.compile(r"(?!(null|true|false|inf|nan)$)(\.{0,2}/)?[a-z_][a-z0-9_./-]*", re.IGNORECASE)
"""Texts that Hydra reads as they are, without quotes."""

_OLDER = {"data": {"refit": "false"}, "model": {"normalize": "none"}}
"""By group, what keys mean that a run of an earlier version does not have; others their default."""


def section(config: Mapping[str, Any], group: str) -> Any:
    """A group of a recorded config as an object of the dataclass behind its `name`.

    What came from environment variables is looked up again; paths are absolute, as they were.

    Raises:
        ArtifactError: a key or a value does not fit the dataclass.
        ConfigError: an environment variable is not set.
    """
    values = {**_OLDER.get(group, {}), **_values(config, group)}
    _require_plain(group, values)
    typed = _merged(config_class(group, str(values.get("name"))), values, f" ({group})")
    if isinstance(typed, JointConfig):
        typed.objectives = {name: _objective(row) for name, row in typed.objectives.items()}
    for name in ("root", "image_root", "relabel") if group == "data" else ():
        if interpolation.is_interpolated(values.get(name)):
            setattr(typed, name, input_path(getattr(typed, name)))
    return typed


def _objective(values: Any) -> ObjectiveConfig:
    """An objective of a joint run as it was recorded, when its weight and data were decided."""
    if not isinstance(values, dict) or not isinstance(values.get("weight"), float | int):
        raise ArtifactError("the run's config does not fit (task): an objective is not a mapping.")
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
            message = f"objective={objective}: the run has one task, {task.name}. Leave it out."
            raise ConfigError(message)
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
    objectives = task.get("objectives") if isinstance(task, dict) else None
    objectives = objectives if isinstance(objectives, dict) else {}
    chosen = objectives.get(objective)
    if not isinstance(chosen, dict):
        raise ConfigError(received("objective", objective, [*objectives]))
    return {**config, "data": chosen.get("data")}


def train_config(config: Mapping[str, Any]) -> TrainConfig:
    """A recorded config of a training run as an object of its dataclass.

    Raises:
        ArtifactError: a key or a value does not fit.
    """
    groups = {
        name: section(config, name) for name in ("model", "data", "optimizer", "task", "runtime")
    }
    others = {key: value for key, value in config.items() if key not in groups}
    _require_plain("config", others)
    merged = _merged(TrainConfig(**groups), others)
    if not merged.stage:
        raise ArtifactError("the run's config has no phase.")
    return dataclasses.replace(merged, **groups)


def _merged(schema: Any, values: Mapping[str, Any], part: str = "") -> Any:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), values))
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(f"the run's config does not fit{part}: {reason}.") from error


def _require_plain(key: str, value: Any) -> None:
    """Refuse a record of somebody else's that would have more looked up than ours do."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _require_plain(f"{key}.{name}", inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _require_plain(key, inner)
    elif interpolation.is_interpolated(value) and (
        problem := interpolation.recorded_problem(key, value)
    ):
        raise ArtifactError(f"the run's config cannot be used: {problem.rstrip('.')}.")


def overrides(config: Mapping[str, Any], group: str, spared: set[str]) -> list[str]:
    """A group of a recorded config as command-line overrides.

    Args:
        config: the recorded config.
        group: such as `data`.
        spared: full keys to leave out, since the user set them.
    """
    values = _values(config, group, spared)
    fields = field_types(config_class(group, str(values.get("name"))))
    rows = [f"{group}={quote(values.get('name'))}"]
    for key, value in values.items():
        # What `auto` meant there says nothing of another run.
        is_own = key in fields and key not in ("name", "refit")
        if is_own and f"{group}.{key}" not in spared:
            # A recorded `${` is a reference, or escaped already.
            is_written = isinstance(value, str) and "${" in value
            rows.append(f"{group}.{key}={_in_quotes(value) if is_written else quote(value)}")
    return rows


def _values(config: Mapping[str, Any], group: str, spared: Collection[str] = ()) -> dict[str, Any]:
    values = config.get(group)
    if not isinstance(values, dict):
        raise ArtifactError(f"the run's config has no {group}.")
    for name, value in values.items():
        key = f"{group}.{name}"
        if key in spared or not interpolation.is_interpolated(value):
            continue
        if problem := interpolation.text_problem(key, value):
            raise ConfigError(f"as the run recorded it, {problem}", f"Or set {key} yourself.")
    return values


def quote(value: Any) -> str:
    """A value as Hydra's override grammar reads it back."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return _in_quotes(interpolation.escape(value))
    if isinstance(value, list):
        return f"[{','.join(map(quote, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _in_quotes(text: str) -> str:
    # Hydra reads a backslash as itself unless a quote follows, and resolves `${` later.
    escaped = re.sub(r"(\\*)'", lambda match: match[1] * 2 + "\\'", text)
    trailing = len(escaped) - len(escaped.rstrip("\\"))
    return "'" + escaped + "\\" * trailing + "'"


def setting(key: str, value: Any) -> str:
    """A key and its value as an override, in quotes only where Hydra wants them."""
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) and _PLAIN.fullmatch(text) for text in values):
        return f"{key}={quote(value)}"
    return f"{key}=[{','.join(values)}]" if isinstance(value, list) else f"{key}={value}"


def typed_setting(key: str, text: str) -> str:
    """As `setting`, of a value as it was typed: a list, a number or true stays one."""
    is_readable = text.isascii() and not set(text) & set("()'\"{}=$\\")
    return f"{key}={text}" if is_readable else setting(key, text)


def shell_word(word: str) -> str:
    """An override as one types it in a shell: quotes that Hydra reads are inside others."""
    is_simple = "'" in word and not set('"$`\\!\n') & set(word)
    return f'"{word}"' if is_simple else shlex.quote(word)


def shell_setting(key: str, value: Any) -> str:
    """A key and its value as one types them in a shell, whatever characters the value has."""
    return shell_word(setting(key, value))
