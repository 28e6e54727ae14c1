"""The EXIF orientation: how a camera was held, as a flip or turn that makes a photo upright."""

from PIL import Image

_ORIENTATION = 0x0112  # the EXIF tag
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def exif_transpose(image: Image.Image) -> Image.Transpose | None:
    """The flip or turn that a photo's EXIF orientation asks for; None where it is upright.

    `PIL.ImageOps.exif_transpose` does the same to a whole image. Here the tag is read before the
    image is converted, which loses it, and broken metadata does not make the pixels wrong.
    """
    try:
        return _TRANSPOSE.get(int(image.getexif().get(_ORIENTATION, 1)))
    except Exception:  # Pillow's parsers raise nearly anything on broken metadata
        return None
