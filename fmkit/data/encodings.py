"""Bytes that came from elsewhere as text: decoded whole, or told where and as what they are not."""

from __future__ import annotations

import codecs

MOST_CHARACTERS = 2**24
"""Characters of one text: no model reads as many, and a quote that is never closed ends here."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks; UTF-32's begins with UTF-16's, so it is looked for first."""

_PROBED = 4096  # bytes that tell of an encoding without a mark


class BadEncoding(Exception):
    """Bytes that are no text in the encoding that was named.

    Attributes:
        reason: what is wrong, and at which byte.
        likely: the encoding that they may have; empty where none is likely.
    """

    def __init__(self, reason: str, likely: str) -> None:
        super().__init__(f"{reason}; {_advice(likely)}" if likely else reason)
        self.reason, self.likely = reason, likely


def _advice(likely: str) -> str:
    return f"perhaps it is {likely}"


def marked(content: bytes) -> str:
    """The encoding whose byte order mark content begins with; empty: none."""
    return next((name for mark, name in _MARKS if content.startswith(mark)), "")


def decoded(content: bytes, encoding: str = "utf-8", offset: int = 0) -> str:
    """Bytes as text, without a byte order mark.

    Args:
        content: all of a file, which may begin with a mark, or a part of one.
        encoding: a name that Python knows.
        offset: bytes of the file before the content, where that is a part.

    Raises:
        BadEncoding: they are something else.
    """
    mark = "" if offset else marked(content)
    if mark and not _same_family(mark, encoding):
        raise BadEncoding(f"it begins with the mark of {mark.upper()}", mark)
    if wrong := _one_byte_each(content, encoding):
        raise BadEncoding(wrong, likely(content))
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise BadEncoding(_reason(error, encoding, offset), likely(content)) from None
    except UnicodeError as error:  # UTF-16 without its mark, among others
        raise BadEncoding(f"it is not {encoding} ({error})", likely(content)) from None
    return text.removeprefix("\ufeff")


def _same_family(marked: str, encoding: str) -> bool:
    """Whether a mark goes with an encoding: `utf-16` with `UTF-16LE`, say."""
    return codecs.lookup(encoding).name.startswith(marked)


def _one_byte_each(content: bytes, encoding: str) -> str:
    """Why content that should be UTF-16 or UTF-32 is none; empty when it may be.

    Any two bytes are a character in UTF-16, mostly a Chinese one: ASCII would pass unnoticed. Text
    that is UTF-16 has line ends or spaces, which have a zero byte.
    """
    wide = codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))
    head = content[:_PROBED]
    if not wide or marked(content) or 0 in head:
        return ""
    space = sum(head.count(each) for each in b" \t\n,;")
    return "it has a byte a character" if space > len(head) / 40 else ""


def _reason(error: UnicodeDecodeError, encoding: str, offset: int) -> str:
    shown = error.object[error.start : error.start + 1].hex()
    return f"byte {offset + error.start:,} (0x{shown}) is not {encoding}"


def likely(content: bytes) -> str:
    """The encoding that bytes may have which are not in the one they should have; empty: unknown.

    UTF-16 has a mark, or zero bytes at every other place. Of those with a byte a character, cp1252
    leaves five bytes out, and of what is text those five are in latin-1 alone.
    """
    if mark := marked(content):
        return mark
    head = content[: _PROBED - _PROBED % 2]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) > len(head) / 8:  # half of a quarter: Latin letters leave a byte of two zero
        return "utf-16-le" if odd > even else "utf-16-be"
    if even or odd:
        return ""
    for name in ("utf-8", "cp1252"):
        try:
            content.decode(name)
        except UnicodeDecodeError:
            continue
        return name
    return "latin-1"


def not_text(text: str) -> str:
    """Why characters are no text, though they decode; empty when they are.

    A NUL is valid in every encoding, and in no text: it comes from UTF-16 that was read as
    something else, from a program, or from a damaged disk.
    """
    place = text.find("\0")
    if place >= 0:
        return f"it has a NUL character, the first at character {place:,}"
    if len(text) > MOST_CHARACTERS:
        return f"it has {len(text):,} characters; at most {MOST_CHARACTERS:,} are read"
    return ""
