"""Columns of a CSV, TSV or parquet file as texts, row by row.

A `.csv` may be separated by commas, semicolons or tabs; every cell is text, so that `012`, `True`
and `NA` are class names as they stand. Space around a cell does not count.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fmkit.core.errors import ConfigError, DataError, combine_messages, join_names, received
from fmkit.data.formats.text_encoding import MAX_CHARACTERS, BadEncoding, decode, lines

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".pq")
"""How the names of tables end."""

SEPARATORS = {".csv": (",", ";", "\t"), ".tsv": ("\t",), ".txt": ("\t", ",", ";")}
"""By the end of a name, the separators that a table may have."""


_MAX_COLUMNS = 1000  # that a wanted one is compared with


@dataclass
class Columns:
    """Some columns of a table.

    Attributes:
        cells: by column's name, a text a row; all have the same length.
        numbers: place of each row in the file, from 0; rows that cannot be read leave gaps.
        lines: line of the file that each row begins in, from 1; empty where there are none.
        faults: place, and what is wrong with it, of each row that cannot be read.
    """

    cells: dict[str, list[str]]
    numbers: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    faults: list[tuple[int, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.numbers)

    def rows(self) -> Iterator[dict[str, str]]:
        """The rows, each a text by column's name."""
        names = list(self.cells)
        for row in zip(*self.cells.values(), strict=True):
            yield dict(zip(names, row, strict=True))


def read_columns(
    table: Path, wanted: Sequence[str], hint: str, encoding: str = "utf-8"
) -> dict[str, list[str]]:
    """The wanted columns of a table in which every row can be read (see `read`).

    Raises:
        ConfigError: the file's name ends in nothing that is known.
        DataError: the file cannot be read, columns are missing, or rows have too few cells.
    """
    found = read(table, wanted, hint, encoding)
    if found.faults:
        raise DataError(
            f"{table}: {join_names([why for _, why in found.faults], 5)}.",
            "A cell with the separator in it needs double quotes around it.",
        )
    return found.cells


def read(
    table: Path,
    wanted: Sequence[str],
    hint: str,
    encoding: str = "utf-8",
    quotes: bool = True,
    prefix: str | None = None,
) -> Columns:
    """The wanted columns of a CSV, TSV or parquet file; an empty cell is an empty text.

    Args:
        table: the file.
        wanted: names of columns.
        hint: what to do where one is missing.
        encoding: of a CSV or TSV file, and of bytes in a parquet file.
        quotes: a cell of a CSV or TSV file may stand in double quotes.
        prefix: of the keys `encoding` and `quotes`, such as `data.`; None: the user has none.

    Raises:
        ConfigError: the file's name ends in nothing that is known.
        DataError: the file cannot be read, or columns are missing.
    """
    suffix = table.suffix.lower()
    if suffix in (".parquet", ".pq"):
        return _read_parquet(table, wanted, hint, encoding)
    if suffix not in SEPARATORS:
        allowed = (*SEPARATORS, ".parquet")
        raise ConfigError(received("The table's file extension", suffix, allowed))
    text = _read_text(table, encoding, prefix)
    if not text.strip():
        raise DataError(f"{table} is empty.")
    quotes_hint = ""
    if prefix is not None and quotes:
        means = "If double quotes mean nothing in this file, as in many a .tsv"
        quotes_hint = f"{means}: {prefix}quotes=false"
    reading = _Reading(table, text, quotes, quotes_hint)
    return reading.columns(SEPARATORS[suffix], list(dict.fromkeys(wanted)), hint)


def _read_text(path: Path, encoding: str, prefix: str | None) -> str:
    """All of a text file.

    Raises:
        DataError: it cannot be read, or has another encoding.
    """
    try:
        return decode(path.read_bytes(), encoding)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    except BadEncoding as error:
        guess, hint = error.likely, "Save it as UTF-8."
        if guess:
            hint = f"It may be {guess}. Save it as UTF-8: `iconv -f {guess} -t utf-8`"
            if prefix is not None:
                hint = f"Perhaps it is {guess}: {prefix}encoding={guess}"
        shown = "UTF-8" if encoding == "utf-8" else encoding
        raise DataError(f"{path} is not {shown}: {error.reason}.", hint) from None


@dataclass
class _Reading:
    """A CSV file on its way to columns."""

    table: Path
    text: str
    quotes: bool
    quotes_hint: str

    def columns(self, separators: Sequence[str], wanted: list[str], hint: str) -> Columns:
        """The wanted columns, by the separator that the header tells."""
        before = csv.field_size_limit(MAX_CHARACTERS)
        try:
            headers = {each: self._header(each) for each in separators}
            best = max(headers, key=lambda each: len(set(wanted) & set(headers[each])))
            return self._columns(best, wanted, hint)
        finally:
            csv.field_size_limit(before)

    def _rows(self, separator: str) -> Iterator[tuple[int, list[str]]]:
        """The line that each row begins in, and its cells; rows of empty cells are left out."""
        source = lines(self.text)
        if self.quotes:
            reader = csv.reader(source, delimiter=separator, strict=True)
        else:
            reader = csv.reader(source, delimiter=separator, quoting=csv.QUOTE_NONE, strict=True)
        while True:
            begins = reader.line_num + 1
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise self._error(begins, reader.line_num, error) from None
            if any(each.strip() for each in row):
                yield begins, row

    def _error(self, begins: int, now: int, error: csv.Error) -> DataError:
        return DataError(f"{self.table}, {reason(begins, now, error)}.", self.quotes_hint)

    def _header(self, separator: str) -> list[str]:
        """The first row's cells; none where this separator cannot read it."""
        try:
            _, header = next(self._rows(separator))
        except (DataError, StopIteration):
            return []
        return [each.strip() for each in header]

    def _columns(self, separator: str, wanted: list[str], hint: str) -> Columns:
        rows = self._rows(separator)
        _, first = next(rows, (0, []))
        header = [each.strip() for each in first]
        if error := missing(self.table, wanted, header, hint):
            raise error
        places = {each: header.index(each) for each in wanted}
        found = Columns({each: [] for each in wanted})
        for number, (line, row) in enumerate(rows):
            if len(row) != len(header):
                why = f"line {line} has {len(row)} cells, the header has {len(header)}"
                found.faults.append((number, why))
                continue
            found.numbers.append(number)
            found.lines.append(line)
            for each, place in places.items():
                found.cells[each].append(row[place].strip())
        return found


def reason(begins: int, now: int, error: csv.Error) -> str:
    """Where a row of a CSV begins and ends that cannot be read, and why."""
    where = f"line {begins}" if now <= begins else f"the row from line {begins} to {now}"
    why = str(error)
    if "field limit" in why:
        why = f"a cell of more than {MAX_CHARACTERS:,} characters; is a quote never closed?"
    elif "end of data" in why:
        why = "a double quote is never closed"
    elif "expected after" in why:
        why = f"{why}: a double quote inside a quoted cell has to be doubled"
    return f"{where}: {why.rstrip('.?')}"


def missing(
    table: Path, wanted: Sequence[str], there: Sequence[str], hint: str
) -> DataError | None:
    """What to tell where wanted columns are not there, or twice; None where nothing is wrong."""
    cut = [each if len(each) <= 40 else f"{each[:37]}..." for each in there[:_MAX_COLUMNS]]
    problems = [
        received(f"Column of {table.name}", each, cut) for each in wanted if each not in there
    ]
    problems += [
        f"{table.name} has two columns {each!r}." for each in wanted if there.count(each) > 1
    ]
    if not problems:
        return None
    return DataError(combine_messages(problems), hint)


def _read_parquet(table: Path, wanted: Sequence[str], hint: str, encoding: str) -> Columns:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    names = list(dict.fromkeys(wanted))
    try:
        file = parquet.ParquetFile(table)
        schema = file.schema_arrow
        if error := missing(table, names, list(schema.names), hint):
            raise error
        nested = [each for each in names if arrow.types.is_nested(schema.field(each).type)]
        if nested:
            kinds = [f"{each!r} is {schema.field(each).type}" for each in nested]
            raise DataError(f"{table}: column {join_names(kinds)}; expected texts.", hint)
        content = file.read(columns=names)
        cells = {each: content.column(each).to_pylist() for each in names}
    except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{table} is no readable parquet file: {error}") from None
    return _typed_rows(cells, encoding)


def _typed_rows(cells: dict[str, list], encoding: str) -> Columns:
    """Rows of typed cells as texts."""
    found = Columns({each: [] for each in cells})
    for number, row in enumerate(zip(*cells.values(), strict=True)):
        try:
            texts = [_text(cell, encoding) for cell in row]
        except BadEncoding as error:
            found.faults.append((number, f"row {number + 1}: {error}"))
            continue
        found.numbers.append(number)
        for name, text in zip(cells, texts, strict=True):
            found.cells[name].append(text)
    return found


def _text(cell: object, encoding: str) -> str:
    """A cell of a typed table as text; null and NaN are empty."""
    if cell is None or cell != cell:
        return ""
    return (decode(cell, encoding) if isinstance(cell, bytes) else str(cell)).strip()
