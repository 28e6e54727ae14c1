"""From a file or an array to square RGB pixels, the same way for training and for prediction.

Legend: S side of the result in pixels, H W height and width of the source, C channels.

Every mode becomes 8-bit RGB: grey is repeated, CMYK is converted,
and whatever is transparent is laid over white. The EXIF orientation is applied. Animations
and TIFFs of several pages give the first. Colour profiles are ignored, as training pipelines do.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from fmkit.core.errors import DataError, received
from fmkit.core.safe_io import RefusedFile, open_regular
from fmkit.data.content.images import ImageArray, ImageFiles
from fmkit.data.examples import Content
from fmkit.data.findings import UnusableInput
from fmkit.data.formats import file_type
from fmkit.data.images.exif import exif_transpose
from fmkit.data.images.image_file import FORMAT_NAMES, FORMATS, open_image, remedy

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

MAX_PIXELS = 178_956_970
"""Largest picture by its header: twice Pillow's warning threshold, where Pillow refuses too.

`data.max_pixels`, which the scan before training applies, is smaller.
"""

DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")
"""Pillow's modes of grey with more than 8 bits. Their values are scaled, see `grey_levels`."""

RESIZES = ("squash", "pad", "crop")
"""`squash` ignores the aspect ratio, `pad` adds black bars, `crop` takes the central square."""

# A JPEG may be decoded at 1/2, 1/4 or 1/8 of its size. Twice the target size is kept for the
# antialiased resize: 4 times faster from 1920 x 1280 to 224, and still 39 dB from a full decode.
_DRAFT_GAP = 2.0
# How much larger an image stays before the last step of its resize, as Pillow recommends.
_GAP = 3.0
_FULL_RANGE = (0.0, 65535.0)
_TRIMMED = 0.001  # of the pixels at either end of the values, which may be dead ones or a mark
_MAX_THUMBNAIL_PIXELS = 2**26  # a sheet of suspects is not worth the memory of the largest photos


def decode(
    path: str, size: int, resize: str, grey_range: tuple[float, float] | None = None
) -> np.ndarray:
    """The pixels of an image file.

    Args:
        size: side of the result, S.
        resize: one of `RESIZES`.
        grey_range: of grey with more than 8 bits, as in `to_rgb`.

    Returns:
        (S, S, 3) uint8.

    Raises:
        DataError: naming the file, which cannot be read or is too large.
    """
    try:
        with open_regular(path) as stream, open_image(stream) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                limit = f"more than the limit of {MAX_PIXELS:,}"
                raise DataError(f"{width} x {height} pixels are {limit}")
            # The smallest size, before any turn, that a JPEG may be decoded at.
            scale = size / max(width, height) * _DRAFT_GAP
            draft = int(size * _DRAFT_GAP), int(size * _DRAFT_GAP)
            if resize == "pad":
                draft = max(1, int(width * scale)), max(1, int(height * scale))
            image.draft(None, draft)
            image.load()  # a TIFF is turned by Pillow as it is loaded, and says so afterwards
            transpose = exif_transpose(image)
            rgb = to_rgb(image, grey_range)
            if transpose is not None:
                rgb = rgb.transpose(transpose)
            return _to_square(rgb, size, resize)
    except Exception as error:  # Pillow's plugins raise nearly anything on broken files
        raise DataError(f"{path}: {decode_error(path, error)}") from None


def from_array(pixels: np.ndarray, size: int, resize: str) -> np.ndarray:
    """Pixels in memory, (H, W) or (H, W, C) uint8 with C of 1, 3 or 4, as (S, S, 3) uint8."""
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    return _to_square(to_rgb(Image.fromarray(np.ascontiguousarray(pixels))), size, resize)


def thumbnail(content: Content, index: int, side: int) -> Image.Image:
    """A small copy of an image that fits into a square.

    Raises:
        Exception: whatever is wrong with the file.
    """
    if isinstance(content, ImageArray):
        padded = Image.fromarray(from_array(content.pixels[index], side, "pad"))
        rows, columns = content.pixels[index].shape[:2]
        width, height = (max(1, side * part // max(rows, columns)) for part in (columns, rows))
        left, top = (side - width) // 2, (side - height) // 2
        return padded.crop((left, top, left + width, top + height))
    if not isinstance(content, ImageFiles):
        raise TypeError(f"{type(content).__name__} has no images")
    with open_regular(content.paths[index]) as stream, open_image(stream) as image:
        if image.width * image.height > _MAX_THUMBNAIL_PIXELS:
            raise ValueError("too large to be shown")
        image.draft("RGB", (2 * side, 2 * side))
        image.load()
        transpose = exif_transpose(image)
        grey_range = content.grey_range
        if image.mode in DEEP_MODES and grey_range is None:
            grey_range = values_range(np.asarray(image))
        rgb = to_rgb(image, grey_range).convert("RGB")
        rgb = rgb if transpose is None else rgb.transpose(transpose)
    return ImageOps.contain(rgb, (side, side))


def decode_error(path: str, error: Exception) -> str:
    """What is wrong with a file in a few words, from Pillow's error and the file's first bytes."""
    if isinstance(error, DataError):
        return error.message
    if isinstance(error, UnusableInput):
        return error.why
    if isinstance(error, FileNotFoundError):
        return "the file does not exist"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    if isinstance(error, RefusedFile):
        return f"it is {file_type.file_type(error.mode)}"
    if isinstance(error, Image.DecompressionBombError):
        return f"more pixels than the limit of {MAX_PIXELS:,}"
    try:
        with Path(path).open("rb") as stream:
            start = stream.read(file_type.HEAD)
        if os.path.getsize(path) == 0:  # noqa: PTH202 - one call, no object
            return "the file is empty"
    except OSError as unreadable:
        return str(unreadable.strerror)
    kind = file_type.image_format(start)
    if kind not in FORMATS:
        return f"it is {file_type.describe_content(start)}{remedy(kind)}"
    if isinstance(error, Image.UnidentifiedImageError):
        return f"it is not an image that can be read ({FORMAT_NAMES})"
    return f"it is damaged ({str(error).replace(path, 'file') or type(error).__name__})"


def to_rgb(image: Picture, grey_range: tuple[float, float] | None = None) -> Picture:
    """Any mode as L or RGB, 8 bits a channel; transparent parts are laid over white.

    Args:
        grey_range: values of grey with more than 8 bits that become black and white; None: 0 and
            65,535, as before runs recorded a range.
    """
    if image.mode in DEEP_MODES and (image.mode != "F" or grey_range):
        return Image.fromarray(grey_levels(np.asarray(image), *(grey_range or _FULL_RANGE)))
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(white, layered).convert("RGB")
    mode = "L" if image.mode in ("1", "L") else "RGB"
    return image if image.mode == mode else image.convert(mode)  # `convert` always copies


def grey_levels(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values of any numeric type as uint8, from `low` as 0 to `high` as 255; others are clipped."""
    if values.dtype.itemsize == 2 and values.dtype.kind == "u":
        return grey_levels(np.arange(65536, dtype=np.float64), low, high)[values]
    dtype = values.dtype if values.dtype.kind == "f" else np.dtype(np.float64)
    scaled = values - dtype.type(low)
    scaled *= dtype.type(255 / (high - low if high > low else 1))
    scaled[np.isnan(scaled)] = 0
    return np.rint(scaled.clip(0, 255, out=scaled), out=scaled).astype(np.uint8)


def values_range(values: np.ndarray) -> tuple[float, float]:
    """The lowest and the highest value of an image without one in 1,000 pixels at either end."""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values.ravel()
    if not len(finite):
        return 0.0, 0.0
    low = np.quantile(finite, _TRIMMED, method="lower")
    high = np.quantile(finite, 1 - _TRIMMED, method="higher")
    if low == high:  # little is to be seen, and all of it is in what was trimmed
        low, high = finite.min(), finite.max()
    return float(low), float(high)


def _to_square(picture: Picture, size: int, resize: str) -> np.ndarray:
    """An image as (S, S, 3), antialiased bilinear."""
    width, height = picture.size
    bilinear = Image.Resampling.BILINEAR
    if resize == "squash":
        picture = picture.resize((size, size), bilinear, reducing_gap=_GAP)
    elif resize == "crop":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
        picture = picture.resize((size, size), bilinear, box=box, reducing_gap=_GAP)
    elif resize == "pad":
        scale = size / max(width, height)
        inner = (max(1, round(width * scale)), max(1, round(height * scale)))
        content = picture.resize(inner, bilinear, reducing_gap=_GAP)
        picture = Image.new(picture.mode, (size, size))
        picture.paste(content, ((size - inner[0]) // 2, (size - inner[1]) // 2))
    else:
        raise DataError(received("resize", resize, RESIZES))
    # Last, so that grey is resized once and not thrice.
    return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))
