"""Every byte of documents looked at before anything is trained; a file that passed is known again.

What passed is kept in `<cache_dir>/documents/`, by path, size and time of change of all files, so
that a second run of the same set reads none of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fmkit.core import files, safe_io
from fmkit.core.safe_io import RefusedFile
from fmkit.data.content.documents import Documents, is_table
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding, UnusableInput, printable
from fmkit.data.formats import file_type
from fmkit.store.array_cache import DOCUMENTS

_SCHEMA = 1
_MAX_ROWS = 1000  # of a table that are told of one by one

ProgressCallback = Callable[[int, int], None]
"""Called with how many pieces were looked at, and how many there are."""


def findings(
    examples: Examples, cache_folder: Path | None, tell: ProgressCallback | None = None
) -> list[Finding]:
    """What is wrong with files of documents, a finding a file, or a row of a table.

    Args:
        examples: pieces of files.
        cache_folder: where it is kept that nothing was wrong; None: nowhere.
        tell: called now and then.
    """
    content = examples.content
    if not isinstance(content, Documents):
        raise TypeError("only files of documents are looked at")
    known = None if cache_folder is None else cache_folder / DOCUMENTS / f"{content.digest()}.json"
    if known is not None and _passed(known):
        return []
    found = []
    numbers, firsts = np.unique(content.file_of, return_index=True)
    for number, first, last in zip(numbers, firsts, [*firsts[1:], len(examples)], strict=True):
        if tell is not None:
            tell(int(first), len(examples))
        rows: list[Finding] = []
        fault = _fault(content, int(number), rows, tell)
        found += rows
        if fault is not None:
            names = tuple(examples.ids[each] for each in range(first, last))
            file = content.files[number]
            found.append(Finding(fault[0], file.name, fault[1], names, file.path))
    if not found and known is not None:
        with contextlib.suppress(OSError):  # a convenience
            known.parent.mkdir(parents=True, exist_ok=True)
            files.write_json(known, {"schema": _SCHEMA, "documents": len(examples)})
    return found


def _fault(
    content: Documents, number: int, rows: list[Finding], tell: ProgressCallback | None
) -> tuple[str, str] | None:
    """Kind and reason of what is wrong with a file; None when nothing is.

    Args:
        content: pieces of files.
        number: the file.
        rows: gets what is wrong with single rows of a table.
        tell: called now and then.
    """
    file, is_empty, good, bad = content.files[number], True, 0, _BadRows()
    try:
        for place, part in enumerate(content.parts_of(number, bad.add)):
            good += 1
            is_empty = is_empty and (not part.text or part.text.isspace())
            if tell is not None and place % 1000 == 999:
                tell(part.index, len(content.file_of))
    except UnusableInput as error:
        return error.kind, error.why
    except RefusedFile as error:
        return "special_file", file_type.file_type(error.mode)
    except OSError as error:
        return "unreadable", str(error.strerror or error)
    if is_empty and bad.count:
        return "empty_file", f"no row has a text that can be used; the first: {bad.first}"
    if is_empty:
        told = "no row has a text" if is_table(file) else "white space only"
        return "empty_file", told if file.size else ""
    if bad.count > good:
        told = f"{bad.count:,} of {bad.count + good:,} rows cannot be used; the first: {bad.first}"
        return "not_text", told
    rows += bad.findings(printable(file.name))
    return None


class _BadRows:
    """The rows of a table that cannot be used; of very many the first ones."""

    def __init__(self) -> None:
        self.count = 0
        self._told: list[tuple[int, str]] = []

    @property
    def first(self) -> str:
        """What is wrong with the first one."""
        number, why = self._told[0]
        return f"row {number}, {why}" if "line" not in why else why

    def add(self, number: int, why: str) -> None:
        """One more."""
        self.count += 1
        if len(self._told) < _MAX_ROWS:
            self._told.append((number, why))

    def findings(self, name: str) -> list[Finding]:
        """A finding a row, and one for those that were only counted."""
        kind, rest = "incomplete_row", self.count - len(self._told)
        found = [Finding(kind, f"{name}:{number:06d}", why) for number, why in self._told]
        return found + ([Finding(kind, name, f"{rest:,} more", count=rest)] if rest else [])


def _passed(path: Path) -> bool:
    try:
        return safe_io.read_json(path).get("schema") == _SCHEMA
    except (OSError, ValueError, AttributeError):
        return False
