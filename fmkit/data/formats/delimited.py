"""Rows of text tables, CSV and TSV, as a stream.

A `.csv` may be separated by commas, semicolons, tabs or bars. Every cell is text, so that `012`,
`True` and `NA` are class names as they stand; white space around a cell is removed. The columns of
a table without a header are `column_1`, `column_2` and so on.
"""

import contextlib
import csv
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fmkit.core.errors import (
    closest_names,
    combine_messages,
    join_names,
    plural,
    short_repr,
)
from fmkit.data.findings import UnusableInput
from fmkit.data.formats.text_files import MAX_CHARACTERS

CSV = (".csv", ".tsv")
"""How names of tables end that are text."""
SEPARATORS = {
    ".csv": (",", ";", "\t", "|"),
    ".tsv": ("\t",),
    ".txt": ("\t", ",", ";", "|"),
}
"""By the end of a name, the separators that a table with a header may have."""

NUMBERED = re.compile(r"column_[1-9]\d*")
"""Names of the columns of a table without a header."""

_SPACE = " "  # of lists such as `images/1.jpg 3`, which have no header
_PROBED = 50  # rows by which the separator of a table without a header is known
_MOSTLY = 0.9  # share of these that have equally many cells

_EXCEL = re.compile(r'"?sep=.?"?\s*')
"""A first line that tells Excel the separator."""

_MAX_COLUMNS = 1000  # that a missing one is compared with

Lines = Iterable[tuple[int, int, str]]
"""Number from 1, offset in bytes, and text of each line, its end included."""


class ColumnError(UnusableInput):
    """A table lacks columns, has one twice, or has something else than texts in it.

    Attributes:
        missing: the columns that it lacks.
        repeated: those that it has more than once.
    """

    def __init__(
        self, kind: str, why: str, missing: Sequence[str] = (), repeated: Sequence[str] = ()
    ) -> None:
        super().__init__(kind, why)
        self.missing, self.repeated = missing, repeated


class CsvError(UnusableInput):
    """A row of a CSV or TSV cannot be separated into cells, perhaps because of its quotes."""


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        index: its position, from 0, without the header and rows of empty cells.
        line: the line that it begins in, from 1; where rows have no lines its position, from 1.
        offset: where it begins, in bytes; in a parquet file by the mean size of a row.
        cells: as texts, by column; none where the row cannot be used.
        fault: why it cannot be used; empty where it can.
        place: where the file has it, such as `line 5`; empty where its position is all there is.
        split: that of the sheet of a workbook; empty where the file does not say.
    """

    index: int
    line: int
    offset: int
    cells: dict[str, str]
    fault: str = ""
    place: str = ""
    split: str = ""


def csv_rows(
    open_lines: Callable[[], Lines],
    suffix: str,
    columns: Sequence[str],
    quotes: bool,
    optional: Sequence[str] | None = (),
    header: bool | None = None,
) -> Iterator[Row]:
    """The rows of a CSV or TSV as a stream; rows of empty cells are left out.

    Args:
        open_lines: starts to read the lines, once for each separator's header and once for rows.
        suffix: a key of `SEPARATORS`, or empty; the separator is that whose header has most of the
            columns, and of those one that divides it most; without columns that which divides the
            first rows alike.
        columns: those that it has to have.
        quotes: a cell may be in double quotes.
        optional: those that are read besides, where it has them; None: all.
        header: whether the first row has the names of the columns; None: it has them unless all
            `columns` are such as `column_1`, and are not in it.

    Raises:
        UnusableInput: a column is missing, or a row cannot be read.
    """

    def first_rows(separator: str, count: int) -> list[list[str]]:
        rows = []
        with contextlib.suppress(CsvError):  # it cannot be read by this separator
            for _, _, cells in itertools.islice(_records(open_lines(), separator, quotes), count):
                rows.append([cell.strip() for cell in cells])
        return rows

    separators = SEPARATORS[suffix or ".txt"]
    count = 1 if columns else _PROBED
    separator, names = _header(columns, {name: first_rows(name, count) for name in separators})
    is_numbered = bool(columns) and all(map(NUMBERED.fullmatch, columns))
    has_header = header or (header is None and not (is_numbered and {*columns} - {*names}))
    if not has_header:
        spaces = (_SPACE,) if suffix in ("", ".txt") else ()
        samples = {name: first_rows(name, _PROBED) for name in (*separators, *spaces)}
        separator, width = _even_separator(samples)
        names = [f"column_{number}" for number in range(1, width + 1)]
    check_columns(columns, names)
    shown = names if optional is None else [*columns, *set(optional).intersection(names)]
    positions = {name: names.index(name) for name in shown}
    records = _records(open_lines(), separator, quotes)
    if has_header:
        next(records)
    for index, (line, offset, cells) in enumerate(records):
        if len(cells) != len(names):
            others = "the header has" if has_header else "most have"
            fault = f"line {line} has {plural(len(cells), 'cell')}, {others} {len(names)}"
            yield Row(index, line, offset, {}, fault, f"line {line}")
            continue
        texts = {name: cells[position].strip() for name, position in positions.items()}
        yield Row(index, line, offset, texts, place=f"line {line}")


def _header(
    columns: Sequence[str], first_rows: Mapping[str, list[list[str]]]
) -> tuple[str, list[str]]:
    """The separator of a table, and its first row, out of those by each separator."""
    headers = {separator: rows[0] for separator, rows in first_rows.items() if rows}
    if not any(headers.values()):
        raise UnusableInput("not_text", "it has no header that can be read")
    if not columns:
        separator, width = _even_separator(first_rows)
        if width == len(headers.get(separator, ())) > 1:
            return separator, headers[separator]

    def fit(item: tuple[str, list[str]]) -> tuple[int, int]:
        return len(set(columns) & set(item[1])), len(item[1])

    return max(headers.items(), key=fit)


def _even_separator(samples: Mapping[str, list[list[str]]]) -> tuple[str, int]:
    """The separator that divides nearly all rows into equally many cells, and how many."""
    best, width = next(iter(samples)), 1
    for separator, rows in samples.items():
        (cells, count), *_ = Counter(map(len, rows)).most_common(1) or [(0, 0)]
        if cells > width and count >= _MOSTLY * len(rows) and (separator != _SPACE or width == 1):
            best, width = separator, cells
    return best, width


def _records(lines: Lines, separator: str, quotes: bool) -> Iterator[tuple[int, int, list[str]]]:
    """Line, offset and cells of each row that is more than white space."""
    starts: list[tuple[int, int]] = []  # number and offset of the lines of a row

    def texts() -> Iterator[str]:
        for number, offset, text in _without_comments(lines, separator):
            if number == 1 and _EXCEL.fullmatch(text):
                continue
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


def _without_comments(lines: Lines, separator: str) -> Iterator[tuple[int, int, str]]:
    """Lines without the comments at the start of a table: `# exported ...` above its header.

    A header may begin with `#`, too: a comment has one cell, and the next other line several.
    """
    rest = iter(lines)
    comments: list[tuple[int, int, str]] = []
    for line in rest:
        if not line[2].startswith("#"):
            if separator not in line[2] or any(separator in text for _, _, text in comments):
                yield from comments
            yield line
            break
        comments.append(line)
    else:
        yield from comments
    yield from rest


def check_columns(columns: Sequence[str], names: Sequence[str]) -> None:
    """Raise `UnusableInput` for a table without some of the columns, or with one of them twice."""
    cut = (name if len(name) <= 40 else f"{name[:37]}..." for name in names[:_MAX_COLUMNS])
    shown = [name if name.isprintable() else ascii(name)[1:-1] for name in cut]
    missing = [name for name in columns if name not in names]
    problems = []
    for name in missing:
        close = closest_names(name, shown)
        guess = f" (did you mean {' or '.join(close)}?)" if close else ""
        problems.append(f"it has no column {short_repr(name)}{guess}")
    counts = {name: names.count(name) for name in columns if names.count(name) > 1}
    for name, count in counts.items():
        problems.append(f"it has {'two' if count == 2 else count} columns {name!r}")
    if problems:
        listed = f"its columns are {join_names(shown)}" if missing else ""
        separator = "; " if len(problems) == 1 else "\n"
        why = separator.join(filter(None, (combine_messages(problems), listed)))
        raise ColumnError("not_text", why, missing, [*counts])
