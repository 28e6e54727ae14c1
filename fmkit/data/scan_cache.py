"""What the scan found before, by path, size and time of change: a photo is decoded once, not anew.

A SQLite file, `<cache_dir>/scans.sqlite`. It is a convenience: where it cannot be read or written
the scan goes on without it, and one that is damaged or of another version is begun anew.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from fmkit.data.probe import SIDE, Facts
from fmkit.store.features import SCANS

_VERSION = 1
_KEPT = ("", "empty_file", "truncated", "damaged", "not_image", "too_large")
_COLUMNS = "kind, why, format, mode, width, height, animated, blank, digest, thumbnail"
_SCHEMA = f"""
CREATE TABLE photos (path BLOB PRIMARY KEY, size INTEGER, changed INTEGER, {_COLUMNS});
CREATE TABLE pairs (one BLOB, other BLOB, alike REAL, PRIMARY KEY (one, other));
PRAGMA user_version = {_VERSION};
"""

State = tuple[int, int]
"""Size in bytes and time of the last change in nanoseconds."""


class ScanCache:
    """The cache in a folder; used by one thread.

    Args:
        folder: where the file is; None: nothing is kept.
    """

    def __init__(self, folder: Path | None) -> None:
        self._connection: sqlite3.Connection | None = None
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._connection = _connect(folder / SCANS)
        except (OSError, sqlite3.Error):
            self._connection = None

    def get(self, path: str, state: State) -> Facts | None:
        """What was found of a file in this state; None when it has to be read."""
        rows = self._rows(
            f"SELECT {_COLUMNS} FROM photos WHERE path = ? AND size = ? AND changed = ?",  # noqa: S608
            (os.fsencode(path), *state),
        )
        if not rows:
            return None
        kind, why, form, mode, width, height, animated, blank, digest, thumbnail = rows[0]
        whole = not kind and len(digest or b"") == 16 and len(thumbnail or b"") == SIDE * SIDE
        if kind not in _KEPT or not (kind or whole):
            return None
        return Facts(
            kind, why, form, mode, width, height, bool(animated), bool(blank), digest, thumbnail
        )

    def put(self, rows: Iterable[tuple[str, State, Facts]]) -> None:
        """Keep what was found; what another user, disk or limit would change is not kept."""
        values = [
            (
                os.fsencode(path), *state, each.kind, each.why, each.format, each.mode, each.width,
                each.height, each.animated, each.blank, each.digest, each.thumbnail,
            )
            for path, state, each in rows
            if each.kind in _KEPT and each.kind != "too_large"
        ]  # fmt: skip
        marks = ", ".join("?" * 13)
        self._write(f"INSERT OR REPLACE INTO photos VALUES ({marks})", values)  # noqa: S608

    def alike(self, one: bytes, other: bytes) -> float | None:
        """How alike two photos were found to be, by their digests; None when it is not known."""
        rows = self._rows(
            "SELECT alike FROM pairs WHERE one = ? AND other = ?", tuple(sorted((one, other)))
        )
        return float(rows[0][0]) if rows else None

    def put_alike(self, rows: Sequence[tuple[bytes, bytes, float]]) -> None:
        """Keep how alike photos are."""
        values = [(*sorted((one, other)), value) for one, other, value in rows]
        self._write("INSERT OR REPLACE INTO pairs VALUES (?, ?, ?)", values)

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None

    def _rows(self, query: str, values: Sequence[object]) -> list[tuple]:
        if self._connection is None:
            return []
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error:
            return []

    def _write(self, query: str, values: Sequence[Sequence[object]]) -> None:
        if self._connection is None or not values:
            return
        try:
            with self._connection:
                self._connection.executemany(query, values)
        except sqlite3.Error:  # the disk is full, or another run is writing
            return


def _connect(path: Path) -> sqlite3.Connection:
    """The file, made anew if it is damaged or of another version.

    Raises:
        sqlite3.Error: it cannot be used, by us or at all.
    """
    for attempt in range(2):
        connection = sqlite3.connect(path, timeout=5)
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == _VERSION:
                connection.execute(f"SELECT {_COLUMNS} FROM photos LIMIT 1")  # noqa: S608
                return connection
            if version == 0 and not connection.execute("SELECT * FROM sqlite_master").fetchall():
                connection.executescript(_SCHEMA)
                return connection
        except sqlite3.OperationalError:  # locked, or may not be written: not ours to remove
            connection.close()
            raise
        except sqlite3.DatabaseError:
            pass
        connection.close()
        if attempt == 0:
            path.unlink()
    raise sqlite3.DatabaseError(f"{path} cannot be made anew")
