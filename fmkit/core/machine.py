"""The machine: memory, its limit by cgroups, cores, local time, and settings for imports."""

import contextlib
import datetime
import gc
import os
import re
from collections.abc import Iterator
from pathlib import Path

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
"""Where Linux shows processes and control groups (version 1 or 2)."""


def resident_bytes() -> int:
    """Bytes of memory that this process holds (its resident set)."""
    try:
        pages = int((PROC / "self" / "statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def memory_limit(proc: Path = PROC, cgroups: Path = CGROUPS) -> int | None:
    """Bytes this process may hold: the machine's, or less by its control groups; None: unknown."""
    limits = [_read_integer(folder / limit) for folder, limit, _ in _memory_groups(proc, cgroups)]
    limits.append(_machine_memory(proc, "MemTotal"))
    return min((limit for limit in limits if limit is not None), default=None)


def free_memory(proc: Path = PROC, cgroups: Path = CGROUPS) -> int | None:
    """Bytes free now: on the machine, or less by the process's control groups; None: unknown."""
    machine = _machine_memory(proc, "MemAvailable", 0.5)
    free = [] if machine is None else [machine]
    for folder, limit_file, usage_file in _memory_groups(proc, cgroups):
        limit, usage = _read_integer(folder / limit_file), _read_integer(folder / usage_file)
        if limit is None or usage is None:
            continue
        with contextlib.suppress(OSError):
            statistics = (folder / "memory.stat").read_text()
            # The kernel drops page cache when memory is needed, so that counts as free.
            page_cache = re.search(r"^(?:total_)?inactive_file (\d+)", statistics, re.MULTILINE)
            free.append(limit - usage + (int(page_cache[1]) if page_cache else 0))
    return max(0, min(free)) if free else None


def _machine_memory(proc: Path, field: str, share: float = 1.0) -> int | None:
    """A field of /proc/meminfo in bytes; elsewhere (macOS) a share of all memory."""
    try:
        match = re.search(rf"{field}:\s+(\d+) kB", (proc / "meminfo").read_text())
        if match:
            return int(match[1]) * 1024
    except OSError:
        pass
    try:
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * share)
    except (AttributeError, ValueError, OSError):
        return None


def _memory_groups(proc: Path, cgroups: Path) -> Iterator[tuple[Path, str, str]]:
    """The control groups of this process, innermost first: folder, file of limit, file of usage."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, inner = (*line.split(":", 2), "", "")[:3]
        if controllers == "":  # version 2
            root, names = cgroups, ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            root, names = cgroups / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        folder = root / inner.lstrip("/")
        for group in (folder, *folder.parents):  # a container may see only the root
            if group == root or root in group.parents:
                yield group, *names


def _read_integer(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such file, or the word `max`
        return None


_has_loaded = False


@contextlib.contextmanager
def gc_paused_imports() -> Iterator[None]:
    """Import large libraries with garbage collection off, and freeze what they create.

    TensorFlow and Keras create half a million objects that stay; scanning them, during the import
    and at each later collection, took a tenth of a short run's time.
    """
    global _has_loaded
    if _has_loaded or not gc.isenabled():  # freezing would keep the garbage of a sweep's first jobs
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        _has_loaded = True


def local_time() -> str:
    """The local time with its zone, ISO 8601, to the second."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def available_cores() -> int:
    """Processor cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS has no affinity
        return os.cpu_count() or 1


def set_library_defaults() -> None:
    """Set environment variables that TensorFlow reads when it is imported; the user's own win."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # only errors
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    # TensorFlow enables oneDNN by itself only where the CPU has AVX-512. On an AVX2 machine an
    # EfficientNet-Lite0 at 224 px ran 1.5 to 2 times as fast with it, forward and backward.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
