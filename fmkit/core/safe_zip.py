"""Safe reading of zip archives from outside: member by member, with bounds on sizes.

Nothing is extracted to the path that a member names: members are read, or copied into a
temporary file.
"""

import io
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from fmkit.core import safe_io
from fmkit.core.safe_io import UnsafeContent

MAX_RATIO = 100
"""Maximum bytes that one byte of a compressed file may unpack to."""
MAX_MEMBERS = 20_000

_MAGIC = b"PK\x03\x04"
_MAX_READ = 2 * 2**20  # bytes: bounds the list of members, which zipfile reads in one piece
_SPARE = 2**16  # bytes that a small member may have beyond the ratio
_ENCRYPTED = 1


class _BoundedReads(io.BufferedIOBase):
    """A file that refuses to be read in large pieces, whatever an archive says of its sizes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int | None = -1) -> bytes:
        limit = _MAX_READ + 1
        content = self._stream.read(limit if size is None or size < 0 else min(size, limit))
        if len(content) > _MAX_READ:
            raise UnsafeContent("its list of members is too long")
        return content

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def seekable(self) -> bool:
        return True


@contextmanager
def open_zip(
    path: Path, max_members: int = MAX_MEMBERS, max_ratio: int | None = MAX_RATIO
) -> Iterator[zipfile.ZipFile]:
    """Open an archive after its list of members was checked.

    Args:
        max_ratio: maximum bytes that one byte may unpack to; None where the reader has a bound
            of its own on what it unpacks.

    Raises:
        UnsafeContent: it is damaged, or a member is a link, encrypted, a duplicate, outside of the
            archive's folder, or a zip bomb.
        OSError: it cannot be read.
    """
    with safe_io.open_regular(path) as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        if stream.read(4) != _MAGIC:
            raise UnsafeContent("it does not begin as a zip archive does")
        try:
            archive = zipfile.ZipFile(_BoundedReads(stream))
        except UnsafeContent:
            raise
        except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise UnsafeContent(
                f"it begins as a zip archive, has {size:,} bytes, and was cut short or damaged "
                f"({reason[:100]})"
            ) from error
        with archive:
            _check_members(archive.infolist(), size, max_members, max_ratio)
            yield archive


@contextmanager
def open_member(archive: zipfile.ZipFile, member: str) -> Iterator[BinaryIO]:
    """A member's content as a stream, which ends at the size that the archive declares.

    Raises:
        UnsafeContent: the content is not what the archive declares.
    """
    try:
        with archive.open(member) as stream:
            yield stream  # type: ignore[misc]  # all of BinaryIO that a reader needs
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise UnsafeContent(f"its member {member!r} is damaged") from error


def _check_members(
    members: list[zipfile.ZipInfo], size: int, max_members: int, max_ratio: int | None
) -> None:
    if len(members) > max_members:
        raise UnsafeContent(f"it has {len(members):,} members, and {max_members:,} are allowed")
    names: set[str] = set()
    for member in members:
        name, shown = member.filename, member.filename[:80]
        parts = name.replace("\\", "/").split("/")
        if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
            raise UnsafeContent(f"its member {shown!r} points outside of it")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UnsafeContent(f"its member {shown!r} is a link or a device")
        if name in names:
            raise UnsafeContent(f"it has two members called {shown!r}")
        if member.flag_bits & _ENCRYPTED:
            raise UnsafeContent(f"its member {shown!r} is encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnsafeContent(
                f"its member {shown!r} is compressed by another method than deflate"
            )
        bomb = max_ratio and member.file_size > max_ratio * member.compress_size + _SPARE
        if bomb or member.compress_size > size:
            raise UnsafeContent(
                f"its member {shown!r} would unpack {member.compress_size:,} bytes into "
                f"{member.file_size:,}"
            )
        names.add(name)
    if max_ratio and sum(member.file_size for member in members) > max_ratio * size:
        raise UnsafeContent(f"its members unpack to more than {max_ratio} times its size")
