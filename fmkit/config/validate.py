"""Rules that a type cannot say: allowed names, ranges, and what does not go together."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from omegaconf import MISSING

from fmkit.config import rules, trainable, units
from fmkit.config.constraints import CHOICES, RANGES
from fmkit.config.registry import BASES, COMMANDS, all_config_classes
from fmkit.config.schema.docs import field_types
from fmkit.config.schema.runtime import PhaseConfig
from fmkit.config.schema.task import ObjectiveConfig
from fmkit.core import sanitize
from fmkit.core.errors import FmkitError, Problem, join_names, received, short_repr

BOOLEAN = "runtime.jit"
"""A choice that YAML may have read as a truth value: `True` is `true`."""

DURATIONS = {
    "stage.*.epochs": "epochs",
    "optimizer.warmup": "steps",
    "optimizer.step_every": "steps",
}
"""Keys that take a duration, with the unit of a bare number."""

INTERVAL = "runtime.save_every"
"""The key that takes an interval."""

NUMBERS = (*DURATIONS, INTERVAL, units.BUDGET, units.LIMIT)
"""Keys of texts that may be a bare number."""

TRAIN = "stage.*.train"

RATES = "stage.*.rates"


def leaves(config: Any, prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    """Rows (full key, key with `*` for a phase's name, value) of a typed config."""
    for field in dataclasses.fields(config):
        key, value = f"{prefix}{field.name}", getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{key}.")
        elif field.name == "objectives":
            for name, each in value.items():
                if isinstance(each, ObjectiveConfig):  # else it is not settled yet
                    for full, _, inner in leaves(each, f"{key}.{name}."):
                        yield full, rule_of(full), inner
        elif isinstance(value, dict) and field.name == "stage":
            for phase, each in value.items():
                for full, _, inner in leaves(each, f"stage.{phase}."):
                    yield full, f"stage.*.{full.split('.')[-1]}", inner
        else:
            yield key, key, value


def rule_of(key: str) -> str:
    """A full key with `*` for a phase's name; of an objective's task and data, the group's key."""
    parts = key.split(".")
    if parts[:2] == ["task", "objectives"] and len(parts) > 3:
        own = parts[3:] if len(parts) > 4 else ["task", "objectives", "*", parts[3]]
        return ".".join(own)
    return ".".join(["stage", "*", *parts[2:]]) if parts[0] == "stage" else key


def value_problem(key: str, rule: str, value: Any, names: Mapping[str, Sequence[str]]) -> str:
    """What is wrong with one value of the right type; empty when nothing is."""
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
    if rule in CHOICES and (str(value).lower() if rule == BOOLEAN else value) not in CHOICES[rule]:
        return received(key, value, CHOICES[rule])
    if rule in names and value not in names[rule]:
        return received(key, value, names[rule])
    if rule in RANGES and not RANGES[rule][1](float(value)):
        return received(key, value, RANGES[rule][0])
    if rule in DURATIONS:
        return _duration_problem(key, str(value), DURATIONS[rule])
    if rule in (units.BUDGET, units.LIMIT):
        return units.bytes_problem(key, str(value))
    if rule == INTERVAL:
        return _interval_problem(key, str(value))
    if rule == TRAIN:
        return _train_problem(key, value)
    if rule == RATES:
        return _rates_problem(key, value)
    return ""


def reading_problem(rule: str, value: Any, text: str) -> str:
    """Whether a text would not be what was written: YAML reads `yes` as True; empty when it is.

    Args:
        rule: the key, with `*` for a phase's name.
        value: as it was read.
        text: as it was written; empty where that is not known.
    """
    if not text or not isinstance(value, bool | int | float) or str(value) == text:
        return ""
    if rule in NUMBERS or rule == BOOLEAN or not _takes_text(rule):
        return ""
    what = "a truth value" if isinstance(value, bool) else "a number"
    return f"{text} is read as {what} and would become {str(value)!r}. Write it in quotes"


@cache
def _texts() -> frozenset[str]:
    kinds = [(group, kind) for group in BASES for kind in all_config_classes(group)]
    rows = [*kinds, ("stage.*", PhaseConfig), *(("", kind) for kind in COMMANDS.values())]
    return frozenset(
        f"{prefix}.{name}".lstrip(".")
        for prefix, kind in rows
        for name, wanted in field_types(kind).items()
        if wanted in (str, str | None)
    )


def _takes_text(rule: str) -> bool:
    return rule in _texts()


def problems(config: Any, names: Mapping[str, Sequence[str]]) -> list[Problem]:
    """Everything wrong with a typed config, all at once.

    Args:
        config: an object of one of the command dataclasses.
        names: allowed values of `model.name`, `data.name` and `task.name`, from the rooms' tables.
    """
    told = ((key, value_problem(key, rule, value, names)) for key, rule, value in leaves(config))
    found = [Problem(key, message) for key, message in told if message]
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
    twice = [str(each) for number, each in enumerate(values) if each in values[:number]]
    return f"{key}: {join_names(twice)} stands in it twice." if twice else ""


def _duration_problem(key: str, text: str, unit: str) -> str:
    allowed = "`500 steps`, `10 epochs`, or a number of epochs"
    if unit == "steps":
        allowed = "`500 steps`, `2 epochs` or `5%`"
    try:
        found = units.parse_duration(text, unit)
        if unit == "steps" or found.steps(steps_per_epoch=1000) >= 1:
            return ""
    except FmkitError:
        return received(key, text, allowed)
    return received(key, text, "a length above 0", f"To leave the phase out: ~{_parent(key)}")


def _interval_problem(key: str, text: str) -> str:
    try:
        units.parse_interval(text)
    except FmkitError as error:
        return f"{key}: {error.message}"
    return ""


def _train_problem(key: str, text: str) -> str:
    try:
        trainable.parse(text, key)
    except FmkitError as error:
        return error.message
    return ""


def _rates_problem(key: str, rates: Mapping[str, float]) -> str:
    for pattern, factor in rates.items():
        wrong = trainable.pattern_problem(pattern)
        if wrong:
            return received(key, pattern, f"a regular expression for names of blocks ({wrong})")
        if not 0 < factor < math.inf:
            what = "a factor above 0; to keep a block frozen, name the others in train"
            return received(f"{key}.{pattern}", factor, what)
    return ""


def _parent(key: str) -> str:
    return key.rpartition(".")[0]
