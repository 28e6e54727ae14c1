"""One column of a table of any size, row by row: a CSV or a TSV as a stream, a parquet in batches.

How cells are read is the same as in `table_file`, which holds all of a table.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmkit.core.safe_io import open_regular
from fmkit.data.formats.tables import SEPARATORS, missing, reason
from fmkit.data.formats.text_encoding import MAX_CHARACTERS, BadEncoding, binary_reason, decode

CSV = (".csv", ".tsv")
"""How names of tables end that are texts."""

PARQUET = (".parquet", ".pq")
"""How names of parquet files end."""

NAMES = "data.text_column names the column"

_ROWS = 1024  # of a parquet file that are decoded together, at most
_AT_ONCE = 2**22  # about the bytes of cells that are
_BUFFER = 2**20  # bytes of a parquet file that are read together

Lines = Iterator[tuple[int, int, str]]
"""Number from 1, offset in bytes, and text of each line, its end included."""


class BadTable(Exception):
    """A table that cannot be read, or lacks the column."""


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        number: the line of the file that it begins in, or its place in a parquet file, from 1.
        offset: where it begins, in bytes; of a parquet file see `Parquet.scale`.
        text: the cell, without space around it.
        fault: why the row cannot be used; empty where it can.
    """

    number: int
    offset: int
    text: str
    fault: str = ""


def csv_rows(
    open_lines: Callable[[], Lines], name: str, column: str, quotes: bool
) -> Iterator[Row]:
    """The rows of a CSV or a TSV; those that have white space only are left out.

    Args:
        open_lines: begins to read the file.
        name: of the file, whose end tells which separators it may have.
        column: which one to read.
        quotes: a cell may stand in double quotes.

    Raises:
        BadTable: there is no such column, or a row cannot be read.
    """
    separator, header = _header(open_lines, name, column, quotes)
    place = header.index(column)
    rows = _records(open_lines(), separator, quotes)
    next(rows)
    for number, offset, cells in rows:
        if len(cells) != len(header):
            why = f"line {number} has {len(cells)} cells, the header has {len(header)}"
            yield Row(number, offset, "", why)
            continue
        text = cells[place].strip()
        yield Row(number, offset, text, "" if text else f"no text (line {number})")


def _header(
    open_lines: Callable[[], Lines], name: str, column: str, quotes: bool
) -> tuple[str, list[str]]:
    """The separator whose header has the column, and that header."""
    separators = SEPARATORS[Path(name).suffix.lower()]
    headers = {each: _first(open_lines, each, quotes) for each in separators}
    best = max(headers, key=lambda each: column in headers[each])
    if not any(headers.values()):
        raise BadTable("it has no header that can be read")
    if error := missing(Path(name), [column], headers[best], ""):
        raise BadTable(f"{error.message} {NAMES}")
    return best, headers[best]


def _first(open_lines: Callable[[], Lines], separator: str, quotes: bool) -> list[str]:
    try:
        _, _, header = next(_records(open_lines(), separator, quotes))
    except (BadTable, StopIteration):
        return []
    return [each.strip() for each in header]


def _records(lines: Lines, separator: str, quotes: bool) -> Iterator[tuple[int, int, list[str]]]:
    """Line, offset and cells of each row that has more than white space."""
    begins: list[tuple[int, int]] = []  # number and offset of the lines of a row

    def texts() -> Iterator[str]:
        for number, offset, text in lines:
            if len(text) > MAX_CHARACTERS:
                raise BadTable(f"line {number:,} has more than {MAX_CHARACTERS:,} characters")
            begins.append((number, offset))
            yield text

    if quotes:
        reader = csv.reader(texts(), delimiter=separator, strict=True)
    else:
        reader = csv.reader(texts(), delimiter=separator, quoting=csv.QUOTE_NONE, strict=True)
    while True:
        begins.clear()
        # Of the whole process, so that it is put back before anybody else has a turn.
        limit = csv.field_size_limit(MAX_CHARACTERS)
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            first = begins[0][0] if begins else reader.line_num
            why = reason(first, reader.line_num, error)
            means = "; if double quotes mean nothing in this file: data.quotes=false"
            raise BadTable(why + (means if quotes else "")) from None
        finally:
            csv.field_size_limit(limit)
        if any(each.strip() for each in cells):
            yield (*begins[0], cells)


class Parquet:
    """A parquet file, one column of which is read.

    Args:
        path: of the file.
        name: what it is called in messages.
        column: which one to read.

    Attributes:
        rows: how many it has.
        scale: offsets between two rows: about the bytes that a cell takes, at least 1.

    Raises:
        BadTable: it is no parquet file, or has no such column of texts.
        OSError: it cannot be read.
    """

    def __init__(self, path: str, name: str, column: str) -> None:
        import pyarrow as arrow
        import pyarrow.parquet as parquet

        self._column = column
        try:
            self._file = parquet.ParquetFile(
                open_regular(path), buffer_size=_BUFFER, pre_buffer=False
            )
            schema = self._file.schema_arrow
        except (arrow.ArrowException, OSError) as error:
            raise _refused(error) from None
        if wrong := missing(Path(name), [column], list(schema.names), ""):
            raise BadTable(f"{wrong.message} {NAMES}")
        kind = schema.field(column).type
        if arrow.types.is_nested(kind):
            raise BadTable(f"the column {column!r} is {kind}, and no text; {NAMES}")
        facts: Any = self._file.metadata
        self.rows = int(facts.num_rows)
        whole = sum(
            cells.total_uncompressed_size
            for group in range(facts.num_row_groups)
            for cells in map(facts.row_group(group).column, range(facts.num_columns))
            if cells.path_in_schema == column
        )
        self.scale = max(1, whole // max(1, self.rows))

    def read(self, encoding: str) -> Iterator[Row]:
        """The rows, decoded as many at a time as have a few megabytes.

        Args:
            encoding: of cells that are bytes.

        Raises:
            BadTable: it is damaged.
        """
        import pyarrow as arrow

        place, count = 0, max(1, min(_ROWS, _AT_ONCE // self.scale))
        try:
            for batch in self._file.iter_batches(count, columns=[self._column], use_threads=False):
                for cell in batch.column(0).to_pylist():
                    yield _row(cell, place, place * self.scale, encoding)
                    place += 1
        except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:
            raise _refused(error) from None


def _refused(error: Exception) -> Exception:
    """What to tell of an error of Arrow, which has an OSError without a number for broken files."""
    if isinstance(error, OSError) and error.errno is not None:
        return error
    told = (str(error).splitlines() or [type(error).__name__])[0]
    return BadTable(f"it is no readable parquet file: {told}")


def _row(cell: object, place: int, offset: int, encoding: str) -> Row:
    number = place + 1
    if cell is None or cell != cell:  # null, or NaN
        return Row(number, offset, "", "no text")
    try:
        text = (decode(cell, encoding) if isinstance(cell, bytes) else str(cell)).strip()
    except BadEncoding as error:
        return Row(number, offset, "", str(error))
    return Row(number, offset, text, binary_reason(text) if text else "no text")
