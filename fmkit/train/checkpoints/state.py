"""`state.json` of a checkpoint: where the run was, and what it needs to resume.

    {step, phase, epoch, phase_step, best, phase_best, stale, resume: {schema, rows, ...}}

`resume` is missing where only the weights were saved, which training cannot resume from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from fmkit.train.position import Position

SCHEMA = 1
_COUNTS = ("step", "epoch", "phase_step", "stale")
_OBJECTS = ("best", "phase_best", "resume")
_RESULT_KEYS = {"name", "epochs", "seconds", "best", "skipped"}
_BEST_TYPES: dict[str, Any] = {
    "phase": str, "epoch": int, "step": int, "monitor": str, "value": (int, float),
}  # fmt: skip


def to_json(
    phase: str,
    weights_of: Mapping[str, Any],
    position: Position,
    rows: int,
    logs: Mapping[str, float] | None,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """A checkpoint's state as JSON.

    Args:
        phase: the phase's name.
        weights_of: `epoch` and `step` that the weights are of.
        position: where the run is.
        rows: as in `resume.SavedState`, like the next one.
        logs: see there.
        facts: `seconds`, `skipped`, `features` and `config` of it.
    """
    return {
        "phase": phase,
        "epoch": weights_of["epoch"],
        "phase_step": weights_of["step"] - position.phase_start,
        "best": position.best,
        "phase_best": position.phase_best,
        "stale": position.stale,
        "resume": {
            "schema": SCHEMA,
            "rows": rows,
            "row_loss": list(position.row_loss),
            "logs": None if logs is None else dict(logs),
            "results": position.results,
            **facts,
        },
    }


def position_of(values: Mapping[str, Any]) -> Position:
    """The position that a valid state says."""
    steps, mean = values["resume"]["row_loss"]
    return Position(
        step=values["step"],
        phase_start=values["step"] - values["phase_step"],
        epoch=values["epoch"],
        best=values["best"],
        phase_best=values["phase_best"],
        stale=values["stale"],
        row_loss=(steps, math.nan if mean is None else float(mean)),
        results=list(values["resume"]["results"]),
    )


def with_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """A state with None for what may be missing."""
    return {**dict.fromkeys(_OBJECTS), **values}


def missing_fields(values: Mapping[str, Any]) -> list[str]:
    """What every state must have and this one lacks."""
    return [key for key in (*_COUNTS, "phase") if key not in values]


def invalid_field(values: Mapping[str, Any]) -> str:
    """The first field of a state with an unknown name or a wrong type, in words; or empty."""
    for key, value in values.items():
        if key in _COUNTS:
            is_valid = type(value) is int and value >= 0
        elif key in _OBJECTS:
            is_valid = value is None or isinstance(value, dict)
        elif key == "phase":
            is_valid = isinstance(value, str)
        else:
            return f"unknown key {key!r}"
        if not is_valid:
            return f"{key} is {value!r}"
    return ""


def invalid_resume_field(values: Mapping[str, Any]) -> str:
    """The first field of a valid state that training cannot resume from; or empty."""
    resume = values["resume"]
    checks: dict[str, Callable[[Any], bool]] = {
        "rows": _is_count,
        "row_loss": _is_row_loss,
        "logs": lambda logs: logs is None or _is_mapping(logs, (int, float)),
        "seconds": lambda seconds: isinstance(seconds, int | float),
        "results": _are_results,
        "skipped": lambda skipped: _is_mapping(skipped, str),
        "features": lambda digest: digest is None or isinstance(digest, str),
        "config": lambda config: isinstance(config, dict),
    }
    if values["phase_step"] > values["step"]:
        return "phase_step"
    invalid = [key for key in ("best", "phase_best") if not is_best(values[key])]
    invalid += [key for key, is_valid in checks.items() if not is_valid(resume.get(key))]
    return invalid[0] if invalid else ""


def is_best(value: Any) -> bool:
    """Whether a value says which epoch is the best, or that there is none."""
    return value is None or all(
        isinstance(value.get(key), kind) for key, kind in _BEST_TYPES.items()
    )


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_row_loss(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    return _is_count(value[0]) and isinstance(value[1], int | float | type(None))


def _is_mapping(value: Any, kind: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, kind) for item in value.values())


def _are_results(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(result, dict) and set(result) == _RESULT_KEYS for result in value
    )
