"""Excel workbooks: the rows of the first sheet, below a header."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fmkit.core import safe_zip
from fmkit.core.errors import ConfigError, join_names
from fmkit.core.safe_io import UnsafeContent
from fmkit.data.findings import UnusableInput
from fmkit.data.formats.json_records import Record

EXCEL = (".xlsx", ".xlsm")
"""How names of workbooks end."""


def sheet_names(path: Path) -> list[str]:
    """The sheets of a workbook in their order."""
    return list(_open(path).sheetnames)


def sheet_rows(path: Path) -> tuple[list[str], Iterator[Record]]:
    """The header of the first sheet, and its rows that are not empty, with typed cells.

    Raises:
        ConfigError: `openpyxl` is not installed.
        UnusableInput: it is not a workbook that can be read, or has no header.
    """
    rows = enumerate(_open(path).worksheets[0].iter_rows(values_only=True), start=1)
    filled = ((number, cells) for number, cells in rows if any(map(_is_filled, cells)))
    header = next(filled, (0, ()))[1]
    names = ["" if name is None else str(name).strip() for name in header]
    if not any(names):
        raise UnusableInput("not_text", "its first sheet has no header")

    def records() -> Iterator[Record]:
        for number, cells in filled:
            pairs = itertools.zip_longest(names, cells[: len(names)])
            value = {name: cell for name, cell in pairs if name}
            yield Record(number, value, place=f"row {number} of the sheet")

    return [name for name in names if name], records()


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
