"""The typical size of the images of a data set, and the model's input size that follows from it."""

import contextlib
import statistics

from fmkit.core.safe_io import open_regular
from fmkit.data.content.images import ImageArray, ImageFiles
from fmkit.data.examples import Content
from fmkit.data.images.image_file import open_image

_PROBED = 16  # files whose headers are read


def typical_side(content: Content) -> int | None:
    """The longer side of an image in pixels: of arrays exact, of files the median of a few.

    None where no file can be read; the scan reports what is wrong with it.
    """
    if isinstance(content, ImageArray):
        return max(content.pixels.shape[1:3])
    if not isinstance(content, ImageFiles):
        return None
    step, sides = max(1, len(content.paths) // _PROBED), []
    for path in content.paths[::step][:_PROBED]:
        # Pillow's plugins raise nearly anything on broken files.
        with (
            contextlib.suppress(Exception),
            open_regular(path) as stream,
            open_image(stream) as image,
        ):
            sides.append(max(image.size))
    return int(statistics.median(sides)) if sides else None


def input_side(content: Content, backbone_side: int) -> int | None:
    """A smaller input than the backbone's own for tiny images, in pixels; None for other images.

    Enlarging images in memory to more than twice their side costs time and adds no information, so
    the size is then twice the side, and at least 32.
    """
    if not isinstance(content, ImageArray):
        return None
    side = max(content.pixels.shape[1:3])
    return min(backbone_side, max(32, 2 * side))
