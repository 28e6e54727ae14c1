"""Documents without classes in files of any size: read as a stream, never whole in memory.

What is listed are pieces: a line, a row of a table or a file where those are small, else some
64 KiB of one. A piece is what a split has or has not; where it begins is known without reading what
comes before it.

F files, N pieces.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fmkit.core.safe_io import open_regular
from fmkit.data.examples import Content, TextPart
from fmkit.data.findings import UnusableInput
from fmkit.data.formats.table_stream import CSV, PARQUET, BadTable, Parquet, Row, csv_rows
from fmkit.data.formats.text_encoding import (
    MAX_CHARACTERS,
    BadEncoding,
    bom_encoding,
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
        changed: time of the last change, nanoseconds since 1970.
        block: bytes of a piece; 0 where a piece is a line, or the whole file.
        end: where reading ends, in bytes; the size unless `data.limit` comes before. Of a parquet
            file, whose rows have no place in bytes, as `table_rows.Parquet` counts offsets.
    """

    path: str
    name: str
    size: int
    changed: int
    block: int = 0
    end: int = 0


@dataclass(frozen=True)
class DocumentFormat:
    """How documents lie in files.

    Attributes:
        by_line: a line, or a row of a table, is a document; otherwise a file is one.
        encoding: of the files.
        text_column: key of the text in a `.jsonl`, or column of it in a table.
        quotes: cells of a CSV or TSV may stand in double quotes.
    """

    by_line: bool
    encoding: str
    text_column: str = "text"
    quotes: bool = True


BadRow = Callable[[int, str], None]
"""Called with the number of a row of a table that cannot be used, and why."""


@dataclass(frozen=True, eq=False)
class Documents(Content):
    """Pieces of text files.

    Attributes:
        files: F of them.
        form: how documents lie in them.
        file_of: the file of each piece, (N,) int64, not falling.
        numbers: which piece of its file each is, (N,) int64, rising in a file.
    """

    modality: ClassVar[str] = "text"
    are_pieces: ClassVar[bool] = True
    files: tuple[TextFile, ...]
    form: DocumentFormat
    file_of: np.ndarray
    numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.file_of)

    def take(self, indices: np.ndarray) -> Documents:
        """The pieces at `indices`, which rise."""
        return Documents(self.files, self.form, self.file_of[indices], self.numbers[indices])

    def shape(self) -> str:
        """How documents lie in the files."""
        return f"documents, {'lines' if self.form.by_line else 'files'}"

    def identity(self, index: int) -> tuple[int, bytes]:
        """The size of the piece's file."""
        return self.files[self.file_of[index]].size, b""

    def digest(self) -> str:
        """SHA-256 of paths, sizes and times of change: what a cache on this machine goes by."""
        found = hashlib.sha256(repr(self.form).encode())
        for each in self.files:
            row = f"{each.path}\0{each.size}\0{each.changed}\0{each.block}\0{each.end}\n"
            found.update(row.encode("utf-8", "surrogateescape"))
        for array in (self.file_of, self.numbers):
            found.update(np.ascontiguousarray(array, np.int64).data)
        return found.hexdigest()

    def text_size(self) -> int:
        """Bytes of all files."""
        return sum(file.end for file in self.files)

    def text_parts(self) -> Iterator[TextPart]:
        """All that is in the pieces, in order; at most about a chunk of it is held.

        Raises:
            Unusable: a file is no text in the encoding that was named.
            OSError: it cannot be read.
        """
        for number in np.unique(self.file_of):
            yield from self.parts_of(int(number))

    def parts_of(self, file: int, bad_row: BadRow | None = None) -> Iterator[TextPart]:
        """What is in the pieces of one file; see `text_parts`.

        Rows of a table that cannot be used are passed over, as lines without a text are.

        Args:
            file: which one.
            bad_row: told of each.
        """
        first, last = np.searchsorted(self.file_of, [file, file + 1])
        numbers = self.numbers[first:last]
        places = np.full(int(numbers.max()) + 1, -1, np.int64)
        places[numbers] = np.arange(first, last)
        if not self.form.by_line:
            yield from _stretches(self.files[file], self.form, places)
        elif is_table(self.files[file]):
            yield from _rows(self.files[file], self.form, places, bad_row)
        else:
            yield from _lines(self.files[file], self.form, places)


def is_table(file: TextFile) -> bool:
    """Whether the rows of a file are its documents where lines would be."""
    return file.name.lower().endswith((*CSV, *PARQUET))


def line_offsets(file: TextFile, form: DocumentFormat) -> Iterator[tuple[int, int]]:
    """Number and offset of each line that is not empty, or of each row that can be used.

    Raises:
        Unusable: see `Documents.text_parts`.
        OSError: it cannot be read.
    """
    if is_table(file):
        for row in table_rows(file, form):
            if not row.fault:
                yield row.number, row.offset
        return
    last = 0
    for number, offset, line in lines(file, form.encoding, MAX_CHARACTERS):
        if number != last and not line.isspace():  # a long line comes in parts
            last = number
            yield number, offset


def table_rows(file: TextFile, form: DocumentFormat) -> Iterator[Row]:
    """The rows of a table, those that cannot be used as well.

    Raises:
        Unusable: it is no table, or lacks the column.
        OSError: it cannot be read.
    """
    try:
        if file.name.lower().endswith(PARQUET):
            table = Parquet(file.path, file.name, form.text_column)
            for row in table.read(form.encoding):
                if row.offset >= file.end:
                    return
                yield row
            return
        yield from csv_rows(
            lambda: lines(file, form.encoding, MAX_CHARACTERS),
            file.name,
            form.text_column,
            form.quotes,
        )
    except BadTable as error:
        raise UnusableInput("not_text", str(error)) from None


def _rows(
    file: TextFile, form: DocumentFormat, places: np.ndarray, bad_row: BadRow | None
) -> Iterator[TextPart]:
    """The texts of a table's rows, each a document."""
    for row in table_rows(file, form):
        if row.fault:
            if bad_row is not None:
                bad_row(row.number, row.fault)
            continue
        piece = row.offset // file.block if file.block else row.number
        if piece < len(places) and places[piece] >= 0:
            yield TextPart(int(places[piece]), row.text, True)


def _lines(file: TextFile, form: DocumentFormat, places: np.ndarray) -> Iterator[TextPart]:
    """The lines of a file that are not empty, each a document."""
    is_json = file.name.lower().endswith(JSON_LINES)
    for number, offset, line in lines(file, form.encoding, MAX_CHARACTERS):
        if len(line) > MAX_CHARACTERS:
            raise UnusableInput(
                "not_text",
                f"line {number:,} has more than {MAX_CHARACTERS:,} characters; a file that is one "
                "document is for data=text_files",
            )
        piece = offset // file.block if file.block else number
        if piece >= len(places) or places[piece] < 0 or line.isspace():
            continue
        text = _from_json(line, number, form.text_column) if is_json else line.strip()
        yield TextPart(int(places[piece]), text, True)


JSON_LINES = (".jsonl", ".ndjson")
"""How names of files end that have a JSON object per line."""


def _from_json(line: str, number: int, key: str) -> str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UnusableInput("not_text", f"line {number:,} is no JSON: {error}") from None
    if not isinstance(row, dict) or not isinstance(row.get(key), str):
        raise UnusableInput(
            "not_text",
            f"line {number:,} is no object with a text under {key!r}; "
            "data.text_column names the key",
        )
    text: str = row[key]
    if "\0" in text:
        raise UnusableInput("not_text", f"line {number:,} has a NUL character")
    return text.strip()


def _stretches(file: TextFile, form: DocumentFormat, places: np.ndarray) -> Iterator[TextPart]:
    """A file as one document, in parts of at most a chunk that end with a line where they can."""
    kept: list[str] = []
    size, current = 0, -1
    for piece, text in _by_piece(file, form):
        place = int(places[piece]) if piece < len(places) else -1
        if kept and (place != current or size + len(text) > CHUNK):
            yield TextPart(current, "".join(kept), False)
            kept, size = [], 0
        current = place
        if place >= 0:
            kept.append(text)
            size += len(text)
    if kept:
        yield TextPart(current, "".join(kept), True)


def _by_piece(file: TextFile, form: DocumentFormat) -> Iterator[tuple[int, str]]:
    """A file's lines, long ones cut, with the number of the piece that each begins in."""
    most = min(file.block or CHUNK, CHUNK)
    for _, offset, line in lines(file, form.encoding, CHUNK):
        for start in range(0, len(line), most):
            piece = (offset + start) // file.block if file.block else 0
            yield piece, line[start : start + most]


def lines(file: TextFile, encoding: str, most: int) -> Iterator[tuple[int, int, str]]:
    """Number from 1, offset and text of each line, its end included, which is `\\n`.

    An offset is where the line begins, in bytes; inside a chunk it is interpolated, for encodings
    have characters of different lengths. It depends on the file alone.

    Args:
        file: the file.
        encoding: its encoding.
        most: characters of a line beyond which it is given in parts.

    Raises:
        Unusable: it is no text in that encoding.
        OSError: it cannot be read.
    """
    number, rest, rest_offset = 1, "", 0
    for offset, size, text in _chunks(file, encoding):
        *whole, last = text.split("\n")
        place = 0
        for each in whole:
            at = offset + place * size // len(text)
            line = f"{rest}{each}\n"
            begins = rest_offset if rest else at
            rest = ""
            if begins >= file.end:
                return
            yield number, begins, line
            number += 1
            place += len(each) + 1
        if not rest:
            rest_offset = offset + (place * size // len(text) if text else 0)
        rest += last
        if len(rest) > most:
            yield number, rest_offset, rest
            rest = ""
    if rest and rest_offset < file.end:
        yield number, rest_offset, rest


def _chunks(file: TextFile, encoding: str) -> Iterator[tuple[int, int, str]]:
    """Offset and size in bytes, and text, of one chunk after the other; line ends become `\\n`."""
    decoder = codecs.getincrementaldecoder(encoding)()
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    offset, count = 0, 1
    with open_regular(file.path) as stream:
        while True:
            content = stream.read(CHUNK)
            if not offset:
                _check_mark(content, encoding)
            waiting = decoder.getstate()[0]
            waiting = waiting if isinstance(waiting, bytes) else b""
            try:
                decoded = decoder.decode(content, final=not content)
            except UnicodeDecodeError as error:
                begin = offset - len(waiting)
                shown = error.object[error.start : error.start + 1].hex()
                why = f"byte {begin + error.start:,} (0x{shown}) is not {encoding}"
                raise _bad(why, content) from None
            except UnicodeError as error:
                raise _bad(f"it is not {encoding} ({error})", content) from None
            text = newlines.decode(decoded, final=not content)
            if not offset:
                text = text.removeprefix("\ufeff")
            if "\0" in text:
                line = count + text[: text.index("\0")].count("\n")
                guess = guess_encoding(content)
                maybe = f"; perhaps it is {guess}" if guess.startswith("utf-") else ""
                raise UnusableInput("not_text", f"line {line:,} has a NUL character{maybe}")
            count += text.count("\n")
            if text:
                yield offset, len(content), text
            if not content:
                return
            offset += len(content)


def _check_mark(content: bytes, encoding: str) -> None:
    mark = bom_encoding(content)
    if mark and not codecs.lookup(encoding).name.startswith(mark):
        raise UnusableInput(
            "bad_encoding", str(BadEncoding(f"it begins with the mark of {mark.upper()}", mark))
        )


def _bad(why: str, content: bytes) -> UnusableInput:
    return UnusableInput("bad_encoding", str(BadEncoding(why, guess_encoding(content))))
