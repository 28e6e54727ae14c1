"""The arrays inside a `.keras` file: a zip archive with `model.weights.h5` in it.

That member is all that is read. What the archive says about classes, functions and configs is
never looked at: building objects from it is what every attack on this format did.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fmkit.models import hdf5_file, zip_file
from fmkit.models.arrays import Arrays, Refused

_WEIGHTS = "model.weights.h5"
_MOST_MEMBERS = 1000


@contextmanager
def opened(path: Path) -> Iterator[Arrays]:
    """The arrays of a model that Keras saved, by their paths in its HDF5 file.

    Raises:
        Refused: the file is damaged, has no such member, or that member was refused.
        OSError: it cannot be read, or there is no room to unpack it.
    """
    with zip_file.opened(path, _MOST_MEMBERS) as archive:
        if _WEIGHTS not in archive.namelist():
            raise Refused(f"it has no {_WEIGHTS}, which is where Keras keeps the weights")
        with tempfile.TemporaryDirectory(prefix="fmkit-") as folder:
            unpacked = Path(folder) / _WEIGHTS
            with unpacked.open("xb") as stream:
                for piece in zip_file.pieces(archive, _WEIGHTS):
                    stream.write(piece)
            with hdf5_file.opened(unpacked) as arrays:
                yield arrays
