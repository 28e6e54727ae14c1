"""How much memory may be used: `4 GiB`, `500 MiB`, or a share of what is free."""

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
_ALLOWED = "an amount such as `4 GiB` or `500 MiB`, or a share of the free memory such as `25%`"


def parse_memory(text: str, key: str = "runtime.memory_budget") -> int:
    """Bytes from a text; a share is taken of the memory that is free now.

    Raises:
        ConfigError: the text is neither amount nor share, or the free memory cannot be told.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%|[a-zA-Z]+)\s*", str(text))
    unit = found.group(2).lower() if found else ""
    if found is None or (unit != "%" and unit not in _UNITS):
        raise ConfigError(received(key, text, _ALLOWED))
    number = float(found.group(1))
    if unit != "%":
        return int(number * _UNITS[unit])
    if number > 100:
        raise ConfigError(received(key, text, "at most 100%"))
    return int(available() * number / 100)


def available() -> int:
    """Bytes that can be allocated now: the machine's, or the control group's where that is less.

    Raises:
        ConfigError: this system does not tell.
    """
    amount = memory.free()
    if amount is None:
        raise ConfigError(
            "runtime.memory_budget is a share, but this system does not tell its free memory.",
            "Give an amount, such as `4 GiB`.",
        )
    return amount
