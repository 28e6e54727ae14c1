"""Text files: opened, read whole or line by line, with the encoding checked.

Every function raises `UnusableInput` for a file that cannot be used; sources that read a single
file turn it into a `DataError`.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from fmkit.core.errors import DataError
from fmkit.core.safe_io import RefusedFile, open_regular
from fmkit.data.findings import UnusableInput
from fmkit.data.formats import file_type
from fmkit.data.formats.text_encoding import (
    MAX_CHARACTERS,
    BadEncoding,
    binary_reason,
    decode,
    decode_part,
    lines,
    refuse_other,
)

_LARGEST = 4 * MAX_CHARACTERS  # bytes of a file that is one text; a character takes at most 4


class Line(NamedTuple):
    """A line of a file.

    Attributes:
        number: from 1, as editors count.
        text: without its end; empty where the line cannot be used.
        fault: why it cannot be used.
    """

    number: int
    text: str
    fault: UnusableInput | None = None


def open_input(path: str) -> IO[bytes]:
    """A regular file, for reading."""
    try:
        return open_regular(path)
    except RefusedFile as error:
        raise UnusableInput("special_file", file_type.file_type(error.mode)) from None
    except OSError as error:
        raise UnusableInput("unreadable", str(error.strerror or error)) from None


def read_bytes(path: str, most: int | None = None) -> bytes:
    """All of a file, of at most `most` bytes."""
    with open_input(path) as stream:
        try:
            content = stream.read(-1 if most is None else most + 1)
        except OSError as error:
            raise UnusableInput("unreadable", str(error.strerror or error)) from None
    if most is not None and len(content) > most:
        raise UnusableInput("not_text", f"it has more than {most:,} bytes")
    return content


def read_text(path: str, encoding: str, most: int | None = None) -> str:
    """All of a file as text, which is more than white space."""
    content = read_bytes(path, most)
    text = decode(content, encoding)
    if not text.strip():
        raise UnusableInput("empty_file", "white space only" if content else "")
    return text


def read_document(path: str, encoding: str) -> str:
    """The text of a file that is one document, without white space around it."""
    text = read_text(path, encoding, _LARGEST).strip()
    if reason := binary_reason(text):
        raise UnusableInput("not_text", reason)
    return text


def read_lines(path: str, encoding: str) -> Iterator[Line]:
    """The lines of a file, empty ones included.

    Where lines can be separated before they are decoded, a bad line costs only itself.
    """
    content = read_bytes(path)
    refuse_other(content, encoding)
    if codecs.encode("a\n", encoding) != b"a\n":
        for number, text in enumerate(lines(decode(content, encoding)), start=1):
            yield _line(number, text)
        return
    offset = 0
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        try:
            yield _line(number, decode_part(line, encoding, offset))
        except UnusableInput as error:
            yield Line(number, "", error)
        offset += len(line)


def _line(number: int, text: str) -> Line:
    reason = binary_reason(text)
    if reason:
        return Line(number, "", UnusableInput("not_text", reason))
    return Line(number, text.rstrip("\r\n"))


def nonempty_lines(path: str, encoding: str) -> Iterator[Line]:
    """The lines of a file that are not empty, without white space around them."""
    stripped = (line._replace(text=line.text.strip()) for line in read_lines(path, encoding))
    return (line for line in stripped if line.text or line.fault is not None)


def line_id(file: str, number: int) -> str:
    """The id of a line of a file, by its number from 1."""
    return f"{file}:{number:06d}"


def as_data_error(
    path: Path,
    error: UnusableInput,
    encoding: str = "utf-8",
    hint: str = "",
    encoding_key: str = "",
) -> DataError:
    """An unusable file as the error of a source that reads only this file.

    Args:
        path: the file.
        error: why it cannot be used.
        encoding: in which it was read.
        hint: what to do where the encoding is right.
        encoding_key: the config key of the encoding; empty: there is none.
    """
    if isinstance(error, BadEncoding):
        hint, likely = "Save it as UTF-8.", error.likely
        if likely and encoding_key:
            hint = f"Perhaps it is {likely}: {encoding_key}={likely}"
        elif likely:
            hint = f"Perhaps it is {likely}. Save it as UTF-8: `iconv -f {likely} -t utf-8`"
        shown = "UTF-8" if encoding == "utf-8" else encoding
        return DataError(f"{path} is not {shown}: {error.reason}.", hint)
    if error.kind == "empty_file":
        return DataError(f"{path} is empty.", hint)
    verb = " cannot be read" if error.kind in ("unreadable", "special_file") else ""
    return DataError(f"{path}{verb}: {error.why}.", hint)
