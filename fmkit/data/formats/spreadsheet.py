"""Excel workbooks: the rows of one sheet, below a header."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fmkit.core import safe_zip
from fmkit.core.errors import ConfigError, join_names
from fmkit.core.safe_io import UnsafeContent
from fmkit.data.findings import UnusableInput
from fmkit.data.formats.json_records import Record

EXCEL = (".xlsx", ".xlsm")
"""How names of workbooks end."""

_PROBED = 20  # rows of a sheet among which its header is searched


def sheet_rows(path: Path, columns: Sequence[str]) -> tuple[list[str], Iterator[Record]]:
    """The header of a table in a workbook, and its rows that are not empty, with typed cells.

    It is the first row of a sheet that has most of the columns, or of names where none are asked
    for: a sheet of notes may come before it, and a title above it.

    Raises:
        ConfigError: `openpyxl` is not installed.
        UnusableInput: it is not a workbook that can be read, has no header, or has several sheets
            with the same one.
    """
    candidates = [
        (_fit(cells, columns), sheet, number, cells)
        for sheet in _open(path).worksheets
        for number, cells in itertools.islice(_filled(sheet), _PROBED)
    ]
    if not candidates:
        raise UnusableInput("not_text", "it has no header")
    _, sheet, header_number, header = max(candidates, key=lambda candidate: candidate[0])
    names = _names(header)
    rows_alike = (row for row in candidates if _names(row[-1]) == names)
    titles = list(dict.fromkeys(other.title for _, other, *_ in rows_alike))
    if len(titles) > 1:
        raise UnusableInput(
            "not_text",
            f"the sheets {join_names(titles, 5)} have the same columns, and one is read: put "
            "their rows into one sheet, such as with the split in a column",
        )

    def records() -> Iterator[Record]:
        for number, cells in _filled(sheet):
            if number > header_number:
                pairs = itertools.zip_longest(names, cells[: len(names)])
                value = {name: cell for name, cell in pairs if name}
                yield Record(number, value, place=f"row {number} of {sheet.title!r}")

    return [name for name in names if name], records()


def _fit(cells: tuple[Any, ...], columns: Sequence[str]) -> int:
    """How many of the columns a row names, or how many names it has where none are asked for."""
    names = {str(cell).strip() for cell in cells if isinstance(cell, str)} - {""}
    return len(names & set(columns)) if columns else len(names)


def _filled(sheet: Any) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Number and cells of each row of a sheet that is not empty."""
    rows = enumerate(sheet.iter_rows(values_only=True), start=1)
    return ((number, cells) for number, cells in rows if any(map(_is_filled, cells)))


def _names(header: tuple[Any, ...]) -> list[str]:
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
    try:
        with safe_zip.open_zip(path):  # refuses a zip bomb
            pass
        return openpyxl.load_workbook(path, read_only=True, data_only=True)
    except UnsafeContent as error:
        raise UnusableInput("not_text", f"it is not a readable workbook: {error}") from None
    except OSError as error:
        raise UnusableInput("unreadable", str(error.strerror or error)) from None
    except Exception as error:  # XML out of a file from outside: errors of many kinds
        reason = join_names(str(error).splitlines()[:1]) or type(error).__name__
        raise UnusableInput("not_text", f"it is not a readable workbook: {reason}") from None
