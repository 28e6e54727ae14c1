"""Locks that the kernel keeps: who holds one, whether a run that says it is running still is.

The kernel lets go of a lock when its process ends, however it ends, so a lock is never stale. What
a killed process left behind is known by its lock being free.
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

BEAT_SECONDS = 1.0
SILENT_SECONDS = 120.0
"""After so long without a sign of life, a run on another machine whose lock looks free is dead."""
_TRIES, _PAUSE = 50, 0.02
_RECORD_BYTES = 512  # always the same, so that one write replaces the whole record
_NEAR = 0.8
_TEXTS, _NUMBERS = ("host", "boot_id", "started", "heartbeat"), ("rss_bytes", "memory_limit_bytes")

_open: weakref.WeakSet[Lock] = weakref.WeakSet()


class Lock:
    """A lock on a file; the file stays, so that all who want it meet on it."""

    def __init__(self, path: Path) -> None:
        try:
            # Not `a`: the record of a run is written at the file's beginning.
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            self._stream: IO[bytes] = os.fdopen(descriptor, "r+b", buffering=0)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            self._stream = path.open("rb", buffering=0)  # a cache that may only be read
        _open.add(self)

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def take(self, alone: bool) -> bool:
        """Whether the lock could be had now: a call that waits would sleep through a signal."""
        kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        try:
            fcntl.flock(self._stream, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Let go."""
        self._stream.close()


def _let_go_in_child() -> None:
    """A forked worker shares its parent's locks, and would keep them after a kill of the parent.

    To close is enough: the lock stays with the parent's own descriptor. Programs that a process
    starts do not get the descriptor at all, for Python closes it on exec.
    """
    for each in list(_open):
        Lock.close(each)  # no more than this: a thread of the parent may hold any Python lock


os.register_at_fork(after_in_child=_let_go_in_child)


class RunLock(Lock):
    """A run that this process holds; a record in the file tells who, and beats every second."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._facts = {"pid": os.getpid(), "started": _now()}
        self._ended = threading.Event()
        self._beats = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def begin(self) -> None:
        """Write the record, and again every second: memory that runs out does so in seconds."""
        self._write()
        self._beats.start()

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            self._write()

    def _write(self) -> None:
        record = json.dumps({**self._facts, **heartbeat()}).encode().ljust(_RECORD_BYTES)
        # The record is for messages. A full disk or a closed file is told by whoever needs it.
        with contextlib.suppress(OSError, ValueError):
            os.pwrite(self._stream.fileno(), record, 0)

    def close(self) -> None:
        """Let go, and take the record away, so that nobody waits for this process any more."""
        self._ended.set()
        if self._beats.is_alive() and self._facts["pid"] == os.getpid():
            self._beats.join()
            with contextlib.suppress(OSError, ValueError):
                os.ftruncate(self._stream.fileno(), 0)
        super().close()


def acquire_run_lock(path: Path) -> RunLock:
    """Hold a run for the life of this process, or until it is closed.

    Args:
        path: the lock's file inside the run folder.

    Raises:
        ArtifactError: another process holds the run, here or on a machine that shares the disk.
        OSError: the file cannot be made.
    """
    lock = RunLock(path)
    before = read_record(path)
    if not _had(lock) or _beats_elsewhere(before):
        Lock.close(lock)
        raise ArtifactError(
            f"run {path.absolute().parent.name} is in use by pid {before.get('pid', 'unknown')} "
            f"on host {before.get('host', 'unknown')}, since {before.get('started', 'unknown')}.",
            "Wait until that process has ended, or stop it.",
        )
    lock.begin()
    return lock


def _had(lock: Lock) -> bool:
    """Whether the lock could be had; a look by `is_free` may keep it for an instant."""
    for _ in range(_TRIES):
        try:
            if lock.take(alone=True):
                return True
        except OSError:  # a file system without locks: the run goes on unprotected
            return True
        time.sleep(_PAUSE)
    return False


def is_free(path: Path) -> bool | None:
    """Whether nobody holds a lock; None where there is none to look at."""
    try:
        with path.open("rb", buffering=0) as stream:
            # Shared, so that two who look do not refuse each other.
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def heartbeat() -> dict[str, Any]:
    """What a process says of itself now: where it runs, the time, and its memory in bytes."""
    return {
        "host": socket.gethostname(),
        "boot_id": boot_id(),
        "heartbeat": _now(),
        "rss_bytes": machine.resident_bytes(),
        "memory_limit_bytes": _memory_limit(),
    }


@functools.cache
def _memory_limit() -> int | None:
    return machine.memory_limit()


def read_record(path: Path) -> dict[str, Any]:
    """The record in a lock's file, without what makes no sense; empty where there is none."""
    try:
        with path.open("rb") as stream:
            record = json.loads(stream.read(_RECORD_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return _sane(record) if isinstance(record, dict) else {}


def _sane(record: Mapping[str, Any]) -> dict[str, Any]:
    known = {key: record[key] for key in _TEXTS if isinstance(record.get(key), str)}
    for key in ("pid", *_NUMBERS):
        if type(record.get(key)) is int and record[key] > 0:
            known[key] = record[key]
    return known


def why_dead(path: Path, status: Mapping[str, Any]) -> str:
    """Why a run that says it is running is dead; empty where it lives, or may live.

    Args:
        path: the run's lock.
        status: the run's status, for what the record in the lock does not tell.
    """
    free = is_free(path)
    if free is False:
        return ""
    facts = {**_sane(status), **read_record(path)}
    here = facts.get("host") == socket.gethostname()
    if free is None:
        gone = here and "pid" in facts and not _is_process(facts["pid"])
        return f"process {facts['pid']} is gone" if gone else ""
    if _is_elsewhere(facts):
        # A lock on a shared disk may be one for each machine, so that it looks free from here.
        silent = _seconds_since(facts.get("heartbeat"))
        if silent is None or silent < SILENT_SECONDS:
            return ""
        return f"no sign of life from host {facts['host']} since {facts['heartbeat']}"
    return _cause(facts)


def _cause(facts: Mapping[str, Any]) -> str:
    booted = facts.get("boot_id")
    if booted is not None and booted != boot_id():
        return "the machine was restarted while it ran"
    held, most = (facts.get(key, 0) for key in _NUMBERS)
    if most and held >= _NEAR * most:
        amounts = f"{held / 2**30:.1f} of {most / 2**30:.1f} GiB"
        return f"probably out of memory: it held {amounts}; try a smaller data.batch_size"
    return "killed, or the machine lost power"


def _is_elsewhere(facts: Mapping[str, Any]) -> bool:
    """Whether a process ran under another kernel; containers of one machine share theirs."""
    host = facts.get("host")
    same_kernel = facts.get("boot_id") is not None and facts["boot_id"] == boot_id()
    return host is not None and host != socket.gethostname() and not same_kernel


def _beats_elsewhere(facts: Mapping[str, Any]) -> bool:
    silent = _seconds_since(facts.get("heartbeat"))
    return _is_elsewhere(facts) and silent is not None and silent < SILENT_SECONDS


def _seconds_since(moment: str | None) -> float | None:
    try:
        then = datetime.datetime.fromisoformat(moment or "").timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    return time.time() - then


def _is_process(number: int) -> bool:
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's, so it is there
        return True
    return True


@functools.cache
def boot_id() -> str | None:
    """What the kernel calls the time since the machine was started; None where it does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None


def _now() -> str:
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")
