"""Tables: the rows of a CSV, TSV or parquet file, one at a time or as columns of texts.

A `.csv` may be separated by commas, semicolons or tabs. Every cell of a CSV or TSV is text, so that
`012`, `True` and `NA` are class names as they stand; white space around a cell is removed.
"""

import contextlib
import csv
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from fmkit.core.errors import ConfigError, DataError, combine_messages, join_names, plural, received
from fmkit.data.findings import UnusableInput
from fmkit.data.formats.text_files import (
    MAX_CHARACTERS,
    BadEncoding,
    as_data_error,
    decode,
    lines,
    open_input,
    read_text,
)

CSV = (".csv", ".tsv")
"""How names of tables end that are text."""
PARQUET = (".parquet", ".pq")
"""How names of parquet files end."""
SUFFIXES = (*CSV, ".txt", *PARQUET)
"""How the names of tables end."""
SEPARATORS = {".csv": (",", ";", "\t"), ".tsv": ("\t",), ".txt": ("\t", ",", ";")}
"""By the end of a name, the separators that a table may have."""

_MAX_COLUMNS = 1000  # that a missing one is compared with
_BATCH_ROWS = 1024  # rows of a parquet file that are decoded together, at most
_BATCH_BYTES = 2**22  # approximate bytes of one column's cells that are decoded together
_BUFFER = 2**20  # bytes of a parquet file that are read together

Lines = Iterable[tuple[int, int, str]]
"""Number from 1, offset in bytes, and text of each line, its end included."""


class ColumnError(UnusableInput):
    """A table lacks a column, has it twice, or has something else than texts in it."""


class CsvError(UnusableInput):
    """A row of a CSV or TSV cannot be separated into cells, perhaps because of its quotes."""


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        index: its position, from 0, without the header and rows of empty cells.
        line: the line that it begins in, from 1; in a parquet file its position, from 1.
        offset: where it begins, in bytes; in a parquet file by the mean size of a row.
        cells: the requested ones as texts, by column; none where the row cannot be used.
        fault: why it cannot be used; empty where it can.
    """

    index: int
    line: int
    offset: int
    cells: dict[str, str]
    fault: str = ""


def csv_rows(
    open_lines: Callable[[], Lines], suffix: str, columns: Sequence[str], quotes: bool
) -> Iterator[Row]:
    """The rows of a CSV or TSV as a stream; rows of empty cells are left out.

    Args:
        open_lines: starts to read the lines, once for each separator's header and once for rows.
        suffix: a key of `SEPARATORS`; the separator is that whose header has most of the columns.
        quotes: a cell may be in double quotes.

    Raises:
        UnusableInput: a column is missing, or a row cannot be read.
    """
    headers: dict[str, list[str]] = {}
    for name in SEPARATORS[suffix]:
        with contextlib.suppress(CsvError, StopIteration):  # it cannot be read by this separator
            _, _, cells = next(_records(open_lines(), name, quotes))
            headers[name] = [cell.strip() for cell in cells]
    if not any(headers.values()):
        raise UnusableInput("not_text", "it has no header that can be read")
    separator, header = max(headers.items(), key=lambda item: len(set(columns) & set(item[1])))
    check_columns(columns, header)
    positions = {name: header.index(name) for name in columns}
    records = _records(open_lines(), separator, quotes)
    next(records)
    for index, (line, offset, cells) in enumerate(records):
        if len(cells) != len(header):
            fault = f"line {line} has {plural(len(cells), 'cell')}, the header has {len(header)}"
            yield Row(index, line, offset, {}, fault)
            continue
        texts = {name: cells[position].strip() for name, position in positions.items()}
        yield Row(index, line, offset, texts)


def _records(lines: Lines, separator: str, quotes: bool) -> Iterator[tuple[int, int, list[str]]]:
    """Line, offset and cells of each row that is more than white space."""
    starts: list[tuple[int, int]] = []  # number and offset of the lines of a row

    def texts() -> Iterator[str]:
        for number, offset, text in lines:
            starts.append((number, offset))
            yield text

    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    reader = csv.reader(texts(), delimiter=separator, quoting=quoting, strict=True)
    while True:
        starts.clear()
        # The limit is one of the whole process, so it is restored before other code runs.
        limit = csv.field_size_limit(MAX_CHARACTERS)
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            first, last = starts[0][0] if starts else reader.line_num, reader.line_num
            where = f"line {first}" if last <= first else f"the row from line {first} to {last}"
            reason = str(error)
            if "field limit" in reason:
                most = f"{MAX_CHARACTERS:,} characters"
                reason = f"a cell of more than {most}; is a quote never closed?"
            elif "end of data" in reason:
                reason = "a double quote is never closed"
            elif "expected after" in reason:
                reason += ": a double quote inside a quoted cell has to be doubled"
            raise CsvError("not_text", f"{where}: {reason.rstrip('.?')}") from None
        finally:
            csv.field_size_limit(limit)
        if any(cell.strip() for cell in cells):
            yield (*starts[0], cells)


def check_columns(columns: Sequence[str], names: Sequence[str]) -> None:
    """Raise `UnusableInput` for a table without some of the columns, or with one of them twice."""
    shown = [name if len(name) <= 40 else f"{name[:37]}..." for name in names[:_MAX_COLUMNS]]
    problems = [received("column", name, shown) for name in columns if name not in names]
    problems += [f"it has two columns {name!r}" for name in columns if names.count(name) > 1]
    if problems:
        raise ColumnError("not_text", combine_messages(problems).rstrip("."))


class ParquetTable:
    """A parquet file, read in batches of rows; `UnusableInput` where it cannot be read.

    Attributes:
        names: of its columns.
        metadata: of its schema.
        row_count: rows of the file.
    """

    def __init__(self, path: str) -> None:
        import pyarrow as arrow
        import pyarrow.parquet as parquet

        stream = open_input(path)
        try:
            self._file = parquet.ParquetFile(stream, buffer_size=_BUFFER, pre_buffer=False)
            self._schema = self._file.schema_arrow
        except (arrow.ArrowException, OSError) as error:
            stream.close()
            raise _parquet_error(error) from None
        self.names = list(self._schema.names)
        self.metadata: dict[bytes, bytes] = dict(self._schema.metadata or {})
        self.row_count = int(self._file.metadata.num_rows)

    def check_texts(self, columns: Sequence[str]) -> None:
        """Raise `UnusableInput` if it lacks columns, or has lists or objects in them."""
        import pyarrow as arrow

        check_columns(columns, self.names)
        fields = [self._schema.field(name) for name in columns]
        nested = [f"{f.name!r} is {f.type}" for f in fields if arrow.types.is_nested(f.type)]
        if nested:
            raise ColumnError("not_text", f"column {join_names(nested)}; expected texts")

    def bytes_per_row(self, column: str) -> int:
        """Approximate bytes of a cell of a column, at least 1."""
        metadata: Any = self._file.metadata
        total = sum(
            chunk.total_uncompressed_size
            for group in range(metadata.num_row_groups)
            for chunk in map(metadata.row_group(group).column, range(metadata.num_columns))
            if chunk.path_in_schema == column
        )
        return max(1, total // max(1, self.row_count))

    def rows(
        self, columns: Sequence[str] | None = None, row_bytes: int = 1
    ) -> Iterator[dict[str, Any]]:
        """The rows as typed cells by column (None: all); a few megabytes are decoded at a time.

        Raises:
            UnusableInput: the file is damaged.
        """
        import pyarrow as arrow

        count = max(1, min(_BATCH_ROWS, _BATCH_BYTES // row_bytes))
        try:
            for batch in self._file.iter_batches(count, columns=columns, use_threads=False):
                yield from batch.to_pylist()
        except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:
            raise _parquet_error(error) from None

    def text_rows(self, columns: Sequence[str], encoding: str, row_bytes: int = 1) -> Iterator[Row]:
        """The rows as texts; `encoding` is that of cells which are bytes. See `rows`."""
        for index, cells in enumerate(self.rows(columns, row_bytes)):
            texts, fault = {}, ""
            try:
                texts = {name: cell_text(cells[name], encoding) for name in columns}
            except BadEncoding as error:
                fault = str(error)
            yield Row(index, index + 1, index * row_bytes, texts, fault)


def _parquet_error(error: Exception) -> UnusableInput:
    # For a damaged file Arrow also raises an OSError, which then has no error number.
    if isinstance(error, OSError) and error.errno is not None:
        return UnusableInput("unreadable", str(error.strerror or error))
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return UnusableInput("not_text", f"it is not a readable parquet file: {reason}")


def cell_text(cell: object, encoding: str) -> str:
    """A cell of a typed table as text, without white space around it; null and NaN are empty.

    Raises:
        BadEncoding: it is bytes in another encoding.
    """
    if cell is None or cell != cell:
        return ""
    return (decode(cell, encoding) if isinstance(cell, bytes) else str(cell)).strip()


def read(
    table: Path,
    columns: Sequence[str],
    hint: str,
    encoding: str = "utf-8",
    quotes: bool = True,
    prefix: str | None = None,
) -> Iterator[Row]:
    """The rows of a CSV, TSV or parquet file, with the requested columns.

    Args:
        hint: what to do where one is missing.
        encoding: of a CSV or TSV file, and of bytes in a parquet file.
        quotes: a cell of a CSV or TSV file may be in double quotes.
        prefix: of the keys `encoding` and `quotes`, such as `data.`; None: the user has none.

    Raises:
        ConfigError: the file's name has an unknown ending.
        DataError: the file cannot be read, or columns are missing.
    """
    suffix, names = table.suffix.lower(), list(dict.fromkeys(columns))
    if suffix not in SUFFIXES:
        raise ConfigError(received("The table's file extension", suffix, (*SEPARATORS, ".parquet")))
    try:
        if suffix in PARQUET:
            file = ParquetTable(str(table))
            file.check_texts(names)
            for row in file.text_rows(names, encoding):
                yield replace(row, fault=f"row {row.line}: {row.fault}") if row.fault else row
        else:
            text = read_text(str(table), encoding)
            yield from csv_rows(
                lambda: zip(itertools.count(1), itertools.repeat(0), lines(text), strict=False),
                suffix,
                names,
                quotes,
            )
    except UnusableInput as error:
        if isinstance(error, CsvError):
            meaning = "If double quotes mean nothing in this file, as in many a .tsv"
            hint = f"{meaning}: {prefix}quotes=false" if quotes and prefix is not None else ""
        elif not isinstance(error, ColumnError):
            hint = ""
        encoding_key = "" if prefix is None else f"{prefix}encoding"
        raise as_data_error(table, error, encoding, hint, encoding_key) from None


def read_complete(table: Path, columns: Sequence[str], hint: str) -> list[dict[str, str]]:
    """The requested cells by row; as `read`, and a `DataError` also where a row cannot be used."""
    rows = list(read(table, columns, hint))
    if faults := [row.fault for row in rows if row.fault]:
        raise DataError(
            f"{table}: {join_names(faults, 5)}.",
            "A cell with the separator in it needs double quotes around it.",
        )
    return [row.cells for row in rows]
