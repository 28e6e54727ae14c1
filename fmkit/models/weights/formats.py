"""Weights files of all formats that are read, opened as arrays without running anything in them."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from fmkit.core import npz, safe_io, safe_zip
from fmkit.core.errors import ArtifactError
from fmkit.core.safe_io import UnsafeContent
from fmkit.models.weights.arrays import WeightArrays, element_count
from fmkit.models.weights.hdf5 import open_hdf5
from fmkit.models.weights.safetensors import open_safetensors

_WEIGHTS = "model.weights.h5"
_MAX_MEMBERS = 1000


@contextmanager
def _open_keras(path: Path) -> Iterator[WeightArrays]:
    """The arrays of a model that Keras saved, by their paths in its HDF5 file.

    That member is all that is read. What the archive says about classes, functions and configs is
    never looked at: building objects from it is what every attack on this format did.
    """
    with safe_zip.open_zip(path, _MAX_MEMBERS) as archive:
        if _WEIGHTS not in archive.namelist():
            raise UnsafeContent(f"it has no {_WEIGHTS}, which is where Keras keeps the weights")
        with tempfile.TemporaryDirectory(prefix="fmkit-") as folder:
            unpacked = Path(folder) / _WEIGHTS
            with unpacked.open("xb") as copy, safe_zip.open_member(archive, _WEIGHTS) as member:
                shutil.copyfileobj(member, copy, 2**20)
            with open_hdf5(unpacked) as arrays:
                yield arrays


@contextmanager
def _open_npz(path: Path) -> Iterator[WeightArrays]:
    """The arrays of a `.npz` file, by the names that they were saved under."""
    with npz.open_npz(path) as reader:
        shapes = {}
        for name in reader.members:
            header = reader.header(name)
            if header.dtype.kind not in "fiub":
                kind = str(header.dtype)[:40]
                raise UnsafeContent(f"{name!r} holds {kind}; expected plain numbers")
            element_count(name, header.shape, sys.maxsize)
            shapes[name] = header.shape
        yield WeightArrays(shapes, reader.read)


FORMATS: dict[str, Callable[[Path], AbstractContextManager[WeightArrays]]] = {
    ".keras": _open_keras,
    ".h5": open_hdf5,
    ".safetensors": open_safetensors,
    ".npz": _open_npz,
}
"""By the end of a file's name, what opens it."""

_LONGEST = 300  # letters of a reason, which may hold names out of the file
_BEGINNINGS = {
    b"\x89HDF": "an HDF5 file (.h5)",
    b"PK\x03\x04": "a zip archive (.keras, .npz, or a newer torch file)",
    b"\x93NUMPY": "a single NumPy array",
    b"\x80\x02": "a pickle, as older torch files are",
    b"\x80\x04": "a pickle, which is a program",
    b"\x80\x05": "a pickle, which is a program",
    b"\x1f\x8b": "a gzip file",
    b"<!DO": "a web page",
    b"<htm": "a web page",
    b"vers": "a Git LFS pointer, not the file itself",
}


@contextmanager
def open_weights(path: str | Path) -> Iterator[WeightArrays]:
    """The arrays of a file, by its suffix.

    Raises:
        ArtifactError: it cannot be read, is damaged, or holds anything but plain numbers.
    """
    file = Path(path)
    suffix = file.suffix.lower()
    if suffix not in FORMATS:
        formats = ", ".join(FORMATS)
        raise ArtifactError(
            f"{path} is not a weights file of a known format. Expected one of {formats}."
        )
    try:
        with FORMATS[suffix](file) as arrays:
            if not arrays.shapes:
                raise UnsafeContent("it holds no weights")
            yield arrays
    except (UnsafeContent, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ArtifactError(
            f"{path} was refused as a file of weights: {reason[:_LONGEST]}{_looks(file)}.",
            "Download or save it again, and compare its size with the original.",
        ) from error


def _looks(path: Path) -> str:
    """What a file is by its first bytes, where that is not what its name says."""
    try:
        with safe_io.open_regular(path) as stream:
            first = stream.read(8)
    except OSError:
        return ""
    if not first:
        return "; it is empty"
    kind = next((name for begin, name in _BEGINNINGS.items() if first.startswith(begin)), "")
    expected = {".npz": "zip", ".keras": "zip", ".h5": "HDF5"}
    if not kind or expected.get(path.suffix.lower(), "-") in kind:
        return ""
    return f"; by its first bytes it is {kind}"
