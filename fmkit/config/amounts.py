"""How much memory or disk may be used: `4 GiB`, `500 MiB`, or a share such as `25%`."""

from __future__ import annotations

import re

from fmkit import memory
from fmkit.errors import ConfigError, received

_UNITS = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_ALLOWED = "an amount such as `4 GiB` or `500 MiB`"
_SHARE = ", or a share of the free memory such as `25%`"
BUDGET, LIMIT = "runtime.memory_budget", "runtime.cache_limit"
"""Keys that take an amount; only the budget of memory may be a share."""


def problem(key: str, text: str) -> str:
    """What is wrong with the amount of a key; empty when nothing is."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%|[a-zA-Z]+)\s*", text)
    unit = found[2].lower() if found else ""
    if found is None or unit not in (("%", *_UNITS) if key == BUDGET else _UNITS):
        return received(key, text, _ALLOWED + (_SHARE if key == BUDGET else ""))
    if unit == "%" and float(found[1]) > 100:
        return received(key, text, "at most 100%")
    return ""


def parse(text: str, key: str = BUDGET) -> int:
    """Bytes from a text; a share is taken of the memory that is free now.

    Raises:
        ConfigError: the text is no amount, or the free memory cannot be told.
    """
    if wrong := problem(key, str(text)):
        raise ConfigError(wrong)
    number, unit = re.findall(r"[\d.]+|[%a-zA-Z]+", str(text))
    if unit != "%":
        return int(float(number) * _UNITS[unit.lower()])
    free = memory.free()
    if free is None:
        raise ConfigError(
            f"{key} is a share, but this system does not tell its free memory.",
            "Give an amount, such as `4 GiB`.",
        )
    return int(free * float(number) / 100)
