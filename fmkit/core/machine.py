"""What the kernel tells of memory: what this process holds, what it may hold, what is free; and
when Python looks for garbage."""

from __future__ import annotations

import contextlib
import gc
import os
import re
from collections.abc import Iterator
from pathlib import Path

PROC, CONTROL = Path("/proc"), Path("/sys/fs/cgroup")
"""Where the kernel shows processes, and control groups (version 1 or 2)."""


def resident_bytes() -> int:
    """Bytes of memory that this process holds (its resident set)."""
    try:
        pages = int((PROC / "self" / "statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def memory_limit(proc: Path = PROC, control: Path = CONTROL) -> int | None:
    """Bytes that this process may hold at most; None where the system does not tell.

    The machine's memory, or what the control groups above the process allow where that is less.
    """
    amounts = [_number(folder / name) for folder, (name, _) in _groups(proc, control)]
    found = [each for each in (_total(proc), *amounts) if each is not None]
    return min(found, default=None)


def free_memory(proc: Path = PROC, control: Path = CONTROL) -> int | None:
    """Bytes that can be allocated now; None where the system does not tell.

    The machine's, or what the control groups above the process leave where that is less.
    """
    amounts = [_left(folder, *names) for folder, names in _groups(proc, control)]
    found = [each for each in (_machine(proc), *amounts) if each is not None]
    return max(0, min(found)) if found else None


def _total(proc: Path) -> int | None:
    amount = _told(proc, "MemTotal")
    if amount is not None:
        return amount
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _machine(proc: Path) -> int | None:
    amount = _told(proc, "MemAvailable")
    if amount is not None:
        return amount
    try:  # macOS tells how much there is, not how much is free
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return None


def _told(proc: Path, name: str) -> int | None:
    try:
        found = re.search(rf"{name}:\s+(\d+) kB", (proc / "meminfo").read_text())
    except OSError:
        return None
    return int(found.group(1)) * 1024 if found else None


def _groups(proc: Path, control: Path) -> Iterator[tuple[Path, tuple[str, str]]]:
    """Each control group above this process, with its files of limit and use, both versions."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, inner = rest.partition(":")
        if controllers == "":
            top, names = control, ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            top, names = control / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        folder = top / inner.lstrip("/")
        for each in (folder, *folder.parents):  # a container may show only the top
            if each == top or top in each.parents:
                yield each, names


def _left(folder: Path, limit_name: str, usage: str) -> int | None:
    most, used = _number(folder / limit_name), _number(folder / usage)
    if most is None or used is None:
        return None
    try:
        stat = (folder / "memory.stat").read_text()
    except OSError:
        return None
    cached = re.search(r"^(?:total_)?inactive_file (\d+)", stat, re.MULTILINE)
    return most - used + (int(cached.group(1)) if cached else 0)  # page cache gives way


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such file, or the word `max`
        return None


_has_loaded = False


@contextlib.contextmanager
def gc_paused_imports() -> Iterator[None]:
    """Import large libraries without looking for garbage, and never look at what they leave.

    TensorFlow and Keras leave half a million objects for good; to go through them again and again,
    while they come and at each collection afterwards, took a tenth of a short run's time.
    """
    global _has_loaded
    if _has_loaded or not gc.isenabled():  # a sweep's later job has garbage, which is to be found
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        _has_loaded = True


def available_cores() -> int:
    """Processor cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # only Linux tells which cores this process may use
        return os.cpu_count() or 1


def set_library_defaults() -> None:
    """Set environment variables that TensorFlow reads when it is imported; the user's own win."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # only errors: notes are not for users
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    # TensorFlow turns oneDNN on by itself only where the CPU has AVX-512. On an AVX2 machine an
    # EfficientNet-Lite0 at 224 px ran 1.5 to 2 times as fast with it, forward and backward.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
