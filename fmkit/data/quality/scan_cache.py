"""Cached results of the image scan, by path, size and modification time: a photo is decoded once.

A SQLite file, `<cache_dir>/scans.sqlite`. It is a convenience: where it cannot be read or written
the scan runs without it, and one that is damaged or of another version is replaced. A photo takes
some 1.3 kB, nearly all of it the thumbnail, which stays here and not in memory.
"""

import contextlib
import operator
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.core import sqlite_cache
from fmkit.data.quality.image_probe import SIDE, ImageFacts
from fmkit.store.array_cache import SCANS

_VERSION = 4
_PATHS_AT_ONCE = 500
_CACHED_KINDS = ("", "empty_file", "truncated", "damaged", "not_image", "too_large")
_COLUMNS = "kind, why, format, mode, width, height, animated, blank, digest, thumbnail, low, high"
_row_of = operator.attrgetter(*_COLUMNS.split(", "))  # dataclasses.astuple copies deeply
_SCHEMA = f"""
CREATE TABLE photos (path BLOB PRIMARY KEY, size INTEGER, changed INTEGER, {_COLUMNS});
"""
_PROBE = f"SELECT {_COLUMNS} FROM photos LIMIT 1"  # noqa: S608

FileState = tuple[int, int]
"""Size in bytes and time of the last change in nanoseconds."""


class ScanCache:
    """The cache in a folder, or for one scan where there is none; used by one thread."""

    def __init__(self, folder: Path | None) -> None:
        connection = None
        if folder is not None:
            with contextlib.suppress(OSError, sqlite3.Error):
                folder.mkdir(parents=True, exist_ok=True)
                connection = sqlite_cache.connect(folder / SCANS, _SCHEMA, _VERSION, _PROBE)
        if connection is None:
            connection = sqlite3.connect("")  # a temporary file, gone when it is closed
            connection.executescript(_SCHEMA)
        self._connection = connection

    def get(
        self, paths: Sequence[str], states: Sequence[FileState | None]
    ) -> list[ImageFacts | None]:
        """The results about files in these states; None for each that has to be read."""
        rows = self._rows(f"size, changed, {_COLUMNS}", paths)
        return [
            _facts(row[2:]) if row and row[:2] == state else None
            for row, state in zip(rows, states, strict=True)
        ]

    def put(self, rows: Iterable[tuple[str, FileState, ImageFacts]]) -> None:
        """Cache results, except those that another user, disk or limit would change."""
        values = [
            (os.fsencode(path), *state, *_row_of(facts))
            for path, state, facts in rows
            if facts.kind in _CACHED_KINDS and facts.kind != "too_large"
        ]
        # The disk may be full, or another run may be writing.
        with contextlib.suppress(sqlite3.Error), self._connection:
            placeholders = ", ".join("?" * 15)
            insert = f"INSERT OR REPLACE INTO photos VALUES ({placeholders})"  # noqa: S608
            self._connection.executemany(insert, values)

    def thumbnails(self, paths: Sequence[str]) -> np.ndarray:
        """The thumbnails of usable files, (N, SIDE * SIDE) uint8; zeros for one without a row."""
        thumbnails = np.zeros((len(paths), SIDE * SIDE), np.uint8)
        for index, row in enumerate(self._rows("thumbnail", paths)):
            if row and len(row[0] or b"") == SIDE * SIDE:
                thumbnails[index] = np.frombuffer(row[0], np.uint8)
        return thumbnails

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def _rows(self, columns: str, paths: Sequence[str]) -> Iterator[tuple | None]:
        """The row of each file; None where there is none, or the cache cannot be read."""
        keys = [os.fsencode(path) for path in paths]
        for start in range(0, len(keys), _PATHS_AT_ONCE):
            part, rows = keys[start : start + _PATHS_AT_ONCE], {}
            marks = ", ".join("?" * len(part))
            query = f"SELECT path, {columns} FROM photos WHERE path IN ({marks})"  # noqa: S608
            with contextlib.suppress(sqlite3.Error):
                rows = {row[0]: row[1:] for row in self._connection.execute(query, part)}
            yield from (rows.get(key) for key in part)


def _facts(row: Sequence[Any]) -> ImageFacts | None:
    """The facts in the columns of a row; None where they are not those of a whole result."""
    kind, why, form, mode, width, height, animated, blank, digest, thumbnail, *deep = row
    whole = not kind and len(digest or b"") == 16 and len(thumbnail or b"") == SIDE * SIDE
    if kind not in _CACHED_KINDS or not (kind or whole):
        return None
    size = width, height
    return ImageFacts(
        kind, why, form, mode, *size, bool(animated), bool(blank), digest, thumbnail, *deep
    )
