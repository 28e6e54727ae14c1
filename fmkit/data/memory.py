"""How much memory may be used: `4 GiB`, `500 MiB`, or a share of what is free."""

from __future__ import annotations

import os
import re
from pathlib import Path

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


def available(proc: Path = Path("/proc"), control: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that can be allocated now: the machine's, or the control group's where that is less.

    Args:
        proc: where the kernel shows processes.
        control: where it shows control groups (version 1 or 2).

    Raises:
        ConfigError: this system does not tell.
    """
    amounts = [_machine(proc), *_groups(proc, control)]
    known = [each for each in amounts if each is not None]
    if not known:
        raise ConfigError(
            "runtime.memory_budget is a share, but this system does not tell its free memory.",
            "Give an amount, such as `4 GiB`.",
        )
    return max(0, min(known))


def _machine(proc: Path) -> int | None:
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", (proc / "meminfo").read_text())
        if found:
            return int(found.group(1)) * 1024
    except OSError:
        pass
    try:  # macOS tells how much there is, not how much is free
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return None


def _groups(proc: Path, control: Path) -> list[int | None]:
    """What each control group above this process leaves free, both versions."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return []
    left: list[int | None] = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, inner = rest.partition(":")
        if controllers == "":
            left += _walk(control, inner, "memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            version_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")
            left += _walk(control / "memory", inner, *version_1)
    return left


def _walk(top: Path, inner: str, limit: str, usage: str) -> list[int | None]:
    """The free bytes of a group and of all those above it; a container may show only the top."""
    folder = top / inner.lstrip("/")
    folders = [folder, *folder.parents]
    below = [each for each in folders if each == top or top in each.parents]
    return [_left(each, limit, usage) for each in below]


def _left(folder: Path, limit: str, usage: str) -> int | None:
    try:
        most, used = int((folder / limit).read_text()), int((folder / usage).read_text())
        stat = (folder / "memory.stat").read_text()
    except (OSError, ValueError):  # no such file, or the word `max`
        return None
    cached = re.search(r"^(?:total_)?inactive_file (\d+)", stat, re.MULTILINE)
    return most - used + (int(cached.group(1)) if cached else 0)  # page cache gives way
