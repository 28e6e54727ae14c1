"""Reading text files: whole, or line by line, with the encoding checked."""

from __future__ import annotations

from collections.abc import Iterator

from fmkit.core.safe_io import RefusedFile, open_regular
from fmkit.data.formats import file_type
from fmkit.data.formats.text_encoding import (
    MAX_CHARACTERS,
    BadEncoding,
    Fault,
    binary_reason,
    decode,
    read_lines,
)

_LARGEST = 4 * MAX_CHARACTERS  # bytes of a file that is a text; no character takes more than 4


def _of(name: str, fault: Fault) -> tuple[str, str, str]:
    return fault[0], name, fault[1]


def read_file(path: str, encoding: str) -> tuple[str, Fault | None]:
    """The text of a file; empty, with the reason, where it has none."""
    content, fault = read_bytes(path, _LARGEST)
    if fault is not None:
        return "", fault
    try:
        text = decode(content, encoding).strip()
    except BadEncoding as error:
        return "", ("bad_encoding", str(error))
    if not text:
        return "", ("empty_file", "white space only" if content else "")
    if wrong := binary_reason(text):
        return "", ("not_text", wrong)
    return text, None


def read_bytes(path: str, most: int | None = None) -> tuple[bytes, Fault | None]:
    """All of a file, or why it cannot be read."""
    try:
        with open_regular(path) as stream:
            content = stream.read(-1 if most is None else most + 1)
    except RefusedFile as error:
        return b"", ("special_file", file_type.file_type(error.mode))
    except OSError as error:
        return b"", ("unreadable", str(error.strerror or error))
    if most is not None and len(content) > most:
        return b"", ("not_text", f"it has more than {most:,} bytes")
    return content, None


def line_id(where: str, number: int) -> str:
    """The id of a line of a class file, by its number from 1."""
    return f"{where}:{number:06d}"


def numbered_lines(content: bytes, encoding: str) -> Iterator[tuple[int, str, Fault | None]]:
    """The lines of a file that are not empty: number from 1, text, and what is wrong with it.

    Raises:
        BadEncoding: the file is in another encoding, as a whole.
    """
    found = read_lines(content, encoding)
    stripped = ((number, text.strip(), fault) for number, text, fault in found)
    return (each for each in stripped if each[1] or each[2] is not None)
