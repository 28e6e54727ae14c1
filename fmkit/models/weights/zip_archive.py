"""A zip archive that somebody else may have made, member by member and with bounds.

Nothing is ever written where a member's name says: what is needed is read, or copied into a
temporary file of ours.
"""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from fmkit.core import safe_io
from fmkit.models.weights.arrays import (
    MAX_ARRAYS,
    MAX_RATIO,
    Shape,
    WeightArrays,
    WeightsRefused,
    element_count,
)

_MAGIC = b"PK\x03\x04"
_MAX_AT_ONCE = 2 * 2**20  # bytes: bounds the list of members, which zipfile reads in one piece
_SPARE = 2**16  # bytes that a small member may have beyond the ratio
_ENCRYPTED = 1


class _Sparing(io.BufferedIOBase):
    """A file that refuses to be read in large pieces, whatever an archive says of its sizes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int | None = -1) -> bytes:
        most = _MAX_AT_ONCE + 1
        content = self._stream.read(most if size is None or size < 0 else min(size, most))
        if len(content) > _MAX_AT_ONCE:
            raise WeightsRefused("its list of members is too long")
        return content

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def seekable(self) -> bool:
        return True


@contextmanager
def open_zip(path: Path, most_members: int = MAX_ARRAYS) -> Iterator[zipfile.ZipFile]:
    """An archive whose members have all been checked by what the archive says of them.

    Raises:
        Refused: it is damaged, or a member is a link, encrypted, there twice, outside, or a bomb.
        OSError: it cannot be read.
    """
    with safe_io.open_regular(path) as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        if stream.read(4) != _MAGIC:
            raise WeightsRefused("it does not begin as a zip archive does")
        try:
            archive = zipfile.ZipFile(_Sparing(stream))
        except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise WeightsRefused(
                f"it begins as a zip archive, has {size:,} bytes, and was cut short or damaged "
                f"({reason[:100]})"
            ) from error
        with archive:
            _check_members(archive.infolist(), size, most_members)
            yield archive


def pieces(archive: zipfile.ZipFile, member: str) -> Iterator[bytes]:
    """A member's content, piece by piece, and never more of it than the archive declares.

    Raises:
        Refused: the content is not what the archive declares.
    """
    try:
        with archive.open(member) as stream:  # zipfile ends at the declared size
            while piece := stream.read(2**20):
                yield piece
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise WeightsRefused(f"its member {member!r} is damaged") from error


def _check_members(members: list[zipfile.ZipInfo], size: int, most: int) -> None:
    if len(members) > most:
        raise WeightsRefused(f"it has {len(members):,} members, and {most:,} are allowed")
    seen: set[str] = set()
    for each in members:
        name, shown = each.filename, each.filename[:80]
        parts = name.replace("\\", "/").split("/")
        if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
            raise WeightsRefused(f"its member {shown!r} points outside of it")
        kind = stat.S_IFMT(each.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise WeightsRefused(f"its member {shown!r} is a link or a device")
        if name in seen:
            raise WeightsRefused(f"its member {shown!r} is there twice")
        if each.flag_bits & _ENCRYPTED:
            raise WeightsRefused(f"its member {shown!r} is encrypted")
        if each.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise WeightsRefused(f"its member {shown!r} is packed in an unusual way")
        if each.file_size > MAX_RATIO * each.compress_size + _SPARE or each.compress_size > size:
            raise WeightsRefused(
                f"its member {shown!r} would unpack {each.compress_size:,} bytes into "
                f"{each.file_size:,}"
            )
        seen.add(name)
    if sum(each.file_size for each in members) > MAX_RATIO * size:
        raise WeightsRefused(f"its members unpack to more than {MAX_RATIO} times its size")


_HEADER = 10_000  # bytes; NumPy's own limit
_SUFFIX = ".npy"


@dataclass(frozen=True)
class _Member:
    shape: Shape
    fortran_order: bool
    dtype: np.dtype
    start: int  # bytes of the header


@contextmanager
def open_npz(path: Path) -> Iterator[WeightArrays]:
    """The arrays of a file, by the names that they were saved under.

    Raises:
        Refused: the file is damaged, or holds anything but plain numbers.
        OSError: it cannot be read.
    """
    with open_zip(path) as archive:
        members = {}
        for each in archive.infolist():
            if not each.filename.endswith(_SUFFIX):
                raise WeightsRefused(f"its member {each.filename[:80]!r} is no .npy file")
            members[each.filename.removesuffix(_SUFFIX)] = _read_header(archive, each)

        def load(name: str) -> np.ndarray:
            member = members[name]
            content = b"".join(pieces(archive, f"{name}{_SUFFIX}"))[member.start :]
            values = np.frombuffer(content, member.dtype)
            order = member.shape[::-1] if member.fortran_order else member.shape
            return values.reshape(order).T if member.fortran_order else values.reshape(order)

        yield WeightArrays({name: each.shape for name, each in members.items()}, load)


def _read_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> _Member:
    name = member.filename
    first = next(pieces(archive, name), b"")[: 2 * _HEADER]
    stream = io.BytesIO(first)
    try:
        version = npy.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise WeightsRefused(f"{name!r} has version {version} of its format")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran_order, dtype = read(stream, max_header_size=_HEADER)
    except WeightsRefused:
        raise
    except Exception as error:  # NumPy parses the header as Python text, with errors of many kinds
        raise WeightsRefused(f"{name!r} does not begin as a .npy file does") from error
    if dtype.hasobject or dtype.kind not in "fiub":
        raise WeightsRefused(f"{name!r} holds {str(dtype)[:40]}, and only plain numbers are read")
    start = stream.tell()
    room = (member.file_size - start) // dtype.itemsize
    if element_count(name, shape, room) * dtype.itemsize != member.file_size - start:
        raise WeightsRefused(f"{name!r} has another size than its shape needs")
    return _Member(shape, fortran_order, dtype, start)
