"""How large the images of a data set are, told by a few of them."""

from __future__ import annotations

import statistics

from PIL import Image

from fmkit.data.decode import FORMATS
from fmkit.data.examples import ImageArray, ImageFiles

PROBES = 16
"""Files whose headers are read."""


def typical_side(images: ImageFiles | ImageArray) -> int | None:
    """The longer side of an image in pixels: of arrays exact, of files the median of a few.

    None when no file could be read; what is wrong with it is told where files are decoded.
    """
    if isinstance(images, ImageArray):
        return max(images.pixels.shape[1:3])
    step = max(1, len(images.paths) // PROBES)
    sides = [_side(path) for path in images.paths[::step][:PROBES]]
    known = [each for each in sides if each is not None]
    return int(statistics.median(known)) if known else None


def _side(path: str) -> int | None:
    """A file's longer side, from its header; None when it cannot be read."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            return max(image.size)
    except Exception:  # Pillow's plugins raise nearly anything on broken files
        return None
