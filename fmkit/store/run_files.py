"""What files of many runs say, cached by their sizes and times: 10,000 configs take long to parse.

A SQLite file per folder of runs, `<cache_dir>/runs/<digest of its path>.sqlite`. It is a
convenience: where it cannot be read or written, every file is read each time.
"""

import contextlib
import hashlib
import json
import os
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fmkit.core import console, files, sqlite_cache
from fmkit.core.errors import plural

FOLDER = "runs"
"""The folder of these files beside the feature cache."""

_LEAST_FILES = 100  # fewer are read as fast as a row of a database
_SETTLED_NANOSECONDS = 2_000_000_000  # what changed since may change again with the same time
_VERSION = 1
_SCHEMA = """
CREATE TABLE files (path BLOB, kind TEXT, size INTEGER, changed INTEGER, content BLOB,
                    PRIMARY KEY (kind, path)) WITHOUT ROWID;
"""
_PROBE = "SELECT path, kind, size, changed, content FROM files LIMIT 1"
FileState = tuple[int, int]
"""Size in bytes and time of the last change in nanoseconds."""
Values = dict[str, Any]


class RunFiles:
    """Reads the files of the runs below a folder; threads may share one."""

    def __init__(self, root: Path) -> None:
        digest = hashlib.sha256(os.fsencode(files.absolute_path(root))).hexdigest()[:20]
        self._cache = files.cache_folder() / FOLDER / f"{digest}.sqlite"

    def read(
        self,
        kind: str,
        paths: Sequence[Path],
        parse: Callable[[Path], Values],
        is_settled: Callable[[Values], bool] = bool,
        is_all: bool = True,
    ) -> list[Values]:
        """What each file says, as values that JSON has; empty where there is none.

        Args:
            kind: names what `parse` makes of a file.
            paths: of files below the root, one of each run.
            parse: reads one; it raises nothing.
            is_settled: whether values depend on nothing but the file.
            is_all: whether there are no other runs, so that what is cached of others can go.
        """
        keys = [os.fsencode(files.absolute_path(path)) for path in paths]
        with (
            self._connected(len(paths)) as connection,
            console.announce_slow(f"reading {kind} of {plural(len(paths), 'run')}"),
        ):
            cached = _rows(connection, kind)
            latest, results, fresh = time.time_ns() - _SETTLED_NANOSECONDS, [], []
            for key, path in zip(keys, paths, strict=True):
                state = _state(key)
                row = cached.get(key)
                if state is None:
                    values: Values = {}
                elif row is not None and row[:2] == state:
                    values = json.loads(zlib.decompress(row[2]))
                else:
                    values = parse(path)
                    if state[1] < latest and is_settled(values):
                        content = zlib.compress(json.dumps(values).encode(), level=1)
                        fresh.append((key, kind, *state, content))
                results.append(values)
            gone = cached.keys() - set(keys) if is_all else set()
            _update(connection, kind, fresh, gone)
        return results

    @contextlib.contextmanager
    def _connected(self, count: int) -> Iterator[sqlite3.Connection | None]:
        connection = None
        if count >= _LEAST_FILES:
            with contextlib.suppress(OSError, sqlite3.Error):
                self._cache.parent.mkdir(parents=True, exist_ok=True)
                connection = sqlite_cache.connect(self._cache, _SCHEMA, _VERSION, _PROBE)
        try:
            yield connection
        finally:
            if connection is not None:
                connection.close()


def _state(path: bytes) -> FileState | None:
    """The state of a file; None where there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - of 10,000 files, where Path takes twice as long
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns


def _rows(connection: sqlite3.Connection | None, kind: str) -> dict[bytes, tuple[int, int, bytes]]:
    if connection is None:
        return {}
    try:
        query = "SELECT path, size, changed, content FROM files WHERE kind = ?"
        return {row[0]: row[1:] for row in connection.execute(query, (kind,))}
    except sqlite3.Error:  # as damaged as `connect` did not see
        return {}


def _update(
    connection: sqlite3.Connection | None, kind: str, fresh: Sequence[Any], gone: set[bytes]
) -> None:
    """Cache new rows, and drop those of runs that were removed."""
    if connection is None or not (fresh or gone):
        return
    # The disk may be full, or another process may be writing.
    with contextlib.suppress(sqlite3.Error), connection:
        connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", fresh)
        rows = [(kind, path) for path in gone]
        connection.executemany("DELETE FROM files WHERE kind = ? AND path = ?", rows)
