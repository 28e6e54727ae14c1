"""Arrays in an `.npz` file, which is a zip archive of `.npy` files; object arrays are pickles."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from fmkit.models import zip_file
from fmkit.models.arrays import Arrays, Refused, Shape, count

_HEADER = 10_000  # bytes; NumPy's own limit
_SUFFIX = ".npy"


@dataclass(frozen=True)
class _Member:
    shape: Shape
    fortran_order: bool
    dtype: np.dtype
    start: int  # bytes of the header


@contextmanager
def opened(path: Path) -> Iterator[Arrays]:
    """The arrays of a file, by the names that they were saved under.

    Raises:
        Refused: the file is damaged, or holds anything but plain numbers.
        OSError: it cannot be read.
    """
    with zip_file.opened(path) as archive:
        members = {}
        for each in archive.infolist():
            if not each.filename.endswith(_SUFFIX):
                raise Refused(f"its member {each.filename[:80]!r} is no .npy file")
            members[each.filename.removesuffix(_SUFFIX)] = _read_header(archive, each)

        def load(name: str) -> np.ndarray:
            member = members[name]
            content = b"".join(zip_file.pieces(archive, f"{name}{_SUFFIX}"))[member.start :]
            values = np.frombuffer(content, member.dtype)
            order = member.shape[::-1] if member.fortran_order else member.shape
            return values.reshape(order).T if member.fortran_order else values.reshape(order)

        yield Arrays({name: each.shape for name, each in members.items()}, load)


def _read_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> _Member:
    name = member.filename
    first = next(zip_file.pieces(archive, name), b"")[: 2 * _HEADER]
    stream = io.BytesIO(first)
    try:
        version = npy.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise Refused(f"{name!r} has version {version} of its format")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran_order, dtype = read(stream, max_header_size=_HEADER)
    except Refused:
        raise
    except Exception as error:  # NumPy parses the header as Python text, with errors of many kinds
        raise Refused(f"{name!r} does not begin as a .npy file does") from error
    if dtype.hasobject or dtype.kind not in "fiub":
        raise Refused(f"{name!r} holds {str(dtype)[:40]}, and only plain numbers are read")
    start = stream.tell()
    room = (member.file_size - start) // dtype.itemsize
    if count(name, shape, room) * dtype.itemsize != member.file_size - start:
        raise Refused(f"{name!r} has another size than its shape needs")
    return _Member(shape, fortran_order, dtype, start)
