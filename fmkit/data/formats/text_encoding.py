"""Bytes that came from elsewhere as text: decoded whole, or told where and as what they are not."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

MAX_CHARACTERS = 2**24
"""Characters of one text: no model reads as many, and a quote that is never closed ends here."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks; UTF-32's begins with UTF-16's, so it is looked for first."""

_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
_PROBED = 4096  # bytes that tell of an encoding without a mark


class BadEncoding(Exception):
    """Bytes that are no text in the encoding that was named.

    Attributes:
        reason: what is wrong, and at which byte.
        likely: the encoding that they may have; empty where none is likely.
    """

    def __init__(self, reason: str, likely: str) -> None:
        super().__init__(f"{reason}; perhaps it is {likely}" if likely else reason)
        self.reason, self.likely = reason, likely


def bom_encoding(content: bytes) -> str:
    """The encoding whose byte order mark content begins with; empty: none."""
    return next((name for mark, name in _MARKS if content.startswith(mark)), "")


def decode(content: bytes, encoding: str = "utf-8") -> str:
    """All of a file as text, without its byte order mark.

    Args:
        content: the whole file.
        encoding: a name that Python knows.

    Raises:
        BadEncoding: it is something else.
    """
    refuse_other(content, encoding)
    return decode_part(content, encoding)


def decode_part(content: bytes, encoding: str, offset: int = 0) -> str:
    """A part of a file as text, so many bytes after its beginning; the first without its mark.

    Raises:
        BadEncoding: it is something else.
    """
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise BadEncoding(_reason(error, encoding, offset), guess_encoding(content)) from None
    except UnicodeError as error:  # UTF-16 without its mark, among others
        raise BadEncoding(f"it is not {encoding} ({error})", guess_encoding(content)) from None
    return text if offset else text.removeprefix("\ufeff")


def refuse_other(content: bytes, encoding: str) -> None:
    """Refuse a file that as a whole has another encoding, though much of it may decode.

    ASCII in UTF-16 is ASCII with NULs between; read the other way round, any two bytes are a
    character in UTF-16, mostly a Chinese one. Text that is UTF-16 has line ends or spaces, and so
    zero bytes.

    Raises:
        BadEncoding: it does.
    """
    family = codecs.lookup(encoding).name
    is_wide = family.startswith(("utf-16", "utf-32"))
    if mark := bom_encoding(content):
        if not family.startswith(mark):
            raise BadEncoding(f"it begins with the mark of {mark.upper()}", mark)
        return
    head = content[:_PROBED]
    if not is_wide and (guess := _wide(head)):
        raise BadEncoding("every other byte is zero", guess)
    space = sum(head.count(each) for each in b" \t\n,;")
    if is_wide and 0 not in head and space > len(head) / 40:
        raise BadEncoding("it has a byte a character", guess_encoding(content))


def _wide(head: bytes) -> str:
    """The kind of UTF-16 without a mark that a file's beginning is; empty: none."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) <= len(head) / 5:  # Latin letters leave one byte of two zero
        return ""
    return "utf-16-le" if odd > even else "utf-16-be"


def _reason(error: UnicodeDecodeError, encoding: str, offset: int) -> str:
    shown = error.object[error.start : error.start + 1].hex()
    return f"byte {offset + error.start:,} (0x{shown}) is not {encoding}"


def guess_encoding(content: bytes) -> str:
    """The encoding that bytes may have which are not in the one they should have; empty: unknown.

    UTF-16 has a mark, or zero bytes at every other place. Of those with a byte a character, cp1252
    leaves five bytes out, and of what is text those five are in latin-1 alone.
    """
    if mark := bom_encoding(content):
        return mark
    head = content[:_PROBED]
    if 0 in head:
        return _wide(head)
    for name in ("utf-8", "cp1252"):
        try:
            content.decode(name)
        except UnicodeDecodeError:
            continue
        return name
    return "latin-1"


def lines(text: str) -> Iterator[str]:
    """The lines of a text with their ends: `\\n`, `\\r` or `\\r\\n`.

    `str.splitlines` would cut texts in two at characters such as U+2028, and `io.StringIO` keeps
    four bytes a character.
    """
    return (found.group() for found in _LINE.finditer(text))


Fault = tuple[str, str]
"""Kind and reason of a finding."""


def read_lines(content: bytes, encoding: str) -> Iterator[tuple[int, str, Fault | None]]:
    """The lines of a file without their ends: number from 1, text, and what is wrong with it.

    A line that is none has an empty text; where lines can be told before they are decoded, one bad
    line costs itself alone.

    Raises:
        BadEncoding: the file is in another encoding, as a whole.
    """
    refuse_other(content, encoding)
    if codecs.encode("a\n", encoding) == b"a\n":
        return _lines_of_bytes(content, encoding)
    return _lines_of_text(decode(content, encoding))


def _lines_of_text(text: str) -> Iterator[tuple[int, str, Fault | None]]:
    for number, line in enumerate(lines(text), start=1):
        wrong = binary_reason(line)
        yield number, "" if wrong else line.rstrip("\r\n"), ("not_text", wrong) if wrong else None


def _lines_of_bytes(content: bytes, encoding: str) -> Iterator[tuple[int, str, Fault | None]]:
    offset = 0
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        text, fault = "", None
        try:
            text = decode_part(line, encoding, offset).rstrip("\r\n")
            if wrong := binary_reason(text):
                text, fault = "", ("not_text", wrong)
        except BadEncoding as error:
            fault = ("bad_encoding", str(error))
        yield number, text, fault
        offset += len(line)


def binary_reason(text: str) -> str:
    """Why characters are no text, though they decode; empty when they are.

    A NUL is valid in every encoding, and in no text: it comes from UTF-16 that was read as
    something else, from a program, or from a damaged disk.
    """
    place = text.find("\0")
    if place >= 0:
        return f"it has a NUL character, the first at character {place:,}"
    if len(text) > MAX_CHARACTERS:
        return f"it has {len(text):,} characters; at most {MAX_CHARACTERS:,} are read"
    return ""
