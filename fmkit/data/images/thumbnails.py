"""Small copies of images for people to look at."""

from __future__ import annotations

from PIL import Image, ImageOps

from fmkit.core.safe_io import open_regular
from fmkit.data.content.images import ImageArray, ImageFiles
from fmkit.data.examples import Content
from fmkit.data.images.decode import FORMATS, from_array, to_rgb

_MAX_PIXELS = 2**26  # a sheet of suspects is not worth the memory of the largest photos


def thumbnail(content: Content, index: int, side: int) -> Image.Image:
    """A small copy of an image that fits into a square.

    Args:
        content: images.
        index: position in it.
        side: of the square, in pixels.

    Raises:
        Exception: whatever is wrong with the file.
    """
    if isinstance(content, ImageArray):
        return Image.fromarray(from_array(content.pixels[index], side, "pad"))
    if not isinstance(content, ImageFiles):
        raise TypeError(f"{type(content).__name__} has no images")
    with open_regular(content.paths[index]) as stream, Image.open(stream, formats=FORMATS) as image:
        if image.width * image.height > _MAX_PIXELS:
            raise ValueError("too large to be shown")
        image.draft("RGB", (2 * side, 2 * side))
        rgb = to_rgb(image).convert("RGB")
    return ImageOps.contain(rgb, (side, side))
