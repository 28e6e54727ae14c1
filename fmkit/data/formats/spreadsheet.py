"""Excel workbooks: the rows of one sheet, or of one for each split, below a header.

A value that merged cells have in common belongs to each of their rows.
"""

import contextlib
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from fmkit.config.saved_config import shell_setting
from fmkit.core import console, safe_zip
from fmkit.core.errors import ConfigError, join_names, received
from fmkit.core.safe_io import UnsafeContent
from fmkit.data.findings import UnusableInput
from fmkit.data.formats.json_records import Record
from fmkit.data.split_names import named_splits

EXCEL = (".xlsx", ".xlsm")
"""How names of workbooks end."""

_FILE = re.compile(r"\.[A-Za-z]\w{2,4}\s*\Z")
_SPACES = 3  # least ones of a text, rather than a title or a name
_PROBED = 20  # rows of a sheet among which its header is searched
_MERGED = re.compile(
    rb'<(?:\w+:)?mergeCell\s[^<>]{0,99}?ref="([A-Z]{1,3})(\d{1,7}):[A-Z]{1,3}(\d{1,7})"'
)
_CHUNK, _LONGEST = 2**20, 200  # bytes that are read at once, and of one match


def sheet_rows(
    path: Path, columns: Sequence[str], chosen: str | None = None
) -> tuple[list[str], Iterator[Record]]:
    """The header of a table in a workbook, and its rows that are not empty, with typed cells.

    It is the first row of a sheet that has most of the columns, or of names where none are asked
    for: a sheet of notes or a pivot table may come before it, and a title above it.

    Args:
        chosen: title or number, from 1, of the only sheet to read; None: the one that fits, of
            several with rows it is said which.

    Raises:
        ConfigError: `openpyxl` is not installed, or there is no such sheet.
        UnusableInput: it is not a workbook that can be read, has no header, or has several sheets
            with the same one whose titles are not splits.
    """
    sheets = _open(path).worksheets
    if chosen is not None:
        sheets = [_chosen(path, sheets, chosen)]
    merged = {sheet.title: _merged_rows(path, sheet) for sheet in sheets}
    candidates = []
    for sheet in sheets:
        rows = [*itertools.islice(_filled(sheet, merged[sheet.title]), _PROBED)]
        is_data = not _are_numbers([cells for _, cells in rows])
        for number, cells in rows:
            count, names_count = _fit(cells, columns)
            candidates.append(((count, is_data, names_count), sheet, number, cells))
    if not candidates:
        raise UnusableInput("not_text", "it has no header")
    _, best, header_number, header = max(candidates, key=lambda candidate: candidate[0])
    names = _names(header)
    headers = {best.title: (best, header_number)}
    for _, sheet, number, cells in candidates:
        if _names(cells) == names:
            headers.setdefault(sheet.title, (sheet, number))
    titles = [sheet.title for sheet in sheets if sheet.title in headers]
    splits = named_splits(titles) if len(titles) > 1 else [""]
    if not splits:
        raise UnusableInput(
            "not_text",
            f"the sheets {join_names(titles, 5)} have the same columns, and one is read: name it, "
            f"{shell_setting('data.sheet', titles[0])} (for fmkit predict: "
            f"{shell_setting('sheet', titles[0])}), put the rows of all into one, or name "
            "each sheet train, val or test, if that is what they are",
        )
    filled = Counter(sheet.title for _, sheet, _, _ in candidates)
    others = [title for title, rows in filled.items() if rows > 1 and title not in titles]
    if others:
        _say_which(path.name, join_names([*map(repr, titles)], 3), join_names(others, 3))

    def records() -> Iterator[Record]:
        for title, split in zip(titles, splits, strict=True):
            sheet, first = headers[title]
            for number, cells in _filled(sheet, merged[title]):
                if number > first:
                    pairs = itertools.zip_longest(names, cells[: len(names)])
                    value = {name: cell for name, cell in pairs if name}
                    place = f"row {number} of {sheet.title!r}"
                    yield Record(number, value, place=place, split=split)

    return [name for name in names if name], records()


def sheet_titles(path: Path) -> list[str]:
    """The titles of a workbook's sheets.

    Raises:
        ConfigError: `openpyxl` is not installed.
        UnusableInput: it cannot be read.
    """
    return [sheet.title for sheet in _open(path).worksheets]


def _chosen(path: Path, sheets: Sequence[Any], chosen: str) -> Any:
    """The sheet of a title or a number; a title that is a number comes first."""
    for sheet in sheets:
        if sheet.title == chosen:
            return sheet
    if chosen.isdecimal() and 0 < int(chosen) <= len(sheets):
        return sheets[int(chosen) - 1]
    allowed = [sheet.title for sheet in sheets]
    raise ConfigError(received(f"sheet of {path.name}", chosen, allowed))


@cache  # a table is read several times
def _say_which(name: str, read: str, others: str) -> None:
    """Say which sheet is read of several that have rows."""
    console.info(
        f"{name}: read is sheet {read}, not {others}; another one: "
        "data.sheet=NAME, for fmkit predict sheet=NAME"
    )


def _fit(cells: Sequence[Any], columns: Sequence[str]) -> tuple[int, int]:
    """How many of the columns a row names; where it names none, how many names it has."""
    names = {str(cell).strip() for cell in cells if isinstance(cell, str)} - {""}
    count = len(names & set(columns))
    return count, 0 if count else len(names)


def _are_numbers(rows: Sequence[Sequence[Any]]) -> bool:
    """Whether the rows of a sheet are mostly numbers, without texts or names of files."""
    cells = [cell for row in rows for cell in row if _is_filled(cell)]
    texts = [cell for cell in cells if isinstance(cell, str)]
    contents = sum(text.strip().count(" ") >= _SPACES or bool(_FILE.search(text)) for text in texts)
    return 2 * len(texts) < len(cells) and 2 * contents < len(rows)


_Merged = dict[int, list[tuple[int, int]]]
"""Column, from 0, and last row of each range of merged cells in several rows, by first row."""


def _filled(sheet: Any, merged: _Merged) -> Iterator[tuple[int, Sequence[Any]]]:
    """Number and cells of each row of a sheet that is not empty.

    Below its first row, a range of merged cells has its value in its first column; the title of
    several columns stays in one of them.
    """
    current: dict[int, tuple[int, Any]] = {}  # last row and value, by column
    with _as_unusable():
        for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
            cells = list(row)
            for column, (last, value) in current.items():
                if number <= last and column < len(cells):
                    cells[column] = value
            for column, last in merged.get(number, ()):
                if column < len(cells):
                    current[column] = last, cells[column]
            if any(map(_is_filled, row)):
                yield number, cells


def _merged_rows(path: Path, sheet: Any) -> _Merged:
    """The ranges of merged cells of a sheet, which one that is read row by row does not know.

    They come after the rows in its XML.
    """
    ranges: _Merged = {}
    rest, seen = b"", set()
    with (
        _as_unusable(),
        safe_zip.open_zip(path) as archive,
        archive.open(sheet._worksheet_path) as stream,
    ):
        while chunk := stream.read(_CHUNK):
            content = rest + chunk
            seen |= {*_MERGED.findall(content)}
            rest = content[-_LONGEST:]
    for letters, first, last in sorted(seen):
        column = 0
        for letter in letters:
            column = 26 * column + letter - ord("A") + 1
        if int(last) > int(first):
            ranges.setdefault(int(first), []).append((column - 1, int(last)))
    return ranges


def _names(header: Sequence[Any]) -> list[str]:
    return ["" if name is None else str(name).strip() for name in header]


def _is_filled(cell: Any) -> bool:
    return cell is not None and (not isinstance(cell, str) or bool(cell.strip()))


def _open(path: Path) -> Any:
    try:
        import openpyxl
    except ImportError:
        raise ConfigError(
            f"{path.name} is an Excel workbook, which needs the package openpyxl.",
            "Run: pip install 'fmkit[excel]', or save it as CSV.",
        ) from None
    with _as_unusable():
        with safe_zip.open_zip(path):  # refuses a zip bomb
            pass
        return openpyxl.load_workbook(path, read_only=True, data_only=True)


@contextlib.contextmanager
def _as_unusable() -> Iterator[None]:
    """Make errors of reading a workbook those about a file that cannot be used."""
    try:
        yield
    except UnusableInput:
        raise
    except UnsafeContent as error:
        raise UnusableInput("not_text", f"it is not a readable workbook: {error}") from None
    except OSError as error:
        raise UnusableInput("unreadable", str(error.strerror or error)) from None
    except Exception as error:  # XML out of a file from outside: errors of many kinds
        reason = join_names(str(error).splitlines()[:1]) or type(error).__name__
        raise UnusableInput("not_text", f"it is not a readable workbook: {reason}") from None
