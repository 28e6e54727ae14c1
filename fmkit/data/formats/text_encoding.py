"""Character encodings: bytes from elsewhere decoded, or refused with the likely encoding."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from fmkit.data.findings import UnusableInput

MAX_CHARACTERS = 2**24
"""Characters of one text: no model reads as many, and an unclosed quote ends here."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks; UTF-32's begins with UTF-16's, so it comes first."""

_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
_PROBED = 4096  # bytes by which an encoding without a byte order mark is guessed


class BadEncoding(UnusableInput):
    """Bytes that are not text in the encoding that was named.

    Attributes:
        reason: what is wrong, and at which byte.
        likely: the encoding that they may have; empty where none is likely.
    """

    def __init__(self, reason: str, likely: str) -> None:
        super().__init__("bad_encoding", f"{reason}; perhaps it is {likely}" if likely else reason)
        self.reason, self.likely = reason, likely


def _bom_encoding(content: bytes) -> str:
    """The encoding whose byte order mark content begins with; empty: it has none."""
    return next((name for bom, name in _BOMS if content.startswith(bom)), "")


def check_bom(content: bytes, encoding: str) -> bool:
    """Whether a file begins with a byte order mark.

    Raises:
        BadEncoding: with that of another encoding.
    """
    bom = _bom_encoding(content)
    if not codecs.lookup(encoding).name.startswith(bom):
        raise BadEncoding(f"it begins with the mark of {bom.upper()}", bom)
    return bool(bom)


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
    """A part of a file as text, `offset` bytes after its start; the first without its mark.

    Raises:
        BadEncoding: it is something else.
    """
    try:
        text = content.decode(encoding)
    except UnicodeError as error:
        raise decode_error(error, content, encoding, offset) from None
    return text if offset else text.removeprefix("\ufeff")


def decode_error(error: UnicodeError, content: bytes, encoding: str, offset: int) -> BadEncoding:
    """The error about bytes that failed to decode, `offset` bytes after the start of a file."""
    reason = f"it is not {encoding} ({error})"  # UTF-16 without its mark, among others
    if isinstance(error, UnicodeDecodeError):
        shown = error.object[error.start : error.start + 1].hex()
        reason = f"byte {offset + error.start:,} (0x{shown}) is not {encoding}"
    return BadEncoding(reason, guess_encoding(content))


def refuse_other(content: bytes, encoding: str) -> None:
    """Refuse a file that as a whole has another encoding, even if much of it decodes.

    ASCII in UTF-16 is ASCII with NULs between. Conversely any two bytes are a character in UTF-16,
    mostly a Chinese one; but text in UTF-16 has line ends or spaces, and so zero bytes.

    Raises:
        BadEncoding: it has.
    """
    if check_bom(content, encoding):
        return
    is_wide = codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))
    head = content[:_PROBED]
    if not is_wide and (guess := _wide(head)):
        raise BadEncoding("every other byte is zero", guess)
    separators = sum(head.count(byte) for byte in b" \t\n,;")
    if is_wide and 0 not in head and separators > len(head) / 40:
        raise BadEncoding("it has one byte per character", guess_encoding(content))


def _wide(head: bytes) -> str:
    """The kind of UTF-16 without a byte order mark that a file begins with; empty: it has none."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) <= len(head) / 5:  # Latin letters leave one byte of two zero
        return ""
    return "utf-16-le" if odd > even else "utf-16-be"


def guess_encoding(content: bytes) -> str:
    """The encoding that bytes may have that failed to decode; empty: unknown.

    UTF-16 has a byte order mark, or zero bytes at every other position. Of the encodings with one
    byte per character, cp1252 leaves five bytes undefined, and in text only latin-1 has those.
    """
    if bom := _bom_encoding(content):
        return bom
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

    `str.splitlines` would also divide texts at characters such as U+2028, and `io.StringIO` takes
    four bytes per character.
    """
    return (match.group() for match in _LINE.finditer(text))


def text_problem(text: str) -> str:
    """Why characters out of JSON or a table are not a text; empty when they are one."""
    if not text.strip():
        return "is empty"
    try:
        text.encode()
    except UnicodeEncodeError as error:  # as a JSON escape by itself, such as "\\ud83d"
        return f"is not text: character {error.start:,} is half of one"
    reason = binary_reason(text)
    return f"is not text: {reason}" if reason else ""


def binary_reason(text: str) -> str:
    """Why decoded characters are not text; empty when they are.

    A NUL is valid in every encoding, but not in a text: it comes from UTF-16 that was read as
    something else, from an executable, or from a damaged disk.
    """
    position = text.find("\0")
    if position >= 0:
        return f"it has a NUL character, the first at character {position:,}"
    if len(text) > MAX_CHARACTERS:
        return f"it has {len(text):,} characters; at most {MAX_CHARACTERS:,} are read"
    return ""
