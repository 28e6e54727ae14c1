"""Image files: which files are photos, which formats are read, and how one is opened.

Pillow decodes all of them; HEIC, the format of iPhones, through pillow-heif, an optional package.
"""

from __future__ import annotations

import contextlib
import io
import mimetypes
import re
import struct
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import IO, TYPE_CHECKING

from PIL import (  # the plugins by name, so that Pillow does not load all others
    AvifImagePlugin,
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    WebPImagePlugin,  # noqa: F401
)

from fmkit.core.safe_io import open_regular
from fmkit.data.findings import UnusableInput
from fmkit.data.formats import file_type

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

ENDINGS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
    "HEIC": (".heic", ".heif"),
}
"""The endings of file names, in lower case, by the format that they promise."""

FORMATS = tuple(ENDINGS)
"""Formats that are read; no other decoder of Pillow sees a file."""

FORMAT_NAMES = "JPEG, PNG, BMP, GIF, WebP, TIFF, AVIF and HEIC"

EXTENSION_OF = {ending: name for name, endings in ENDINGS.items() for ending in endings}
"""The format that a file extension promises."""

EXTENSIONS = tuple(EXTENSION_OF)
"""File extensions that count as photos when a folder is listed."""

HEIC_PACKAGE = "pip install 'fmkit[heic]'"
"""What installs the reader of HEIC."""

_AS_DEEP_GREY = "16-bit PNG or TIFF, for example with pydicom"
_OTHERS = (
    ({".dcm", ".dicom", ".ima"}, f"Save DICOM files as {_AS_DEEP_GREY}."),
    (
        {
            *(".dng", ".nef", ".cr2", ".cr3", ".arw", ".raf", ".rw2", ".orf", ".pef", ".srw"),
            *(".nrw", ".sr2", ".3fr", ".iiq", ".kdc", ".dcr", ".erf", ".rwl"),
        },
        "Save a camera's raw files as JPEG or TIFF.",
    ),
    (
        {".jp2", ".j2k", ".jxl", ".psd", ".svg", ".ico", ".pgm", ".ppm", ".tga", ".exr", ".fits"},
        "Save the other pictures as PNG or JPEG.",
    ),
    ({".mp4", ".mov", ".avi", ".mkv", ".webm"}, "Save pictures of the videos as JPEG."),
)
"""Endings of pictures in other formats, and what to do with these."""

_COPIES = (".bak", ".orig", ".tmp", ".part", ".crdownload", "_original", "~")
"""How names of backups and of unfinished downloads end, which are not read beside the photo."""

_MEDIA_TYPES = mimetypes.MimeTypes()  # Python's own table, which is the same on every machine

_PILLOW_NAMES: dict[str | None, tuple[str, ...]] = {
    **{name: (name,) for name in FORMATS},
    "HEIC": ("HEIF",),
}
_ALL_PILLOW_NAMES = tuple(name for names in _PILLOW_NAMES.values() for name in names)
_OUR_NAMES = {"HEIF": "HEIC", "MPO": "JPEG"}  # MPO: a JPEG with other pictures behind it
_METADATA = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
_LARGE_METADATA = 1000  # bytes of a chunk; Pillow refuses 1 MiB, to which these may unfold
_DNG_VERSION, _SUBFILE_TYPE, _IS_PREVIEW = 50706, 254, 1  # tags of TIFF, and a bit of the second


# About metadata that is damaged or odd, of which only the orientation is read.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def is_photo_name(name: str) -> bool:
    """Whether a name, or the address that a file was saved under (`x.jpg?w=600`), is a photo's."""
    name = name.lower()
    return name.endswith(EXTENSIONS) or re.split(r"[?#]", name)[0].endswith(EXTENSIONS)


def is_photo(path: str | Path) -> bool:
    """Whether a file is a photo by its name, or by its first bytes where the name tells no type.

    Scraped photos have names such as `download.php`, `x.jpg_large`, or an id.
    """
    name = Path(path).name.lower()
    if is_photo_name(name):
        return True
    media_type, _ = _MEDIA_TYPES.guess_type(name)
    if media_type not in (None, "application/octet-stream") or name.endswith(_COPIES):
        return False
    if any(Path(name).suffix in endings for endings, _ in _OTHERS):
        return False
    with contextlib.suppress(OSError), open_regular(path) as stream:
        return file_type.image_format(stream.read(file_type.HEAD)) in FORMATS
    return False


def open_image(stream: IO[bytes], kind: str | None = None) -> Picture:
    """The image in a file that is open; its header is read, and its pixels are not.

    Args:
        kind: its format where that is known, as of `file_type.image_format`.

    Raises:
        UnusableInput: another package is needed, or only a preview can be read.
        Exception: Pillow's plugins raise nearly anything on broken files.
    """
    kind = kind or file_type.image_format(stream.read(file_type.HEAD))
    stream.seek(0)
    if kind == "HEIC":
        _register_heic()
    elif kind == "AVIF" and not AvifImagePlugin.SUPPORTED:
        why = "it is an AVIF image, which this build of Pillow cannot read: pip install -U pillow"
        raise UnusableInput("needs_package", why)
    elif kind == "PNG":
        stream = _without_large_metadata(stream)
    image = Image.open(stream, formats=_PILLOW_NAMES.get(kind, _ALL_PILLOW_NAMES))
    if kind == "TIFF" and _is_raw(image):
        why = "it is a camera's raw file, of which only a preview can be read"
        raise UnusableInput("not_image", f"{why}; save it as JPEG or TIFF")
    return image


def format_of(image: Picture) -> str:
    """The format of an image that was opened, one of `FORMATS`."""
    return _OUR_NAMES.get(image.format or "", image.format or "")


def remedy(kind: str | None) -> str:
    """What to do with a format that is not read, as the rest of a sentence; empty for no image."""
    if kind == "DICOM":
        return f"; save it as {_AS_DEEP_GREY}"
    return "; save it as PNG or JPEG" if kind else ""


def advice(endings: Collection[str]) -> str:
    """What to do with the pictures among files that are not read, by the endings of their names;
    empty where there are none."""
    remedies = [remedy for formats, remedy in _OTHERS if not formats.isdisjoint(endings)]
    return f"fmkit reads {FORMAT_NAMES}. {' '.join(remedies)}" if remedies else ""


def _register_heic() -> None:
    try:
        import pillow_heif
    except ImportError:
        raise UnusableInput(
            "needs_package", f"it is a HEIC image, which pillow-heif reads: {HEIC_PACKAGE}"
        ) from None
    pillow_heif.register_heif_opener()


def _is_raw(image: Picture) -> bool:
    """Whether a TIFF is a raw file, whose first page is a small preview."""
    tags = getattr(image, "tag_v2", {})
    return _DNG_VERSION in tags or bool(int(tags.get(_SUBFILE_TYPE, 0)) & _IS_PREVIEW)


def _without_large_metadata(stream: IO[bytes]) -> IO[bytes]:
    """A PNG without texts and colour profile where one is large; otherwise as it is.

    Pillow refuses a file for them, and nothing here depends on them.
    """
    parts, start, has_large, end = [], 0, False, 8
    while len(head := _read_at(stream, end, 8)) == 8:
        length, name = struct.unpack(">I4s", head)
        following = end + 12 + length
        if name in _METADATA:
            parts.append((start, end))
            start, has_large = following, has_large or length > _LARGE_METADATA
        end = following
        if name == b"IEND":
            break
    stream.seek(0)
    if not has_large:
        return stream
    content = b"".join(_read_at(stream, first, last - first) for first, last in parts)
    return io.BytesIO(content + _read_at(stream, start, -1))


def _read_at(stream: IO[bytes], position: int, size: int) -> bytes:
    stream.seek(position)
    return stream.read(size)
