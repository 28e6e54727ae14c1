"""The machine: memory, its limit by cgroups, cores, local time, and settings for imports."""

import contextlib
import datetime
import functools
import gc
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
"""Where Linux shows processes and control groups (version 1 or 2)."""

_MEMORY_FILES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    2: ("memory.max", "memory.current"),
}
_CPU_FILES = {1: ("cpu.cfs_quota_us", "cpu.cfs_period_us"), 2: ("cpu.max",)}
"""Microseconds of processor time in a period, and the period, by version."""


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
    groups = _groups("memory", proc, cgroups)
    limits = [_read_integer(folder / _MEMORY_FILES[version][0]) for folder, version in groups]
    limits.append(_machine_memory(proc, "MemTotal"))
    return min((limit for limit in limits if limit is not None), default=None)


def free_memory(proc: Path = PROC, cgroups: Path = CGROUPS) -> int | None:
    """Bytes free now: on the machine, or less by the process's control groups; None: unknown."""
    machine = _machine_memory(proc, "MemAvailable", 0.5)
    free = [] if machine is None else [machine]
    for folder, version in _groups("memory", proc, cgroups):
        limit, usage = (_read_integer(folder / name) for name in _MEMORY_FILES[version])
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


def _groups(controller: str, proc: Path, cgroups: Path) -> Iterator[tuple[Path, int]]:
    """The control groups of this process for `memory` or `cpu`, innermost first, with the version
    of their files."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, inner = (*line.split(":", 2), "", "")[:3]
        if controllers == "":
            root, version = cgroups, 2
        elif controller in controllers.split(","):
            root, version = cgroups / controller, 1
        else:
            continue
        folder = root / inner.lstrip("/")
        for group in (folder, *folder.parents):  # a container may see only the root
            if group == root or root in group.parents:
                yield group, version


def _read_integer(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such file, or the word `max`
        return None


is_own_process = False
"""Whether the command line, and not a program of the user's, runs this process."""

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


@contextlib.contextmanager
def hidden_modules(*names: str) -> Iterator[None]:
    """Let imports find some modules not installed, unless they have been imported before."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let NumPy's linear algebra run on one thread, for matrices that are small.

    Its threads spin while they wait for each other: with other work on the cores, products of
    hundreds of rows took ten times as long on two threads as on one.
    """
    with _threadpools().limit(limits=1, user_api="blas"):
        yield


@functools.cache
def _threadpools() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()  # it looks through all loaded libraries


def local_time() -> str:
    """The local time with its zone, ISO 8601, to the second."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def available_cores(proc: Path = PROC, cgroups: Path = CGROUPS) -> int:
    """Processor cores that this process may use: by its affinity, and by the time that its control
    groups give it (`docker run --cpus`), rounded up."""
    cores = _cores_by_affinity()
    for folder, version in _groups("cpu", proc, cgroups):
        with contextlib.suppress(OSError, ValueError):  # no limit: "max", -1 or no file
            texts = [(folder / name).read_text() for name in _CPU_FILES[version]]
            quota, period = (int(number) for number in " ".join(texts).split())
            if quota > 0 and period > 0:
                cores = min(cores, -(-quota // period))
    return cores


def contention() -> float:
    """How many times as long work takes beside that of other processes as alone, about; 1 to 5.

    By the load of the last minute on all processors of the machine.
    """
    try:
        load = os.getloadavg()[0]
    except OSError:
        return 1.0
    return min(max(load / (os.cpu_count() or 1), 1.0), 5.0)


def _cores_by_affinity() -> int:
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
    # TensorFlow starts as many threads as the affinity has cores; where a control group gives less
    # time than that, they would take it from each other.
    cores = available_cores()
    if cores < _cores_by_affinity():
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(cores))
        os.environ.setdefault("TF_NUM_INTEROP_THREADS", str(cores))
