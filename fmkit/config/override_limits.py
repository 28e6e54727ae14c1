"""What no override may hold, whatever its key: code, Hydra's own settings, endless sweeps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from fmkit.core import safe_yaml, sanitize
from fmkit.core.errors import received, short_repr

MAX_WORDS = 500
"""Overrides on one command line."""

MAX_JOBS = 1_000
"""Jobs of one sweep."""

MAX_DEPTH = 20
"""Brackets inside each other in one override."""

HYDRA = {"hydra/launcher": ("basic",), "hydra/sweeper": ("basic",)}
"""What may be chosen of Hydra's own; the rest names fmkit's folders, or classes to call."""


def word_problem(word: str) -> str:
    """What is wrong with an override before it is parsed; empty when nothing is."""
    key = word.lstrip("+~").partition("=")[0]
    if not key.strip():
        return f"cannot read {short_repr(word)}. Settings are written key=value."
    wrong = sanitize.text_problem(f"the override {short_repr(key, 40)}", word)
    if wrong:
        return wrong
    depth = deepest = 0
    for letter in word:
        depth += (letter in "[{(") - (letter in "]})")
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH or word.count("${") > MAX_DEPTH:
        return f"{key}: more than {MAX_DEPTH} brackets or references inside each other."
    return ""


def override_problem(override: Any) -> str:
    """What is wrong with a parsed override; empty when nothing is."""
    key = override.key_or_group
    for name in [*key.replace("/", ".").split("."), *_keys(override.value())]:
        wrong = safe_yaml.code_problem(name)
        if wrong:
            return f"{override.input_line.partition('=')[0]}: {wrong}"
    if override.package is not None:
        return (
            f"{short_repr(override.input_line)}: fmkit's groups have one place each. Write "
            f"{key}=... "
            f"without `@{override.package}`."
        )
    if key.replace("/", ".").split(".")[0] == "hydra":
        return _hydra_problem(key, override)
    for value in _values(override.value()):
        if isinstance(value, int) and abs(value) >= 2**63:
            return f"{key}: received {short_repr(value)}. Expected a whole number below 2^63."
    return ""


def sweep_problem(overrides: Sequence[Any]) -> str:
    """Whether a sweep has too many jobs; empty when it has not."""
    jobs: float = 1
    for override in overrides:
        if override.is_sweep_override():
            jobs *= max(1, _count(override.value()))
    if jobs <= MAX_JOBS:
        return ""
    many = f"{jobs:,.0f}" if jobs < 1e15 else "endless"
    return f"a sweep of {many} jobs. At most {MAX_JOBS:,} are run."


def _hydra_problem(key: str, override: Any) -> str:
    if key in HYDRA and override.value() in HYDRA[key]:
        return ""
    if key in HYDRA:
        return received(key, str(override.value()), HYDRA[key])
    return (
        f"{key} is Hydra's own, and set by fmkit. Runs go to runs_dir=DIR; of Hydra's own, "
        f"only {' and '.join(HYDRA)} may be chosen."
    )


def _count(sweep: Any) -> float:
    """How many values a sweep goes through."""
    if hasattr(sweep, "list"):
        return len(sweep.list)
    if not all(hasattr(sweep, each) for each in ("start", "stop", "step")):
        return 1  # a glob or an interval, which are refused by their key
    numbers = [float(each or 0) for each in (sweep.start, sweep.stop, sweep.step)]
    start, stop, step = numbers
    if not all(map(math.isfinite, numbers)) or step == 0:
        return math.inf
    return math.ceil((stop - start) / step)


def _keys(value: Any) -> Iterator[str]:
    """The names of all mappings in a value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from _keys(inner)
    elif isinstance(value, list) or hasattr(value, "list"):
        for inner in value if isinstance(value, list) else value.list:
            yield from _keys(inner)


def _values(value: Any) -> Iterator[Any]:
    """The numbers and texts in a value."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from _values(inner)
    elif isinstance(value, list) or isinstance(getattr(value, "list", None), list):
        for inner in value if isinstance(value, list) else value.list:
            yield from _values(inner)
    else:
        yield value
