"""The on-disk cache of arrays that cost a pass to compute: frozen features, packed tokens.

    <cache_dir>/features/<key>/            one entry, whole or absent (`core.atomic_dir`)
        manifest.json                      what it is; size and SHA-256 of every shard
        <tensor>-<shard>.npy               rows in the order of the entry's examples
    <cache_dir>/features/<key>.lock        held by a writer (exclusive) or by readers (shared)

The kernel releases a lock when its process ends, however it ends. So what a killed process left
behind is known by its lock being free, and the next process removes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.core import atomic_dir, fault_injection
from fmkit.store.lock import Lock

MANIFEST = atomic_dir.MANIFEST
_SHARD_BYTES = 2**26
_DTYPES = ("float32", "float16", "uint16", "uint32")


def default_folder() -> Path:
    """`$XDG_CACHE_HOME/fmkit`, or `~/.cache/fmkit`."""
    home = os.environ.get("XDG_CACHE_HOME")
    if home:
        return Path(home) / "fmkit"
    try:
        return Path("~/.cache").expanduser() / "fmkit"
    except RuntimeError:  # a user without a home, as in some containers
        return Path(tempfile.gettempdir()) / f"fmkit-{os.getuid()}"


SCANS = "scans.sqlite"
"""The file beside the features that keeps what is known of photos (`data/scan_cache`)."""


DOCUMENTS = "documents"
"""The folder beside the features that keeps which documents are whole (`data/document_check`)."""


def forget_scans(root: Path) -> None:
    """Remove what is known of photos and documents; a run that is reading it has its own copy."""
    shutil.rmtree(root / DOCUMENTS, ignore_errors=True)
    for suffix in ("", "-journal"):
        (root / f"{SCANS}{suffix}").unlink(missing_ok=True)


def key_of(facts: dict[str, Any]) -> str:
    """The name of an entry: a hash over everything that its content depends on."""
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Entry:
    """An entry on disk, as its manifest tells it.

    Attributes:
        rows: examples.
        shapes: of one example in each tensor.
        dtype: `float32` or `float16` of features, `uint16` or `uint32` of tokens.
        facts: what the key was made of.
        made: how it was computed.
        bytes: of all shards.
        used: when it was last used, seconds since 1970.
        shards: row counts, shapes and file names.
        digests: SHA-256 of every file, in the order of the shards.
    """

    folder: Path
    rows: int
    shapes: tuple[tuple[int, ...], ...]
    dtype: str
    facts: dict[str, Any]
    made: dict[str, Any]
    bytes: int
    used: float
    shards: tuple[dict[str, Any], ...]
    digests: tuple[str, ...]

    @property
    def key(self) -> str:
        """The entry's name."""
        return self.folder.name

    def arrays(self, memory_budget_bytes: int, lock: Lock) -> CachedArrays:
        """The features, in memory where they fit and mapped from disk where not.

        Args:
            memory_budget_bytes: what may be held in memory.
            lock: held on this entry; it is let go of as soon as the files are not needed.
        """
        maps = [[np.load(self.folder / name, mmap_mode="r", allow_pickle=False)
                 for name in shard["files"]] for shard in self.shards]  # fmt: skip
        starts = np.cumsum([0, *(shard["rows"] for shard in self.shards)])
        if self.bytes <= memory_budget_bytes:
            whole = [np.concatenate(tensor) for tensor in zip(*maps, strict=True)]
            lock.close()
            return CachedArrays([whole], np.array([0, self.rows]), None)
        return CachedArrays(maps, starts, lock)


@dataclass(frozen=True)
class CachedArrays:
    """Rows of features, shard by shard; mapped files are locked for as long as this lives."""

    _shards: Sequence[Sequence[np.ndarray]]
    _starts: np.ndarray
    _lock: Lock | None

    @property
    def rows(self) -> int:
        """Examples."""
        return int(self._starts[-1])

    @property
    def in_memory(self) -> bool:
        """Whether they are held, not mapped."""
        return self._lock is None

    def whole(self, place: int) -> np.ndarray:
        """All rows of one tensor, (N, *F), as they are kept."""
        return np.concatenate([shard[place] for shard in self._shards])

    def read(self, rows: np.ndarray, dtype: Any = np.float32) -> list[np.ndarray]:
        """The rows, (B, *F) of a type for each tensor."""
        if len(self._shards) == 1:
            return [tensor[rows].astype(dtype, copy=False) for tensor in self._shards[0]]
        found = [np.empty((len(rows), *tensor.shape[1:]), dtype) for tensor in self._shards[0]]
        shard_of = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(shard_of):
            here = np.flatnonzero(shard_of == number)
            inside = rows[here] - self._starts[number]
            for target, tensor in zip(found, self._shards[number], strict=True):
                target[here] = tensor[inside]
        return found


class FeatureStore:
    """The entries of one cache folder.

    Args:
        root: the cache folder; made when something is written.
        limit_bytes: most that all entries may take; the least recently used go first.
    """

    def __init__(self, root: Path, limit_bytes: int) -> None:
        self.folder = root / "features"
        self.limit_bytes = limit_bytes

    def lock(self, key: str, alone: bool, waiting: Callable[[], None] | None = None) -> Lock:
        """Keep others from writing (and, if `alone`, from reading) an entry.

        Args:
            key: the entry.
            alone: to write it.
            waiting: called again and again while somebody else holds it; it may raise.

        Raises:
            OSError: the folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = Lock(self.folder / f"{key}.lock")
        try:
            while not lock.try_acquire(alone):
                if waiting is not None:
                    waiting()
                time.sleep(0.1)
        except BaseException:
            lock.close()
            raise
        return lock

    def obtain(
        self, key: str, make: Callable[[], None], waiting: Callable[[], None]
    ) -> tuple[Entry, Lock, bool]:
        """An entry, held for reading, and whether it was made here.

        Of several jobs that want the same one makes it, and the others wait.

        Args:
            key: the entry.
            make: writes it; called with the entry held alone.
            waiting: called again and again while somebody else holds it; it may raise.

        Raises:
            OSError: the folder cannot be written.
        """
        made = False
        while True:
            lock = self.lock(key, alone=False, waiting=waiting)
            entry = self.find(key)
            if entry is not None:
                return entry, lock, made
            lock.close()
            with self.lock(key, alone=True, waiting=waiting):
                if self.find(key) is None:  # no other job has made it in the meantime
                    make()
                    made = True

    def find(self, key: str) -> Entry | None:
        """An entry whose every byte is as it was written, or None; a damaged one is removed."""
        entry = read_entry(self.folder / key)
        if entry is None or atomic_dir.find_damage(entry.folder):
            with contextlib.suppress(OSError):  # a cache that may only be read
                atomic_dir.remove(self.folder / key)
            return None
        with contextlib.suppress(OSError):  # a cache that may only be read serves, too
            os.utime(entry.folder / MANIFEST)
        return entry

    def write(
        self,
        key: str,
        facts: dict[str, Any],
        made: dict[str, Any],
        dtype: str,
        batches: Iterator[Sequence[np.ndarray]],
    ) -> Entry:
        """Write an entry; it is there when the manifest is, and not before.

        Args:
            key: its name; must be held alone.
            facts: what the key was made of.
            made: how it was computed, for the record.
            dtype: one of those that an entry may have.
            batches: one array (B, *F) for each tensor, in the order of the examples.

        Raises:
            OSError: the disk is full or refuses. Nothing is left behind.
        """
        for leftover in self.folder.glob(f".tmp-{key}-*"):  # of a killed writer
            atomic_dir.remove(leftover)
        content: dict[str, Any] = {"dtype": dtype, "facts": facts, "made": made}
        with atomic_dir.replacing(self.folder / key, content) as (temporary, _):
            content["shards"] = list(_write_shards(temporary, np.dtype(dtype), batches))
        entry = read_entry(self.folder / key)
        if entry is None:
            raise OSError(f"the entry {self.folder / key} was removed while it was written")
        return entry

    def entries(self) -> list[Entry]:
        """All entries, the most recently used first; broken ones are not among them."""
        if not self.folder.is_dir():
            return []
        found = [
            read_entry(each)
            for each in self.folder.iterdir()
            if re.fullmatch(r"[0-9a-f]{32}", each.name)
        ]
        return sorted((each for each in found if each), key=lambda each: each.used, reverse=True)

    def make_room(self, bytes_needed: int) -> None:
        """Remove what killed processes left, and what was not used for longest until all fits."""
        if not self.folder.is_dir():
            return
        for leftover in self.folder.glob(".trash-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        for leftover in (*self.folder.glob(".tmp-*"), *self.folder.glob(".old-*")):
            self._remove_if_free(leftover, _key_in(leftover.name))
        entries = self.entries()
        total = sum(each.bytes for each in entries)
        for each in reversed(entries):
            if total + bytes_needed <= self.limit_bytes:
                return
            if self._remove_if_free(each.folder, each.key):
                total -= each.bytes

    def clear(self, keys: Sequence[str] | None = None) -> tuple[int, int]:
        """Remove entries that nobody is using; how many went and how many were in use."""
        if not self.folder.is_dir():
            return 0, 0
        names = [
            each.name
            for each in self.folder.iterdir()
            if each.is_dir() and not each.name.startswith(".trash-")
        ]
        chosen = names if keys is None else [each for each in names if each in keys]
        removed = 0
        for name in chosen:
            removed += self._remove_if_free(self.folder / name, _key_in(name))
        return removed, len(chosen) - removed

    def _remove_if_free(self, folder: Path, key: str) -> bool:
        with Lock(self.folder / f"{key}.lock") as lock:
            if not lock.try_acquire(exclusive=True):
                return False
            atomic_dir.remove(folder)
        return True


def _key_in(name: str) -> str:
    """The key in the name of an entry, or of what a killed writer left: `.tmp-KEY-PID`."""
    return name.split("-")[1] if name.startswith(".") else name


def read_entry(folder: Path) -> Entry | None:
    """An entry by its manifest, shards unread; None where the manifest is missing or damaged."""
    try:
        manifest = atomic_dir.manifest(folder)
        shards, rows = tuple(manifest["shards"]), manifest["files"]
        shapes = shards[0]["shapes"]
        if manifest["dtype"] not in _DTYPES:
            return None
        return Entry(
            folder=folder,
            rows=sum(int(shard["rows"]) for shard in shards),
            shapes=tuple(tuple(int(side) for side in shape) for shape in shapes),
            dtype=manifest["dtype"],
            facts=dict(manifest["facts"]),
            made=dict(manifest["made"]),
            bytes=sum(row["bytes"] for row in rows.values()),
            used=(folder / MANIFEST).stat().st_mtime,
            shards=shards,
            digests=tuple(rows[name]["sha256"] for shard in shards for name in shard["files"]),
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None


def _write_shards(
    folder: Path, dtype: np.dtype, batches: Iterator[Sequence[np.ndarray]]
) -> Iterator[dict[str, Any]]:
    """Write batches as shards of some 64 MiB per tensor; yields the manifest's row of each."""
    pending: list[list[np.ndarray]] = []
    size = number = 0
    for batch in batches:
        pending.append([np.asarray(tensor).astype(dtype) for tensor in batch])
        size += max(tensor.nbytes for tensor in pending[-1])
        if size >= _SHARD_BYTES:
            yield _write_shard(folder, number, pending)
            pending, size, number = [], 0, number + 1
    if pending:
        yield _write_shard(folder, number, pending)


def _write_shard(folder: Path, number: int, batches: list[list[np.ndarray]]) -> dict[str, Any]:
    tensors = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
    names = [f"{position}-{number:05d}.npy" for position in range(len(tensors))]
    for name, tensor in zip(names, tensors, strict=True):
        np.save(folder / name, tensor, allow_pickle=False)
    fault_injection.point("extract.shard")
    shapes = [list(tensor.shape[1:]) for tensor in tensors]
    return {"rows": len(tensors[0]), "shapes": shapes, "files": names}
