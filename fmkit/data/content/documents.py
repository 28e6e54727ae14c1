"""Documents without classes in files of any size: read as a stream, never whole in memory.

The examples are pieces: a line, a row of a table or a file where those are small, else some 64 KiB
of one. A split consists of pieces; where one begins is known without reading what comes before it.

F files, N pieces.
"""

import codecs
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from fmkit.core.safe_io import open_regular
from fmkit.data.examples import Content, TextPart
from fmkit.data.findings import UnusableInput
from fmkit.data.formats.annotation_exports import flat
from fmkit.data.formats.delimited import CSV, ColumnError, CsvError, Row, csv_rows
from fmkit.data.formats.json_records import JSON_LINES, json_reason
from fmkit.data.formats.parquet_table import PARQUET, ParquetTable
from fmkit.data.formats.text_files import (
    MAX_CHARACTERS,
    binary_reason,
    check_bom,
    decode_error,
    guess_encoding,
)

CHUNK = 2**20
"""Bytes that are read at once."""


@dataclass(frozen=True)
class TextFile:
    """A file of documents.

    Attributes:
        name: its path from the root, with forward slashes.
        size: bytes.
        changed: modification time, nanoseconds since 1970.
        block: bytes of a piece; 0 where a piece is a line, or the whole file.
        end: where reading ends, in bytes; the size unless `data.limit` comes before. Rows of a
            parquet file have no position in bytes: see `table_rows`.
        encoding: its own, where that is not the one of the format.
    """

    path: str
    name: str
    size: int
    changed: int
    block: int = 0
    end: int = 0
    encoding: str = ""


@dataclass(frozen=True)
class DocumentFormat:
    """How documents are stored in files.

    Attributes:
        by_line: a line, or a row of a table, is a document; otherwise a file is one.
        encoding: of the files.
        text_column: key of the text in a `.jsonl`, or column of it in a table.
        quotes: cells of a CSV or TSV may be in double quotes.
        header: of a CSV or TSV, see `csv_rows`.
    """

    by_line: bool
    encoding: str
    text_column: str = "text"
    quotes: bool = True
    header: bool | None = field(default=None, repr=False)  # digests of older runs lack it


@dataclass(frozen=True, eq=False)
class Documents(Content):
    """Pieces of text files.

    Attributes:
        files: F of them.
        format: how documents are stored in them.
        file_of: the file of each piece, (N,) int64, not falling.
        numbers: which piece of its file each is, (N,) int64, rising in a file.
    """

    modality: ClassVar[str] = "text"
    are_pieces: ClassVar[bool] = True
    columns: ClassVar = ("file_of", "numbers")  # to be taken in rising order
    files: tuple[TextFile, ...]
    format: DocumentFormat
    file_of: np.ndarray
    numbers: np.ndarray

    def identity(self, index: int) -> tuple[int, bytes]:
        """The size of the piece's file."""
        return self.files[self.file_of[index]].size, b""

    def shape(self) -> str:
        """How documents are stored in the files."""
        return f"documents, {'lines' if self.format.by_line else 'files'}"

    def digest(self) -> str:
        """SHA-256 of paths, sizes, modification times and pieces."""
        digest = hashlib.sha256(repr(self.format).encode())
        if self.format.header is not None:
            digest.update(repr(self.format.header).encode())
        for file in self.files:
            row = f"{file.path}\0{file.size}\0{file.changed}\0{file.block}\0{file.end}"
            row += f"\0{file.encoding}\n" if file.encoding else "\n"  # older digests lack it
            digest.update(row.encode("utf-8", "surrogateescape"))
        for array in (self.file_of, self.numbers):
            digest.update(np.ascontiguousarray(array, np.int64).data)
        return digest.hexdigest()

    def text_size(self) -> int:
        """Bytes of all files."""
        return sum(file.end for file in self.files)

    def text_parts(self) -> Iterator[TextPart]:
        """All that is in the pieces, in order; about a chunk of it is held at most."""
        for number in np.unique(self.file_of):
            yield from self.parts_of(int(number))

    def parts_of(
        self, number: int, bad_row: Callable[[int, str], None] | None = None
    ) -> Iterator[TextPart]:
        """What is in the pieces of a file, by its number; see `text_parts`.

        Rows of a table that cannot be used are skipped, as lines without a text are; `bad_row` is
        called with the number of each such row, and why.
        """
        file, format = self.files[number], self.format
        first, last = np.searchsorted(self.file_of, [number, number + 1])
        pieces = self.numbers[first:last]
        index_of = np.full(int(pieces.max()) + 1, -1, np.int64)
        index_of[pieces] = np.arange(first, last)
        if not format.by_line:
            yield from _whole_file(file, format, index_of)
        elif is_table(file):
            for row in table_rows(file, format):
                if row.fault and bad_row is not None:
                    bad_row(row.line, row.fault)
                index = _piece_index(file, index_of, row.line, row.offset)
                if index >= 0 and not row.fault:
                    yield TextPart(index, row.cells[format.text_column])
        else:
            for line_number, offset, line in _short_lines(file, format):
                index = _piece_index(file, index_of, line_number, offset)
                if index >= 0 and not line.isspace():
                    yield TextPart(index, line.strip())


def is_table(file: TextFile) -> bool:
    """Whether the documents of a file are rows of a table, or of JSON, instead of lines."""
    return file.name.lower().endswith((*CSV, *PARQUET, *JSON_LINES))


def line_offsets(file: TextFile, format: DocumentFormat) -> Iterator[tuple[int, int]]:
    """Number and offset of each line that is not empty, or of each row that can be used.

    Raises what `Content.text_parts` raises.
    """
    if is_table(file):
        for row in table_rows(file, format):
            if not row.fault:
                yield row.line, row.offset
        return
    previous = 0
    for number, offset, line in lines(file, format.encoding, MAX_CHARACTERS):
        if number != previous and not line.isspace():  # a long line comes in parts
            previous = number
            yield number, offset


def table_rows(file: TextFile, format: DocumentFormat) -> Iterator[Row]:
    """The rows of a table, including those that cannot be used.

    Raises what `Content.text_parts` raises, also where it is not a table or lacks the column.
    """
    columns, suffix = [format.text_column], Path(file.name).suffix.lower()
    try:
        if suffix in PARQUET:
            table, row_bytes = open_parquet(file, format)
            rows = table.text_rows(columns, format.encoding, row_bytes)
        elif suffix in JSON_LINES:
            rows = _json_rows(file, format)
        else:
            rows = csv_rows(
                lambda: _short_lines(file, format),
                suffix,
                columns,
                format.quotes,
                header=format.header,
            )
        for row in rows:
            if row.offset >= file.end:
                return
            text = row.cells.get(format.text_column, "")
            missing = "no text" + (f" ({row.place})" if row.place else "")
            if suffix in JSON_LINES:  # as an empty line
                missing = ""
            fault = row.fault or (binary_reason(text) if text else missing)
            yield replace(row, fault=fault) if fault else row
    except ColumnError as error:
        hint = "data.text_column names the column"
        raise UnusableInput(error.kind, f"{error.why}; {hint}") from None
    except CsvError as error:
        hint = "; if double quotes mean nothing in this file: data.quotes=false"
        raise UnusableInput(error.kind, error.why + (hint if format.quotes else "")) from None


def _short_lines(file: TextFile, format: DocumentFormat) -> Iterator[tuple[int, int, str]]:
    """The lines of a file (see `lines`), none of which is longer than a text may be."""
    for number, offset, line in lines(file, format.encoding, MAX_CHARACTERS):
        if len(line) > MAX_CHARACTERS:
            raise UnusableInput(
                "not_text",
                f"line {number:,} has more than {MAX_CHARACTERS:,} characters; a file that is one "
                "document is for data=text_files",
            )
        yield number, offset, line


def open_parquet(file: TextFile, format: DocumentFormat) -> tuple[ParquetTable, int]:
    """A parquet file, and the approximate bytes of a text: the distance of two rows' offsets."""
    table = ParquetTable(file.path)
    table.check_texts([format.text_column])
    return table, table.bytes_per_row(format.text_column)


def _json_rows(file: TextFile, format: DocumentFormat) -> Iterator[Row]:
    """The lines of a `.jsonl` that are not empty, each an object with a text under a key."""
    key, index = format.text_column, -1
    for number, offset, line in _short_lines(file, format):
        if line.isspace():
            continue
        index += 1
        fault, value = "", None
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            fault = f"line {number:,} is not valid JSON: {json_reason(error)}"
        value = value if "." not in key or not isinstance(value, dict) else flat(value)
        text = value.get(key) if isinstance(value, dict) else None
        if not fault and not isinstance(text, str):
            why = f"line {number:,} is not an object with a text under {key!r}"
            fault = f"{why}; data.text_column names the key"
        cells = {key: text.strip()} if isinstance(text, str) else {}
        yield Row(index, number, offset, cells, fault, f"line {number}")


def _whole_file(file: TextFile, format: DocumentFormat, index_of: np.ndarray) -> Iterator[TextPart]:
    """A file as one document, in parts of at most a chunk that end with a line where they can."""
    pending: list[str] = []
    size, current = 0, -1
    step = min(file.block or CHUNK, CHUNK)  # a longer line is divided: it may be in several pieces
    for _, offset, line in lines(file, file.encoding or format.encoding, CHUNK):
        for start in range(0, len(line), step):
            text = line[start : start + step]
            index = _piece_index(file, index_of, 0, offset + start)
            if pending and (index != current or size + len(text) > CHUNK):
                yield TextPart(current, "".join(pending), is_last=False)
                pending, size = [], 0
            current = index
            if index >= 0:
                pending.append(text)
                size += len(text)
    if pending:
        yield TextPart(current, "".join(pending))


def _piece_index(file: TextFile, index_of: np.ndarray, number: int, offset: int) -> int:
    """The piece at an offset, or else of a line or row; -1 where it is not among the examples."""
    piece = offset // file.block if file.block else number
    return int(index_of[piece]) if piece < len(index_of) else -1


def lines(file: TextFile, encoding: str, max_characters: int) -> Iterator[tuple[int, int, str]]:
    """Number from 1, offset and text of each line, its end included, which is `\\n`.

    An offset is where the line begins, in bytes; inside a chunk it is interpolated, for encodings
    have characters of different lengths. It depends on the file alone. A line of more than
    `max_characters` comes in parts.
    """
    number, rest, rest_offset = 1, "", 0
    for offset, size, text in _chunks(file, encoding):
        *complete, last = text.split("\n")
        position = 0
        for line in complete:
            start = rest_offset if rest else offset + position * size // len(text)
            if start >= file.end:
                return
            yield number, start, f"{rest}{line}\n"
            rest = ""
            number += 1
            position += len(line) + 1
        if not rest:
            rest_offset = offset + (position * size // len(text) if text else 0)
        rest += last
        if len(rest) > max_characters:
            yield number, rest_offset, rest
            rest = ""
    if rest and rest_offset < file.end:
        yield number, rest_offset, rest


def _chunks(file: TextFile, encoding: str) -> Iterator[tuple[int, int, str]]:
    """Offset and size in bytes, and text, of one chunk after the other; line ends become `\\n`."""
    decoder = codecs.getincrementaldecoder(encoding)()
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    offset, line_count = 0, 1
    with open_regular(file.path) as stream:
        while True:
            content = stream.read(CHUNK)
            if not offset:
                check_bom(content, encoding)
            buffered = decoder.getstate()[0]  # bytes of a character that the last chunk began
            start = offset - (len(buffered) if isinstance(buffered, bytes) else 0)
            try:
                decoded = decoder.decode(content, final=not content)
            except UnicodeError as error:
                raise decode_error(error, content, encoding, start) from None
            text = newlines.decode(decoded, final=not content)
            if not offset:
                text = text.removeprefix("\ufeff")
            if "\0" in text:
                line = line_count + text[: text.index("\0")].count("\n")
                guess = guess_encoding(content)
                hint = f"; perhaps it is {guess}" if guess.startswith("utf-") else ""
                raise UnusableInput("not_text", f"line {line:,} has a NUL character{hint}")
            line_count += text.count("\n")
            if text:
                yield offset, len(content), text
            if not content:
                return
            offset += len(content)
