"""One photo is read whole: whether it can be used, its format, its digest and a thumbnail.

The same decoder reads it as in training (`decode`: Pillow), and checks more: JPEG files must reach
their end marker and critical PNG chunks must have their checksums, which Pillow does not require to
decode. So whatever passes here passes there.

A JPEG is decoded at a fraction of its size. That is a full test all the same: every coefficient is
read from the stream, and only the inverse transform, which cannot fail, is done at a smaller size.

Nothing here blocks: files are opened without waiting, so a FIFO is reported and not read. No pixels
are decoded before the size in the header was checked.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import SAMPLESPERPIXEL

from fmkit.core.safe_io import RefusedFile, open_regular
from fmkit.data.findings import UnusableInput
from fmkit.data.formats import file_type
from fmkit.data.images.decode import DEEP_MODES, grey_levels, to_rgb, values_range
from fmkit.data.images.image_file import FORMATS, format_of, open_image, remedy

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SIDE = 32
"""Side of a thumbnail in pixels."""

MAX_BYTES = 2**29
"""Largest file that is read at all."""

_IN_MEMORY = 2**24  # larger files are read piece by piece
_WORKING_BYTES = 2**27  # decoded at once by all threads; a larger photo is decoded alone
_SAMPLED = 2**20  # pixels above which a photo that is not plain RGB is thinned before conversion


@dataclass(frozen=True)
class ImageFacts:
    """What one image file contains."""

    kind: str = ""  # of `findings.FINDING_KINDS`; empty when the photo can be used
    why: str = ""  # the reason in a few words
    format: str = ""  # Pillow's name, such as `JPEG`
    mode: str = ""  # Pillow's name of the pixel format, such as `RGB`
    width: int = 0  # in pixels
    height: int = 0
    animated: bool = False  # whether there is more than one frame
    blank: bool = False  # whether all pixels are equal
    digest: bytes = b""  # the first 16 bytes of the file's SHA-256
    thumbnail: bytes = b""  # `SIDE` x `SIDE` grey values, row by row
    # Of grey with more than 8 bits: its values without few at either end; None for other photos.
    low: float | None = None
    high: float | None = None


class DecodeBudget:
    """Lets threads decode at the same time as long as their photos fit; a larger one waits to be
    alone."""

    def __init__(self, total: int = _WORKING_BYTES) -> None:
        self._total, self._used = total, 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def reserve(self, needed: int) -> Iterator[None]:
        """Wait until `needed` bytes are free, and hold them."""
        with self._changed:
            self._changed.wait_for(lambda: not self._used or self._used + needed <= self._total)
            self._used += needed
        try:
            yield
        finally:
            with self._changed:
                self._used -= needed
                self._changed.notify_all()


_BUDGET = DecodeBudget()


def probe(path: str | bytes, max_pixels: int) -> ImageFacts:
    """Read a file to its end and decode it; never raises for what is in the file.

    Args:
        max_pixels: largest width x height that is decoded.
    """
    try:
        with open_regular(path) as stream:
            return _read(stream, max_pixels)
    except UnusableInput as error:
        return ImageFacts(error.kind, error.why)
    except RefusedFile as error:
        return ImageFacts("special_file", file_type.file_type(error.mode))
    except FileNotFoundError:
        return ImageFacts("unreadable", "it does not exist")
    except OSError as error:
        return ImageFacts("unreadable", error.strerror or str(error))
    except MemoryError:
        return ImageFacts("too_large", "memory ran out while it was decoded")


def _read(stream: IO[bytes], max_pixels: int) -> ImageFacts:
    size = os.fstat(stream.fileno()).st_size
    if size == 0:
        raise UnusableInput("empty_file", "")
    if size > MAX_BYTES:
        raise UnusableInput("too_large", f"{size:,} bytes; at most {MAX_BYTES:,} are read")
    content: Any = io.BytesIO(stream.read(size)) if size <= _IN_MEMORY else stream
    digest = hashlib.file_digest(content, "sha256").digest()[:16]
    content.seek(0)
    head = content.read(file_type.HEAD)
    kind = file_type.image_format(head)
    if kind is None or kind not in FORMATS:
        description = file_type.describe_content(head)
        raise UnusableInput("not_image", f"it is {description}{remedy(kind)}")
    # Pillow allocates a WebP's pixels as it opens the file.
    if kind == "WEBP" and (declared := file_type.webp_size(head)):
        _refuse_large(*declared, max_pixels)
    try:
        facts = _decode(content, kind, max_pixels)
    except (UnusableInput, MemoryError):
        raise
    except Exception as error:  # Pillow's plugins raise nearly anything on broken files
        raise _explain(content, kind, error, max_pixels) from None
    if problem := file_type.decode_problem(content, kind):
        raise UnusableInput(*problem)
    return ImageFacts(digest=digest, **facts)


def size_problem(width: int, height: int, max_pixels: int) -> str:
    """Why a photo of this size is not decoded; empty where it is."""
    if width * height <= max_pixels:
        return ""
    return f"{width:,} x {height:,} pixels by its header; data.max_pixels is {max_pixels:,}"


def _refuse_large(width: int, height: int, max_pixels: int) -> None:
    if problem := size_problem(width, height, max_pixels):
        raise UnusableInput("too_large", problem)


def _decode(content: IO[bytes], kind: str, max_pixels: int) -> dict[str, Any]:
    with open_image(content, kind) as image:
        (width, height), pixels = image.size, image.width * image.height
        _refuse_large(width, height, max_pixels)
        image_format = format_of(image)
        mode = _mode(image, image_format)
        if image_format == "JPEG":
            # A progressive one keeps all coefficients of all channels.
            is_progressive = image.info.get("progressive") or image.info.get("progression")
            needed = pixels * 6 if is_progressive else pixels // 8
        else:
            needed = pixels * (1 if mode in ("1", "L", "P") else 4)
        with _BUDGET.reserve(needed):
            image.draft("L", (3 * SIDE // 2, 3 * SIDE // 2))
            image.load()
            low, high = _deep_range(image)
            grey = _grey(image, low, high)
        # The others behind a JPEG are smaller copies, or the other eye's view.
        animated = image_format != "JPEG" and bool(getattr(image, "is_animated", False))
    black, white = grey.getextrema()
    small = grey.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return {
        "format": image_format, "mode": mode, "width": width, "height": height,
        "animated": animated, "blank": black == white, "thumbnail": small.tobytes(),
        "low": low, "high": high,
    }  # fmt: skip


def _mode(image: Picture, image_format: str) -> str:
    """Pillow's name of the pixel format, with `;16` where it drops the lower half of 16 bits, or
    the number of bands where it drops some."""
    bands = getattr(image, "tag_v2", {}).get(SAMPLESPERPIXEL, 1) if image_format == "TIFF" else 1
    mode = f"{bands}-band {image.mode}" if bands > len(image.getbands()) else image.mode
    may_have_16_bits = image_format in ("PNG", "TIFF") and image.mode not in DEEP_MODES
    if may_have_16_bits and re.search(r";16[BLN]", str(getattr(image, "tile", ""))):
        return f"{mode};16"
    return mode


def _deep_range(image: Picture) -> tuple[float, float] | tuple[None, None]:
    """The range of values of grey with more than 8 bits."""
    return values_range(np.asarray(_thinned(image))) if image.mode in DEEP_MODES else (None, None)


def _thinned(image: Picture) -> Picture:
    """Some of the pixels of a large photo."""
    if image.width * image.height <= _SAMPLED:
        return image
    share = (_SAMPLED / (image.width * image.height)) ** 0.5
    size = (max(1, int(image.width * share)), max(1, int(image.height * share)))
    return image.resize(size, Image.Resampling.NEAREST)


def _grey(image: Picture, low: float | None, high: float | None) -> Picture:
    """A photo as L and not large, by the conversion that training uses; one with more than 8 bits
    by its own range of values, since that of training is not known yet."""
    if low is not None and high is not None:
        return Image.fromarray(grey_levels(np.asarray(_thinned(image)), low, high))
    if image.mode not in ("L", "RGB") or image.has_transparency_data:
        image = _thinned(image)  # a conversion of all of it would take as much memory again
    elif (factor := min(image.size) // (2 * SIDE)) > 1:
        image = image.reduce(factor)
    rgb = to_rgb(image)
    return rgb if rgb.mode == "L" else rgb.convert("L")  # which copies in any case


def _explain(content: IO[bytes], kind: str, error: Exception, max_pixels: int) -> UnusableInput:
    """The kind of finding and the reason behind an error of Pillow's."""
    if isinstance(error, Image.DecompressionBombError):
        pixels = re.search(r"\d{6,}", str(error))
        size = f"{int(pixels[0]):,} pixels" if pixels else "too many pixels"
        limit = f"data.max_pixels is {max_pixels:,}"
        return UnusableInput("too_large", f"{size} by its header; {limit}")
    reason = file_type.truncation_reason(content, kind)
    if reason:
        return UnusableInput("truncated", reason)
    if kind == "PNG" and (problem := file_type.decode_problem(content, kind)):
        return UnusableInput(*problem)
    message = str(error).splitlines()[0] if str(error) else type(error).__name__
    if isinstance(error, Image.UnidentifiedImageError):
        message = f"its {kind} header cannot be read"
        if kind == "TIFF":
            return UnusableInput(
                "not_image",
                f"{message}; those of more than 4 bands, or of colours as floats, are not read",
            )
    if message.startswith("decoder error"):
        message = "its compressed pixels cannot be read"
    if kind not in ("JPEG", "PNG") and re.search(r"truncated|EOF", message, re.IGNORECASE):
        return UnusableInput("truncated", message)
    return UnusableInput("damaged", message)
