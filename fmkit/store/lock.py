"""Kernel file locks (flock) on runs and caches, heartbeats, and why a run is dead.

The kernel releases a lock when its process ends, however it ends, so a lock is never stale: a run
whose status says `running` and whose lock is free was killed.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import functools
import json
import os
import socket
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from fmkit.core import machine
from fmkit.core.errors import ArtifactError

HEARTBEAT_SECONDS = 1.0
SILENT_SECONDS = 120.0
"""A run on another machine whose lock looks free is dead after so long without a heartbeat."""
_TRIES, _PAUSE_SECONDS = 50, 0.02
_RECORD_BYTES = 512  # constant, so that one write replaces the whole record
_NEARLY_FULL = 0.8  # of the memory limit: a process killed there probably ran out of memory
_TEXT_KEYS, _BYTE_KEYS = (
    ("host", "boot_id", "started", "heartbeat"),
    ("rss_bytes", "memory_limit_bytes"),
)

_memory_limit = functools.cache(machine.memory_limit)
_open_locks: weakref.WeakSet[Lock] = weakref.WeakSet()


class Lock(contextlib.AbstractContextManager["Lock"]):
    """A lock on a file, which is never deleted, so that all processes lock the same file."""

    def __init__(self, path: Path) -> None:
        try:
            # Not mode `a`: the record of a run is written at the file's beginning.
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            self._stream: IO[bytes] = os.fdopen(descriptor, "r+b", buffering=0)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            self._stream = path.open("rb", buffering=0)  # a read-only cache
        _open_locks.add(self)

    def __exit__(self, *error: object) -> None:
        self.close()

    def try_acquire(self, exclusive: bool) -> bool:
        """Acquire the lock if it is free; a call that waits would sleep through a signal."""
        kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        try:
            fcntl.flock(self._stream, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Release the lock."""
        self._stream.close()


def _close_in_child() -> None:
    """A forked worker shares its parent's locks, and would hold them after a kill of the parent.

    Closing is enough: the lock stays with the parent's own descriptor. Programs that a process
    starts do not get the descriptor at all, since Python closes it on exec.
    """
    for lock in list(_open_locks):
        Lock.close(lock)  # nothing more: a thread of the parent may have held any Python lock


os.register_at_fork(after_in_child=_close_in_child)


class RunLock(Lock):
    """The exclusive lock on a run; its file records the process, with a heartbeat every second."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._facts = {"pid": os.getpid(), "started": machine.local_time()}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def begin(self) -> None:
        """Write the record now and every second: memory may run out within seconds."""
        self._write_record()
        self._thread.start()

    def _beat(self) -> None:
        while not self._closed.wait(HEARTBEAT_SECONDS):
            self._write_record()

    def _write_record(self) -> None:
        record = json.dumps({**self._facts, **heartbeat()}).encode().ljust(_RECORD_BYTES)
        # The record is for messages only; a full disk is reported by the writes that matter.
        with contextlib.suppress(OSError, ValueError):
            os.pwrite(self._stream.fileno(), record, 0)

    def close(self) -> None:
        """Release the lock and clear its record."""
        self._closed.set()
        if self._thread.is_alive() and self._facts["pid"] == os.getpid():
            self._thread.join()
            with contextlib.suppress(OSError, ValueError):
                os.ftruncate(self._stream.fileno(), 0)
        super().close()


def acquire_run_lock(path: Path) -> RunLock:
    """Lock a run, by a file in its folder, for the life of this process or until it is closed.

    Raises:
        ArtifactError: another process holds it, here or on a machine that shares the disk.
        OSError: the file cannot be created.
    """
    lock = RunLock(path)
    record = read_record(path)
    silence = _silence(record) if _is_elsewhere(record) else None
    if not _acquire(lock) or (silence is not None and silence < SILENT_SECONDS):
        Lock.close(lock)
        raise ArtifactError(
            f"run {path.absolute().parent.name} is in use by pid {record.get('pid', 'unknown')} "
            f"on host {record.get('host', 'unknown')}, since {record.get('started', 'unknown')}.",
            "Wait until that process has ended, or stop it.",
        )
    lock.begin()
    return lock


def _acquire(lock: Lock) -> bool:
    """Acquire a lock exclusively; an `is_free` elsewhere may hold it for an instant, so retry."""
    for _ in range(_TRIES):
        try:
            if lock.try_acquire(exclusive=True):
                return True
        except OSError:  # a file system without locks: the run is unprotected
            return True
        time.sleep(_PAUSE_SECONDS)
    return False


def is_free(path: Path) -> bool | None:
    """Whether no process holds a lock; None where the file cannot be opened or locked."""
    try:
        with path.open("rb", buffering=0) as stream:
            # Shared, so that two processes that check at once do not see each other.
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def heartbeat() -> dict[str, Any]:
    """Host, boot, time and memory in bytes of this process now."""
    return {
        "host": socket.gethostname(),
        "boot_id": boot_id(),
        "heartbeat": machine.local_time(),
        "rss_bytes": machine.resident_bytes(),
        "memory_limit_bytes": _memory_limit(),
    }


def read_record(path: Path) -> dict[str, Any]:
    """The valid values of the record in a lock's file; empty where there is none."""
    try:
        with path.open("rb") as stream:
            record = json.loads(stream.read(_RECORD_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return _valid_values(record) if isinstance(record, dict) else {}


def _valid_values(record: Mapping[str, Any]) -> dict[str, Any]:
    values = {key: record[key] for key in _TEXT_KEYS if isinstance(record.get(key), str)}
    for key in ("pid", *_BYTE_KEYS):
        if type(record.get(key)) is int and record[key] > 0:
            values[key] = record[key]
    return values


def why_dead(path: Path, status: Mapping[str, Any]) -> str:
    """Why a run whose status says `running` is dead; empty when it is, or may be, alive.

    The status has values that the record in the lock, at `path`, may lack.
    """
    free = is_free(path)
    if free is False:
        return ""
    record = {**_valid_values(status), **read_record(path)}
    if free is None:
        is_here = record.get("host") == socket.gethostname()
        is_gone = is_here and "pid" in record and not _is_process(record["pid"])
        return f"process {record['pid']} does not exist" if is_gone else ""
    if _is_elsewhere(record):
        # Some shared disks keep locks per machine, so that a lock held elsewhere looks free here.
        silence = _silence(record)
        if silence is None or silence < SILENT_SECONDS:
            return ""
        return f"no sign of life from host {record['host']} since {record['heartbeat']}"
    recorded_boot = record.get("boot_id")
    if recorded_boot is not None and recorded_boot != boot_id():
        return "the machine was restarted while it ran"
    used, limit = (record.get(key, 0) for key in _BYTE_KEYS)
    if limit and used >= _NEARLY_FULL * limit:
        amounts = f"{used / 2**30:.1f} of {limit / 2**30:.1f} GiB"
        return f"probably out of memory: it used {amounts}; try a smaller data.batch_size"
    return "killed, or the machine lost power"


def _is_elsewhere(record: Mapping[str, Any]) -> bool:
    """Whether a process ran on another machine; containers of one machine share its kernel."""
    host = record.get("host")
    same_kernel = record.get("boot_id") is not None and record["boot_id"] == boot_id()
    return host is not None and host != socket.gethostname() and not same_kernel


def _silence(record: Mapping[str, Any]) -> float | None:
    last = timestamp(record.get("heartbeat"))
    return None if last is None else time.time() - last


def timestamp(text: str | None) -> float | None:
    """An ISO 8601 time in seconds since 1970; None where it is not one."""
    try:
        return datetime.datetime.fromisoformat(text or "").timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _is_process(number: int) -> bool:
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's, so it exists
        pass
    return True


@functools.cache
def boot_id() -> str | None:
    """The kernel's id of the current boot of the machine; None where it has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
