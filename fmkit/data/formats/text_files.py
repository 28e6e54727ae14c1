"""Text files: opened, decoded or refused with the likely encoding, read whole or line by line.

Every function raises `UnusableInput` for a file that cannot be used; sources that read a single
file turn it into a `DataError`.
"""

import codecs
import gzip
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from fmkit.core import machine
from fmkit.core.errors import DataError
from fmkit.core.safe_io import RefusedFile, open_regular
from fmkit.data.findings import UnusableInput
from fmkit.data.formats import encoding_guess, file_type

MAX_CHARACTERS = 2**24
"""Characters of one text: no model reads as many, and an unclosed quote ends here."""

GZIP = ".gz"
"""How names of compressed files end, after the end of their content's name."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks; UTF-32's begins with UTF-16's, so it comes first."""

_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
_LARGEST = 4 * MAX_CHARACTERS  # bytes of a file that is one text; a character takes at most 4
_GZIP_MAGIC = b"\x1f\x8b"
_UNPACKED = 2**20  # bytes that are unpacked at once
_PROBED = 4096  # bytes by which an encoding without a byte order mark is guessed


class BadEncoding(UnusableInput):
    """Bytes that are not text in the encoding that was named, but perhaps in the `likely` one."""

    def __init__(self, reason: str, likely: str) -> None:
        super().__init__("bad_encoding", f"{reason}; perhaps it is {likely}" if likely else reason)
        self.reason, self.likely = reason, likely


def is_wide(error: UnusableInput) -> bool:
    """Whether bytes have another encoding beyond doubt: UTF-16 or UTF-32."""
    return isinstance(error, BadEncoding) and error.likely.startswith(("utf-16", "utf-32"))


def _bom_encoding(content: bytes) -> str:
    """The encoding whose byte order mark content begins with; empty: it has none."""
    return next((name for bom, name in _BOMS if content.startswith(bom)), "")


def check_bom(content: bytes, encoding: str) -> bool:
    """Whether a file begins with a byte order mark; `BadEncoding` for one of another encoding."""
    bom = _bom_encoding(content)
    if not codecs.lookup(encoding).name.startswith(bom):
        raise BadEncoding(f"it begins with the mark of {bom.upper()}", bom)
    return bool(bom)


def decode(content: bytes, encoding: str = "utf-8") -> str:
    """All of a file as text, without its byte order mark; `BadEncoding` if it is another."""
    refuse_other(content, encoding)
    return decode_part(content, encoding)


def decode_part(content: bytes, encoding: str, offset: int = 0) -> str:
    """A part of a file as text, `offset` bytes after its start; the first without its mark."""
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
    """Raise `BadEncoding` if a file as a whole has another encoding, even if much of it decodes.

    ASCII in UTF-16 is ASCII with NULs between. Conversely any two bytes are a character in UTF-16,
    mostly a Chinese one; but text in UTF-16 has line ends or spaces, and so zero bytes.
    """
    if check_bom(content, encoding):
        return
    is_wide = codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))
    head = content[:_PROBED]
    if not is_wide and (guess := _utf16_kind(head)):
        raise BadEncoding("every other byte is zero", guess)
    separators = sum(head.count(byte) for byte in b" \t\n,;")
    if is_wide and 0 not in head and separators > len(head) / 40:
        raise BadEncoding("it has one byte per character", guess_encoding(content))


def _utf16_kind(head: bytes) -> str:
    """The kind of UTF-16 without a byte order mark that a file begins with; empty: it has none."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) <= len(head) / 5:  # Latin letters leave one byte of two zero
        return ""
    return "utf-16-le" if odd > even else "utf-16-be"


def guess_encoding(content: bytes) -> str:
    """The encoding that bytes may have that failed to decode; empty: unknown.

    UTF-16 has a byte order mark, or zero bytes at every other position; of others that which gives
    plausible letters.
    """
    if bom := _bom_encoding(content):
        return bom
    if 0 in content[:_PROBED]:
        return _utf16_kind(content[:_PROBED])
    try:
        content.decode()
    except UnicodeDecodeError:
        return encoding_guess.guess(content)
    return "utf-8"


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
    return f"is not text: {reason}" if (reason := binary_reason(text)) else ""


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


class Line(NamedTuple):
    """A line of a file by its number from 1, without its end; empty where it has a fault."""

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


def file_ending(name: str) -> str:
    """How a file's name ends, in lower case: `.csv` of `a.csv` and of `a.csv.gz`."""
    return Path(name.lower().removesuffix(GZIP)).suffix


def read_bytes(path: str, max_bytes: int | None = None) -> bytes:
    """All of a file, of at most `max_bytes`; a `.gz` is unpacked, into less than is free."""
    try:
        with open_input(path) as stream:
            if path.lower().endswith(GZIP) and stream.read(2) == _GZIP_MAGIC:
                stream.seek(0)
                return _unpack(stream, max_bytes or machine.free_memory() or sys.maxsize)
            stream.seek(0)
            content = stream.read(-1 if max_bytes is None else max_bytes + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UnusableInput("not_text", f"the gzip archive is damaged: {error}") from None
    except OSError as error:
        raise UnusableInput("unreadable", str(error.strerror or error)) from None
    if max_bytes is not None and len(content) > max_bytes:
        raise UnusableInput("not_text", f"it has more than {max_bytes:,} bytes")
    return content


def _unpack(stream: IO[bytes], max_bytes: int) -> bytes:
    """A gzip archive's content; 1 kB of zeros unpacks to 1 MB, so it is read in chunks."""
    chunks, size = [], 0
    with gzip.GzipFile(fileobj=stream) as archive:
        while chunk := archive.read(_UNPACKED):
            size += len(chunk)
            if size > max_bytes:
                raise UnusableInput("not_text", f"it unpacks to more than {max_bytes:,} bytes")
            chunks.append(chunk)
    return b"".join(chunks)


def read_text(path: str, encoding: str, max_bytes: int | None = None) -> str:
    """All of a file as text, which is more than white space."""
    content = read_bytes(path, max_bytes)
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


def read_likely(path: str, encoding: str) -> tuple[str, BadEncoding | None]:
    """A document (see `read_document`), in another encoding where it clearly has that.

    Returns:
        The text, and the error about the encoding that was named; None where it is right.
    """
    try:
        return read_document(path, encoding), None
    except BadEncoding as error:
        if error.likely in ("", "latin-1"):  # as which all bytes can be read
            raise
        text = read_document(path, error.likely)
        if error.likely.startswith("utf-16-") and 2 * sum(map(str.isascii, text)) < len(
            text
        ):  # damaged, not UTF-16
            raise
        return text, error


def read_lines(path: str, encoding: str) -> Iterator[Line]:
    """The lines of a file, empty ones included.

    Where lines can be separated before they are decoded, a bad line costs only itself.
    """
    content = read_bytes(path)
    refuse_other(content, encoding)
    is_separable = codecs.encode("a\n", encoding) == b"a\n"
    pieces: Iterable[bytes | str] = content.splitlines(keepends=True)
    if not is_separable:
        pieces = lines(decode(content, encoding))
    offset = 0
    for number, piece in enumerate(pieces, start=1):
        try:
            text = piece if isinstance(piece, str) else decode_part(piece, encoding, offset)
            if reason := binary_reason(text):
                raise UnusableInput("not_text", reason)
            yield Line(number, text.rstrip("\r\n"))
        except UnusableInput as error:
            yield Line(number, "", error)
        offset += len(piece)


def nonempty_lines(path: str, encoding: str) -> Iterator[Line]:
    """The lines of a file that are not empty, without white space around them."""
    stripped = (line._replace(text=line.text.strip()) for line in read_lines(path, encoding))
    return (line for line in stripped if line.text or line.fault)


def line_id(file: str, number: int) -> str:
    """The id of a line of a file, by its number from 1."""
    return f"{file}:{number:06d}"


def as_data_error(
    path: Path, error: UnusableInput, encoding: str, hint: str = "", encoding_key: str = ""
) -> DataError:
    """An unusable file as the error of a source that reads only this file.

    Args:
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
        return DataError(f"{path} is empty{f': {error.why}' if error.why else ''}.", hint)
    verb = " cannot be read" if error.kind in ("unreadable", "special_file") else ""
    return DataError(f"{path}{verb}: {error.why}.", hint)
