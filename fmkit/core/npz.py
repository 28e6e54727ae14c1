"""Safe reading of `.npz` files from outside: every header is checked before its array is read.

A header costs its writer nothing: 100 bytes could ask for all memory, or for Python objects whose
reading runs code. The only reader of `.npz` in fmkit, for data sets and for files of weights.
"""

import io
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from fmkit.core import safe_zip
from fmkit.core.safe_io import UnsafeContent

_MAX_HEADER = 10_000  # bytes; NumPy's own limit
_SUFFIX = ".npy"


@dataclass(frozen=True)
class ArrayHeader:
    """What a `.npy` member says of its array."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        """Size of the array in memory, in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


class NpzReader:
    """The arrays of an open `.npz` file, by the names that they were saved under.

    Attributes:
        members: by name, what the archive calls the member.
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.members = {name.removesuffix(_SUFFIX): name for name in archive.namelist()}

    def header(self, name: str) -> ArrayHeader:
        """Shape and type of an array, after a proof that it has the size that it declares.

        Raises:
            UnsafeContent: it is not an array, has another size, or holds Python objects.
        """
        member = self.members[name]
        with safe_zip.open_member(self._archive, member) as file:
            # NumPy reads a header of any length that is declared before it looks at its own limit.
            stream = io.BytesIO(file.read(2 * _MAX_HEADER))
        try:
            version = npy.read_magic(stream)
            if version not in ((1, 0), (2, 0)):
                raise UnsafeContent(f"it has version {version} of the .npy format")
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = read(stream, max_header_size=_MAX_HEADER)
        except UnsafeContent:
            raise
        except Exception as error:  # NumPy parses the header as Python text: errors of many kinds
            raise UnsafeContent("it does not begin as a .npy file does") from error
        if dtype.hasobject:
            raise UnsafeContent(
                "it holds Python objects, and reading those would run code; save plain numbers"
            )
        header = ArrayHeader(shape, dtype)
        size = self._archive.getinfo(member).file_size - stream.tell()
        if any(side < 0 for side in shape) or header.nbytes != size:
            raise UnsafeContent(
                f"it says {str(shape)[:80]} {str(dtype)[:40]}, {header.nbytes:,} bytes, and "
                f"{size:,} bytes are there"
            )
        return header

    def read(self, name: str) -> np.ndarray:
        """An array. Look at its `header` first: this takes as much memory as that says.

        Raises:
            UnsafeContent: its content is damaged.
        """
        with safe_zip.open_member(self._archive, self.members[name]) as stream:
            try:
                return npy.read_array(stream, allow_pickle=False, max_header_size=_MAX_HEADER)
            except ValueError as error:
                raise UnsafeContent(f"its array {name[:80]!r} is damaged") from error


@contextmanager
def open_npz(path: Path, max_ratio: int | None = safe_zip.MAX_RATIO) -> Iterator[NpzReader]:
    """A file of arrays, for reading; `max_ratio` is as of `safe_zip.open_zip`.

    Raises:
        UnsafeContent: the file is damaged, or not a zip archive that may be read.
        OSError: it cannot be read.
    """
    with safe_zip.open_zip(path, max_ratio=max_ratio) as archive:
        yield NpzReader(archive)
