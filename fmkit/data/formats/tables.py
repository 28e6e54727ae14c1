"""Tables and files of records, whatever their format: CSV, TSV, JSON, parquet, Excel, also gzipped.

`records` gives typed values, `read` the cells of named columns as texts. Every source that reads
rows, and `fmkit predict`, reads them here, also exports of annotation tools as JSON.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fmkit.core.errors import ConfigError, received
from fmkit.data.findings import UnusableInput
from fmkit.data.formats.annotation_exports import (
    ANSWERS,
    STATUS,
    as_rows,
    of_table,
    submitted,
    with_statuses,
)
from fmkit.data.formats.benchmark_lists import benchmark_records, is_benchmark_list
from fmkit.data.formats.cells import EXCEL_ERRORS, cell_text
from fmkit.data.formats.delimited import (
    CSV,
    SEPARATORS,
    ColumnError,
    CsvError,
    Row,
    check_columns,
    csv_rows,
)
from fmkit.data.formats.json_records import JSON_LINES, Record, json_file, json_lines
from fmkit.data.formats.parquet_table import PARQUET, ParquetTable, named
from fmkit.data.formats.spreadsheet import EXCEL, sheet_rows
from fmkit.data.formats.text_files import GZIP, as_data_error, file_ending, lines, read_text

_TEXT_ENDINGS = (*CSV, *JSON_LINES, ".json")
ENDINGS = (*_TEXT_ENDINGS, *PARQUET, *EXCEL, *(ending + GZIP for ending in _TEXT_ENDINGS))
"""How names of files with rows or records end; a `.txt` that is named may be a table, too."""
SHOWN_ENDINGS = ".csv, .tsv, .json, .jsonl, .parquet or .xlsx (text formats also with .gz)"
"""The same, for messages."""

_OTHER_SHEETS = (".xls", ".xlsb", ".ods", ".numbers")
_PROBED = 100  # records of JSON by which the names of its keys are known


def records(
    path: Path,
    encoding: str = "utf-8",
    *,
    quotes: bool = True,
    list_key: str = "",
    record_key: str = "",
    columns: Sequence[str] | None = None,
    required: Sequence[str] = (),
    class_names: bool = True,
    header: bool | None = None,
    sheet: str | None = None,
) -> Iterator[Record]:
    """The records of a file in their order, as mappings where they are rows of a table.

    Empty lines and rows are left out. Cells are typed, except those of CSV and TSV: `parse_cell`
    makes lists of these.

    Args:
        encoding: of all but parquet and Excel.
        quotes: a cell of a CSV or TSV may be in double quotes.
        list_key: a `.json` file that is one object has its records under this key, or `data`.
        record_key: a `.json` file that is one object with this key is a single record.
        columns: of a table, those to read where it has them; None: all.
        required: columns that a table has to have, and some of the records.
        class_names: the numbers of a parquet file that has names for them become these.
        header: of a CSV or TSV, see `csv_rows`.
        sheet: of a workbook, see `sheet_rows`.

    Raises:
        ConfigError: the file's name has an unknown ending, or there is no such sheet.
        UnusableInput: the file as a whole cannot be read, lacks columns, or has no records.
    """
    is_empty = True
    keys, layout = (list_key, record_key), (quotes, header, sheet)
    for record in _records(path, encoding, layout, keys, columns, required, class_names):
        is_empty = False
        yield record
    if is_empty:
        has_header = file_ending(path.name) in (*CSV, *EXCEL, *PARQUET)
        why = "it has a header and no row below it" if has_header else ""
        raise UnusableInput("empty_file", why)


_Layout = tuple[bool, bool | None, str | None]
"""Of a CSV or TSV, whether cells are in quotes and whether it has a header; of a workbook, the
sheet."""


def _records(
    path: Path,
    encoding: str,
    layout: _Layout,
    json_keys: tuple[str, str],
    columns: Sequence[str] | None,
    required: Sequence[str],
    class_names: bool,
) -> Iterator[Record]:
    if is_benchmark_list(path):
        return _with_keys(benchmark_records(path), required)
    ending = file_ending(path.name)
    if ending in PARQUET:
        return _parquet_records(path, columns, required, class_names)
    if ending in EXCEL:
        header, rows = sheet_rows(path, required, layout[2])
        check_columns(required, header)
        return of_table(rows)
    if ending in SEPARATORS or not ending:
        rows = _csv_records(path, encoding, layout[:2], with_statuses(columns), required)
        return of_table(rows)
    if ending in JSON_LINES:
        return _with_keys(as_rows(json_lines(path, encoding)), required)
    if ending == ".json":
        return _with_keys(as_rows(json_file(path, encoding, *json_keys)), required)
    hint = "Save it as .xlsx or .csv." if ending in _OTHER_SHEETS else ""
    raise ConfigError(received("The table's file extension", ending, SHOWN_ENDINGS, hint))


def _csv_records(
    path: Path,
    encoding: str,
    options: tuple[bool, bool | None],
    columns: Sequence[str] | None,
    required: Sequence[str],
) -> Iterator[Record]:
    quotes, header = options
    text = read_text(str(path), encoding)
    rows = csv_rows(
        lambda: zip(itertools.count(1), itertools.repeat(0), lines(text), strict=False),
        file_ending(path.name),
        list(dict.fromkeys(required)),
        quotes,
        columns,
        header,
    )
    for row in rows:
        fault = UnusableInput("incomplete_row", row.fault) if row.fault else None
        yield Record(row.line, None if fault else row.cells, fault, row.place)


def _parquet_records(
    path: Path, columns: Sequence[str] | None, required: Sequence[str], class_names: bool
) -> Iterator[Record]:
    table = ParquetTable(str(path))
    check_columns(required, table.names)
    columns = with_statuses(columns)
    names = None if columns is None else [name for name in table.names if name in columns]
    has_answers = any(
        f"{name}{STATUS}" in table.names for name in table.names if name.endswith(ANSWERS)
    )
    photos = [name for name in table.photo_columns if names is None or name in names]
    row_bytes = max((table.bytes_per_row(f"{name}.bytes") for name in photos), default=1)
    for number, cells in enumerate(table.rows(names, row_bytes), start=1):
        for name, values in table.class_names.items() if class_names else ():
            if name in cells:
                cells[name] = named(cells[name], values)
        yield Record(number, submitted(cells) if has_answers else cells)


def _with_keys(values: Iterator[Record], required: Sequence[str]) -> Iterator[Record]:
    """Records of JSON; a key that none of the first ones has is a wrong name, not a bad record."""
    first = list(itertools.islice(values, _PROBED))
    objects = [record.value for record in first if isinstance(record.value, Mapping)]
    if objects:
        check_columns(required, list(dict.fromkeys(str(key) for value in objects for key in value)))
    return itertools.chain(first, values)


def has_columns(
    path: Path,
    columns: Sequence[str],
    encoding: str,
    quotes: bool,
    header: bool | None,
    sheet: str | None = None,
) -> bool:
    """Whether a file has columns; also where it cannot be read, which is said when it is."""
    keys, layout = ("", ""), (quotes, header, sheet)
    try:
        next(_records(path, encoding, layout, keys, columns, columns, class_names=False), None)
    except ColumnError:
        return False
    except UnusableInput:
        pass
    return True


def class_names(path: Path, column: str) -> list[str]:
    """The names that a parquet file has for the numbers in a column; none in another file."""
    if file_ending(path.name) not in PARQUET:
        return []
    return ParquetTable(str(path)).class_names.get(column, [])


def read(
    table: Path,
    columns: Sequence[str],
    hint: str,
    encoding: str = "utf-8",
    quotes: bool = True,
    prefix: str | None = None,
    list_columns: Sequence[str] = (),
    all_columns: bool = False,
    header: bool | None = None,
    sheet: str | None = None,
) -> Iterator[Row]:
    """The rows of a file with the requested columns, as texts.

    Args:
        hint: what to do where a column is missing.
        encoding: of all but parquet and Excel, and of bytes in a parquet file.
        quotes: a cell of a CSV or TSV file may be in double quotes.
        prefix: of the keys `encoding` and `quotes`, such as `data.`; None: the user has none.
        list_columns: those of `columns` whose cells may be lists, which become JSON.
        all_columns: the rows have the cells of all columns, not only of those.
        header: of a CSV or TSV, see `csv_rows`.
        sheet: of a workbook, see `sheet_rows`.

    Raises:
        ConfigError: the file's name has an unknown ending, or there is no such sheet.
        DataError: the file cannot be read, or columns are missing.
    """
    names = list(dict.fromkeys(columns))
    try:
        shown = None if all_columns else names
        if file_ending(table.name) in PARQUET:
            parquet = ParquetTable(str(table))
            parquet.check_texts(names, list_columns)
            if all_columns and parquet.photo_columns:
                shown = [name for name in parquet.names if name not in parquet.photo_columns]
        layout = (quotes, header, sheet)
        values = _records(table, encoding, layout, ("", ""), shown, names, class_names=True)
        for index, record in enumerate(values):
            yield _text_row(index, record, names, encoding, list_columns, all_columns)
    except UnusableInput as error:
        if isinstance(error, CsvError):
            meaning = "If double quotes mean nothing in this file, as in many a .tsv"
            hint = f"{meaning}: {prefix}quotes=false" if quotes and prefix is not None else ""
        elif not isinstance(error, ColumnError):
            hint = ""
        elif error.repeated and not error.missing:
            hint = "Rename all but one of them in the header, or name a column with another name."
        encoding_key = "" if prefix is None else f"{prefix}encoding"
        raise as_data_error(table, error, encoding, hint, encoding_key) from None


def _text_row(
    index: int,
    record: Record,
    columns: Sequence[str],
    encoding: str,
    list_columns: Sequence[str],
    all_columns: bool,
) -> Row:
    """A record with its cells as texts, or with the reason why it cannot be used."""
    cells, fault = record.value, record.fault.why if record.fault else ""
    texts: dict[str, str] = {}
    try:
        if not fault:
            _expect_object(cells)
            for name in dict.fromkeys([*columns, *cells]) if all_columns else columns:
                cell = cells.get(name)
                if cell in EXCEL_ERRORS and name in columns:
                    fault += f", {name!r} is {cell}, an error of Excel"
                if isinstance(cell, list | dict) and name in columns and name not in list_columns:
                    fault += f", {name!r} is a {type(cell).__name__}, not a text"
                texts[str(name)] = cell_text(cell, encoding)
    except UnusableInput as error:
        fault = error.why
    fault = fault.removeprefix(", ")
    if fault:
        where = record.place or f"row {record.number}"
        fault = fault if where in fault else f"{where}: {fault}"
    return Row(index, record.number, 0, {} if fault else texts, fault, record.place, record.split)


def _expect_object(value: Any) -> None:
    """Raise `UnusableInput` for a record that is not an object with keys."""
    if not isinstance(value, dict):
        kind = "null" if value is None else f"a {type(value).__name__}"
        raise UnusableInput("incomplete_row", f"it is {kind}; expected an object with keys")
