"""`state.json` of a checkpoint: where the run was, and what it needs to resume.

    {step, phase, epoch, phase_step, best, phase_best, stale, resume: {schema, rows, ...}}

`resume` is missing where only the weights were saved, which training cannot resume from.
"""

from collections.abc import Mapping
from typing import Any

from fmkit.train.phases import Position

SCHEMA = 1
_RESULT_KEYS = {"name", "epochs", "seconds", "best", "skipped"}
_BEST_TYPES: dict[str, Any] = {
    "phase": str, "epoch": int, "step": int, "monitor": str, "value": (int, float),
}  # fmt: skip


def to_json(
    phase: str,
    weights_of: Mapping[str, Any],
    position: Position,
    logs: Mapping[str, float] | None,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """A checkpoint's state as JSON.

    Args:
        weights_of: `epoch` and `step` that the weights are of.
        logs: as in `resume.SavedState`.
        facts: `rows`, `seconds`, `skipped`, `features` and `config` of it.
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
            "row_loss": list(position.row_loss),
            "logs": None if logs is None else dict(logs),
            "results": position.results,
            **facts,
        },
    }


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_mapping_to(kind: Any, value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, kind) for item in value.values())


def is_best(value: Any) -> bool:
    """Whether a value says which epoch is the best, or that there is none."""
    return value is None or all(
        isinstance(value.get(key), kind) for key, kind in _BEST_TYPES.items()
    )


REQUIRED = ("step", "phase", "epoch", "phase_step", "stale")
OPTIONAL = ("best", "phase_best", "resume")
_CHECKS = {
    **dict.fromkeys(REQUIRED, _is_count),
    **dict.fromkeys(OPTIONAL, lambda value: value is None or isinstance(value, dict)),
    "phase": lambda value: isinstance(value, str),
}
_RESUME_CHECKS = {
    "rows": _is_count,
    "row_loss": lambda value: (
        isinstance(value, list)
        and list(map(type, value)) in ([int, int], [int, float], [int, type(None)])
        and value[0] >= 0
    ),
    "logs": lambda value: value is None or _is_mapping_to((int, float), value),
    "seconds": lambda value: isinstance(value, int | float),
    "results": lambda value: (
        isinstance(value, list)
        and all(isinstance(result, dict) and set(result) == _RESULT_KEYS for result in value)
    ),
    "skipped": lambda value: _is_mapping_to(str, value),
    "features": lambda value: value is None or isinstance(value, str),
    "config": lambda value: isinstance(value, dict),
}


def invalid_field(values: Mapping[str, Any]) -> str:
    """The first field of a state with an unknown name or a wrong type, in words; or empty."""
    for key, value in values.items():
        if key not in _CHECKS:
            return f"unknown key {key!r}"
        if not _CHECKS[key](value):
            return f"{key} is {value!r}"
    return ""


def invalid_resume_field(values: Mapping[str, Any]) -> str:
    """The first field of a valid state that training cannot resume from; or empty."""
    invalid = ["phase_step"] if values["phase_step"] > values["step"] else []
    invalid += [key for key in ("best", "phase_best") if not is_best(values[key])]
    resume = values["resume"]
    invalid += [key for key, check in _RESUME_CHECKS.items() if not check(resume.get(key))]
    return invalid[0] if invalid else ""
