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
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.core import atomic_dir, fault_injection, files
from fmkit.store import run_files
from fmkit.store.lock import Lock

MANIFEST = atomic_dir.MANIFEST
_SHARD_BYTES = 2**26
_DTYPES = ("float32", "float16", "uint16", "uint32")


cache_folder = files.cache_folder

SCANS = "scans.sqlite"
"""The file beside the features with the checks of images (`data/quality/scan_cache`)."""
DOCUMENTS = "documents"
"""The folder beside the features with the checks of documents (`data/quality/document_checks`)."""
PHOTOS = "photos"
"""The folder beside the features with photos out of parquet files (`data/formats/parquet_photos`),
a folder a file, with a lock each as entries have it."""


def clear_scans(root: Path) -> None:
    """Delete the checks of images and documents, and what lists of runs were read from.

    A run that is reading checks has its own copy.
    """
    for folder in (DOCUMENTS, run_files.FOLDER):
        shutil.rmtree(root / folder, ignore_errors=True)
    for suffix in ("", "-journal"):
        (root / f"{SCANS}{suffix}").unlink(missing_ok=True)


def clear_photos(root: Path) -> tuple[int, int, int]:
    """Delete photos out of parquet files; how many folders, their bytes, and how many are in use.

    Commands take them out again where they need them.
    """
    removed = total = in_use = 0
    for folder in _folders(root / PHOTOS):
        size = sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
        if _remove_if_free(folder):
            removed, total = removed + 1, total + size
        else:
            in_use += 1
    return removed, total, in_use


def _folders(parent: Path) -> list[Path]:
    """Entries and leftovers in a folder, which need not be there."""
    if not parent.is_dir():
        return []
    return [
        path for path in parent.iterdir() if path.is_dir() and not path.name.startswith(".trash-")
    ]


def _remove_if_free(folder: Path) -> bool:
    """Delete an entry, or a leftover such as `.tmp-KEY-PID`, unless its key is locked."""
    key = folder.name.split("-")[1] if folder.name.startswith(".") else folder.name
    with Lock(folder.parent / f"{key}.lock") as lock:
        if not lock.try_acquire(exclusive=True):
            return False
        atomic_dir.remove(folder)
    return True


def key_of(facts: dict[str, Any]) -> str:
    """The key of an entry: a hash over everything that its content depends on."""
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Entry:
    """An entry on disk, by its manifest.

    Attributes:
        rows: examples.
        shapes: of one example in each tensor.
        dtype: `float32` or `float16` of features, `uint16` or `uint32` of tokens.
        facts: the values that the key is a hash of.
        provenance: how it was computed, for people.
        bytes: size of all shards.
        used: time of the last use, seconds since 1970.
        shards: row counts, shapes and file names.
        digests: SHA-256 of every file, in the order of the shards.
    """

    folder: Path
    rows: int
    shapes: tuple[tuple[int, ...], ...]
    dtype: str
    facts: dict[str, Any]
    provenance: dict[str, Any]
    bytes: int
    used: float
    shards: tuple[dict[str, Any], ...]
    digests: tuple[str, ...]

    @property
    def key(self) -> str:
        """The name of the entry's folder."""
        return self.folder.name

    def arrays(self, memory_budget_bytes: int, lock: Lock) -> CachedArrays:
        """The arrays, in memory where they fit, else memory-mapped.

        The lock on the entry is released as soon as its files are not needed.
        """
        maps = [[np.load(self.folder / name, mmap_mode="r", allow_pickle=False)
                 for name in shard["files"]] for shard in self.shards]  # fmt: skip
        starts = np.cumsum([0, *(shard["rows"] for shard in self.shards)])
        if self.bytes <= memory_budget_bytes:
            tensors = [np.concatenate(shards) for shards in zip(*maps, strict=True)]
            lock.close()
            return CachedArrays([tensors], np.array([0, self.rows]), None)
        return CachedArrays(maps, starts, lock)


@dataclass(frozen=True)
class CachedArrays:
    """Rows of arrays, shard by shard; memory-mapped files are locked while this object lives."""

    _shards: Sequence[Sequence[np.ndarray]]
    _starts: np.ndarray
    _lock: Lock | None

    @property
    def in_memory(self) -> bool:
        """Whether they are in memory and not memory-mapped."""
        return self._lock is None

    def tensor(self, index: int) -> np.ndarray:
        """All rows of one tensor, (N, *F), in the dtype of the cache."""
        return np.concatenate([shard[index] for shard in self._shards])

    def read(self, rows: np.ndarray, dtype: Any = np.float32) -> list[np.ndarray]:
        """Some rows, (B, *F) of each tensor, in the given dtype."""
        if len(self._shards) == 1:
            return [tensor[rows].astype(dtype, copy=False) for tensor in self._shards[0]]
        batch = [np.empty((len(rows), *tensor.shape[1:]), dtype) for tensor in self._shards[0]]
        shard_of = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(shard_of):
            positions = np.flatnonzero(shard_of == number)
            shard_rows = rows[positions] - self._starts[number]
            for target, tensor in zip(batch, self._shards[number], strict=True):
                target[positions] = tensor[shard_rows]
        return batch


class ArrayCache:
    """The entries of one cache folder.

    Args:
        root: the cache folder; created with the first entry.
        limit_bytes: maximum size of all entries; the least recently used are deleted first.
    """

    def __init__(self, root: Path, limit_bytes: int) -> None:
        self.folder = root / "features"
        self.limit_bytes = limit_bytes

    def lock(self, key: str, exclusive: bool, on_wait: Callable[[], None] | None = None) -> Lock:
        """Keep other processes from writing (and, if exclusive, from reading) an entry.

        For `on_wait` and errors see `get_or_compute`.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = Lock(self.folder / f"{key}.lock")
        try:
            while not lock.try_acquire(exclusive):
                if on_wait is not None:
                    on_wait()
                time.sleep(0.1)
        except BaseException:
            lock.close()
            raise
        return lock

    def get_or_compute(
        self, key: str, compute: Callable[[], None], on_wait: Callable[[], None]
    ) -> tuple[Entry, Lock, bool]:
        """An entry, its lock for reading, and whether it was computed here.

        Of several jobs that need the same entry one computes it, and the others wait.

        Args:
            key: the entry's.
            compute: writes it; called with the exclusive lock.
            on_wait: called repeatedly while another process holds the lock; it may raise.

        Raises:
            OSError: the folder cannot be written.
        """
        is_new = False
        while True:
            lock = self.lock(key, exclusive=False, on_wait=on_wait)
            entry = self.find(key)
            if entry is not None:
                return entry, lock, is_new
            lock.close()
            with self.lock(key, exclusive=True, on_wait=on_wait):
                if self.find(key) is None:  # no other job has written it in the meantime
                    compute()
                    is_new = True

    def find(self, key: str) -> Entry | None:
        """An intact entry, or None; a damaged one is deleted."""
        entry = read_entry(self.folder / key)
        if entry is None or atomic_dir.find_damage(entry.folder):
            with contextlib.suppress(OSError):  # a read-only cache
                atomic_dir.remove(self.folder / key)
            return None
        with contextlib.suppress(OSError):  # a read-only cache
            os.utime(entry.folder / MANIFEST)
        return entry

    def write(
        self,
        key: str,
        facts: dict[str, Any],
        provenance: dict[str, Any],
        dtype: str,
        batches: Iterator[Sequence[np.ndarray]],
    ) -> Entry:
        """Write an entry, in one step.

        Args:
            key: its name; the caller holds the exclusive lock.
            facts, provenance: see `Entry`.
            dtype: one of `_DTYPES`.
            batches: one array (B, *F) per tensor, in the order of the examples.

        Raises:
            OSError: the disk is full or refuses. Nothing is left behind.
        """
        for leftover in self.folder.glob(f".tmp-{key}-*"):  # of a killed writer
            atomic_dir.remove(leftover)
        content: dict[str, Any] = {"dtype": dtype, "facts": facts, "made": provenance}
        with atomic_dir.replacing(self.folder / key, content) as (temporary, _):
            content["shards"] = list(_write_shards(temporary, np.dtype(dtype), batches))
        entry = read_entry(self.folder / key)
        if entry is None:
            raise OSError(f"the entry {self.folder / key} was removed while it was written")
        return entry

    def entries(self) -> list[Entry]:
        """All readable entries, the most recently used first."""
        if not self.folder.is_dir():
            return []
        folders = [
            path for path in self.folder.iterdir() if re.fullmatch("[0-9a-f]{32}", path.name)
        ]
        entries = [entry for folder in folders if (entry := read_entry(folder))]
        return sorted(entries, key=lambda entry: entry.used, reverse=True)

    def make_room(self, bytes_needed: int) -> None:
        """Delete what killed processes left, and the least recently used entries until all fits."""
        for leftover in self.folder.glob(".trash-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        for leftover in (*self.folder.glob(".tmp-*"), *self.folder.glob(".old-*")):
            _remove_if_free(leftover)
        entries = self.entries()
        total = sum(entry.bytes for entry in entries)
        for entry in reversed(entries):
            if total + bytes_needed <= self.limit_bytes:
                return
            if _remove_if_free(entry.folder):
                total -= entry.bytes

    def clear(self, keys: Sequence[str] | None = None) -> tuple[int, int]:
        """Delete entries that are not in use; how many were deleted and how many were in use."""
        folders = _folders(self.folder)
        selected = folders if keys is None else [path for path in folders if path.name in keys]
        removed = sum(map(_remove_if_free, selected))
        return removed, len(selected) - removed


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
            provenance=dict(manifest["made"]),
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
