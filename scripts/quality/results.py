"""The file of results: one JSON object a line, by data set, size, method, seed and code."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]
KEY = ("data", "size", "method", "seed", "tag")


def key_of(row: Row) -> tuple[Any, ...]:
    """What a result is of; there is one row for each."""
    return tuple(row[name] for name in KEY)


@dataclass(frozen=True)
class Results:
    """A file of rows that several processes may add to.

    A row has the names of `KEY`, `metric` and `value` (None where the run failed), `metrics` (all
    of the test split), `seconds`, `words` (the settings), `own_head`, `error`, and what else the
    run was.
    """

    path: Path

    def rows(self) -> list[Row]:
        """All rows in their order; of those with one key the last."""
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        parsed = (json.loads(line) for line in text.splitlines() if line.strip())
        return list({key_of(row): row for row in parsed}.values())

    def add(self, row: Row) -> None:
        """Add a row; the file has either the old rows or the new one, too, whatever happens."""
        from fmkit.core import files

        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = self.path.read_bytes() if self.path.exists() else b""
            files.write_bytes(self.path, before + files.to_json(row))

    def done(self, with_failed: bool = True) -> set[tuple[Any, ...]]:
        """The keys that have a row, or a row of a run that did not fail."""
        return {key_of(row) for row in self.rows() if with_failed or not row["error"]}


def code_tag(folders: Iterable[Path]) -> str:
    """A digest of the Python and YAML files below some folders: equal for equal code."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.yaml")]):
            digest.update(f"{path.relative_to(folder)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:8]
