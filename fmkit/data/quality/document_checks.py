"""Checks of text documents in files: every byte is read once before anything is trained.

That nothing was wrong is kept in `<cache_dir>/documents/`, by path, size and modification time of
all files, so that a second run on the same data reads none of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fmkit.config.schema.data import DataConfig
from fmkit.core import files, safe_io
from fmkit.core.safe_io import RefusedFile
from fmkit.data.content.documents import Documents, is_table
from fmkit.data.examples import Examples, ProgressCallback
from fmkit.data.findings import Finding, UnusableInput, printable
from fmkit.data.formats import file_type
from fmkit.data.quality.inspect import ContentScan
from fmkit.store.array_cache import DOCUMENTS

_SCHEMA = 1
_MAX_ROWS = 1000  # of a table that get a finding each
_PROGRESS_EVERY = 1000  # parts


def check(
    examples: Examples,
    config: DataConfig,
    cache_folder: Path | None,
    progress: ProgressCallback | None,
) -> ContentScan:
    """Read the files of documents; other texts were checked when they were listed."""
    if not isinstance(examples.content, Documents):
        return ContentScan()
    return ContentScan(document_findings(examples.ids, examples.content, cache_folder, progress))


def document_findings(
    ids: Sequence[str],
    content: Documents,
    cache_folder: Path | None,
    progress: ProgressCallback | None = None,
) -> list[Finding]:
    """What is wrong with files of documents, a finding a file, or a row of a table.

    Args:
        cache_folder: where it is kept that nothing was wrong; None: nowhere.
    """
    passed = None if cache_folder is None else cache_folder / DOCUMENTS / f"{content.digest()}.json"
    if passed is not None:
        with contextlib.suppress(OSError, ValueError, AttributeError):  # it was never written
            if safe_io.read_json(passed).get("schema") == _SCHEMA:
                return []
    findings = []
    numbers, firsts = np.unique(content.file_of, return_index=True)
    for number, first, end in zip(numbers, firsts, [*firsts[1:], len(ids)], strict=True):
        if progress is not None:
            progress(int(first), len(ids))
        bad_rows = _BadRows()
        fault = _file_fault(content, int(number), bad_rows, progress)
        file = content.files[number]
        if fault is None:
            findings += bad_rows.findings(printable(file.name))
        else:
            findings.append(
                Finding(fault[0], file.name, fault[1], tuple(ids[first:end]), file.path)
            )
    if not findings and passed is not None:
        with contextlib.suppress(OSError):  # a convenience
            passed.parent.mkdir(parents=True, exist_ok=True)
            files.write_json(passed, {"schema": _SCHEMA, "documents": len(ids)})
    return findings


def _file_fault(
    content: Documents, number: int, bad_rows: _BadRows, progress: ProgressCallback | None
) -> tuple[str, str] | None:
    """Kind and reason of what is wrong with a file; `bad_rows` gets a table's unusable rows."""
    file, is_empty, good = content.files[number], True, 0
    try:
        for position, part in enumerate(content.parts_of(number, bad_rows.add)):
            good += 1
            is_empty = is_empty and (not part.text or part.text.isspace())
            if progress is not None and position % _PROGRESS_EVERY == _PROGRESS_EVERY - 1:
                progress(part.index, len(content.file_of))
    except UnusableInput as error:
        return error.kind, error.why
    except RefusedFile as error:
        return "special_file", file_type.file_type(error.mode)
    except OSError as error:
        return "unreadable", str(error.strerror or error)
    if is_empty:
        if bad_rows.count:
            return "empty_file", f"no row has a text that can be used; the first: {bad_rows.first}"
        reason = "no row has a text" if is_table(file) else "white space only"
        return "empty_file", reason if file.size else ""
    if bad_rows.count > good:
        counts = f"{bad_rows.count:,} of {bad_rows.count + good:,}"
        return "not_text", f"{counts} rows cannot be used; the first: {bad_rows.first}"
    return None


class _BadRows:
    """Rows of a table that cannot be used; of very many the first ones."""

    def __init__(self) -> None:
        self.count = 0
        self.first = ""
        self._first_rows: list[tuple[int, str]] = []

    def add(self, number: int, why: str) -> None:
        """Add a row."""
        self.count += 1
        self.first = self.first or (why if "line" in why else f"row {number}, {why}")
        if len(self._first_rows) < _MAX_ROWS:
            self._first_rows.append((number, why))

    def findings(self, name: str) -> list[Finding]:
        """A finding a row, and one for those that were only counted."""
        kind, rest = "incomplete_row", self.count - len(self._first_rows)
        rows = [Finding(kind, f"{name}:{number:06d}", why) for number, why in self._first_rows]
        return rows + ([Finding(kind, name, f"{rest:,} more", count=rest)] if rest else [])
