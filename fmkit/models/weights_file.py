"""A file of weights of any format that is read, opened as arrays without running anything in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from fmkit import untrusted
from fmkit.errors import ArtifactError
from fmkit.models import hdf5_file, keras_file, npz_file, safetensors_file
from fmkit.models.arrays import Arrays, Refused

FORMATS: dict[str, Callable[[Path], AbstractContextManager[Arrays]]] = {
    ".keras": keras_file.opened,
    ".h5": hdf5_file.opened,
    ".safetensors": safetensors_file.opened,
    ".npz": npz_file.opened,
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
def open_weights(path: str | Path) -> Iterator[Arrays]:
    """The arrays of a file, by its suffix.

    Raises:
        ArtifactError: it cannot be read, is damaged, or holds anything but plain numbers.
    """
    file = Path(path)
    opened = FORMATS.get(file.suffix.lower())
    if opened is None:
        formats = ", ".join(FORMATS)
        raise ArtifactError(f"{path} is of no format that is read. Expected one of {formats}.")
    try:
        with opened(file) as arrays:
            if not arrays.shapes:
                raise Refused("it holds no weights")
            yield arrays
    except (Refused, OSError, untrusted.NotRegular) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ArtifactError(
            f"{path} was refused as a file of weights: {reason[:_LONGEST]}{_looks(file)}.",
            "Download or save it again, and compare its size with the original.",
        ) from error


def _looks(path: Path) -> str:
    """What a file is by its first bytes, where that is not what its name says."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as stream:
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
