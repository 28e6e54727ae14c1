"""Rules that a type cannot say: allowed names, ranges, and what does not go together."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf import MISSING

from fmkit.config import rules
from fmkit.config.schema.keys import KeyInfo, info_of
from fmkit.core import sanitize
from fmkit.core.errors import Problem, join_names, received, short_repr


def leaves(config: Any, prefix: str = "") -> Iterator[tuple[str, KeyInfo, Any]]:
    """Rows (full key, what is known of it, value) of a typed config."""
    for field in dataclasses.fields(config):
        key, value = f"{prefix}{field.name}", getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{key}.")
        elif isinstance(value, dict) and field.name in ("objectives", "stage"):
            for name, inner in value.items():
                if dataclasses.is_dataclass(inner):  # an objective is a mapping until it is typed
                    yield from leaves(inner, f"{key}.{name}.")
        else:
            yield key, info_of(field), value


def rule_of(key: str) -> str:
    """A full key with `*` for a phase's name; of an objective's task and data, the group's key."""
    parts = key.split(".")
    if parts[:2] == ["task", "objectives"] and len(parts) > 3:
        own = parts[3:] if len(parts) > 4 else ["task", "objectives", "*", parts[3]]
        return ".".join(own)
    return ".".join(["stage", "*", *parts[2:]]) if parts[0] == "stage" else key


def value_problem(key: str, info: KeyInfo, value: Any, names: Mapping[str, Sequence[str]]) -> str:
    """What is wrong with one value of the right type; empty when nothing is.

    Args:
        key: full key.
        info: what its field says of it.
        value: of the field's type.
        names: allowed values of `model.name`, `data.name` and `task.name`.
    """
    if value is None:
        return ""
    if isinstance(value, list):
        return _list_problem(key, value)
    if isinstance(value, float) and not math.isfinite(value):
        return received(key, value, "a finite number")
    if isinstance(value, int) and abs(value) >= 2**63:
        return received(key, value, "a whole number below 2^63")
    if isinstance(value, str) and (wrong := sanitize.text_problem(key, value)):
        return wrong
    if value == MISSING:
        return f"{key}: `{MISSING}` stands for a value that is missing. Write one."
    if value == "":
        return f"{key} must not be empty. Leave it out, or write null where nothing is meant."
    # YAML has read `true` as a truth value, where that is one of the choices.
    choice = str(value).lower() if isinstance(value, bool) else value
    if info.choices and choice not in info.choices:
        return received(key, value, info.choices)
    if (rule := rule_of(key)) in names and value not in names[rule]:
        return received(key, value, names[rule])
    if info.range and not info.range.contains(float(value)):
        return received(key, value, info.range.phrase)
    return info.check(key, value) if info.check else ""


def reading_problem(info: KeyInfo, kind: Any, value: Any, text: str) -> str:
    """Whether YAML reads a text as something else, such as `yes` as True; empty when it does not.

    Args:
        info: what the key's field says of it.
        kind: the field's type.
        value: as it was read.
        text: as it was written; empty where that is not known.
    """
    if not text or not isinstance(value, bool | int | float) or str(value) == text:
        return ""
    if info.may_be_number or "true" in info.choices or kind not in (str, str | None):
        return ""
    what = "a truth value" if isinstance(value, bool) else "a number"
    return f"{text} is read as {what} and would become {str(value)!r}. Write it in quotes"


def problems(config: Any, names: Mapping[str, Sequence[str]]) -> list[Problem]:
    """Everything wrong with a typed config, all at once.

    Args:
        config: an object of one of the command dataclasses.
        names: allowed values of `model.name`, `data.name` and `task.name`, from the rooms' tables.
    """
    rows = ((key, value_problem(key, info, value, names)) for key, info, value in leaves(config))
    found = [Problem(key, message) for key, message in rows if message]
    if any(problem.key.endswith(".name") for problem in found):
        return found  # the rules look rows up by these names
    return [*found, *rules.problems(config)]


def _list_problem(key: str, values: Sequence[Any]) -> str:
    """What is wrong with a list of names; empty when nothing is."""
    if not values:
        return f"{key} must not be empty. Leave it out, or write null where nothing is meant."
    for each in values:
        if isinstance(each, dict | list) or each in (None, ""):
            return received(key, values, "a list of names, such as [one,two]")
        if "${" in str(each):
            return (
                f"{key}: {short_repr(each)} refers to something, which a name in a list must not."
            )
        if wrong := sanitize.text_problem(key, str(each)):
            return wrong
    repeated = [str(each) for number, each in enumerate(values) if each in values[:number]]
    return f"{key}: duplicate entries: {join_names(repeated)}." if repeated else ""
