"""File type by magic number, and whether an image file is complete: read, never decoded.

Sources: JPEG ITU-T T.81 annex B; PNG w3.org/TR/png-3 section 5; WebP RFC 9649; GIF89a; BMP as
Microsoft documents BITMAPFILEHEADER.
"""

import os
import stat
import struct
import zlib
from typing import IO, Literal

_IMAGES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),  # BigTIFF
    (b"MM\0+", "TIFF"),
    (b"8BPS", "Photoshop"),
    (b"\0\0\1\0", "icon"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"SIMPLE  =", "FITS"),
)
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF"),
    (b"PK\3\4", "a ZIP archive or an Office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 file"),
    (b"ARROW1", "a Feather or Arrow file"),
    (b"ORC", "an ORC file"),
    (b"PAR1", "a parquet file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"Obj\1", "an Avro file"),
    (b"$FL2", "an SPSS file"),
    (b"version https://git-lfs", "a Git LFS pointer: run `git lfs pull`"),
    (b"../", "a link written out as text, as Git does without links"),
)
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm"), "HEIC"),
}
_DICOM_MAGIC = 128  # where it is, after bytes for any other use
HEAD = 132
"""Bytes at the beginning of a file that tell its type."""

_CHUNK = 2**20
_TAIL = 2**10  # bytes at the end of a file in which an end marker may be


def image_format(head: bytes) -> str | None:
    """The image format of a file by its first `HEAD` bytes; None: not an image."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return _format_of_brands(head)
    if head[_DICOM_MAGIC : _DICOM_MAGIC + 4] == b"DICM":
        return "DICOM"
    name = next((name for magic, name in _IMAGES if head.startswith(magic)), None)
    return None if name == "BMP" and b"\0" not in head else name  # a text may begin with BM


def _format_of_brands(head: bytes) -> str | None:
    """AVIF or HEIC by the brands of an ISO media file, the first of which may be a general one."""
    length = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[start : start + 4] for start in range(16, length, 4))]
    formats = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
    return formats[0] if formats else "HEIC" if b"mif1" in brands else None


def binary_content(head: bytes) -> str:
    """An image or another known kind of file that is not a text, in words; empty for all others."""
    others = (words for magic, words in _OTHERS if head.startswith(magic) and b"\0" in head)
    kind = image_format(head)
    return describe_content(head) if kind is not None else next(others, "")


def describe_content(head: bytes) -> str:
    """What a file's first `HEAD` bytes look like, in words."""
    image = image_format(head)
    if image is not None:
        return f"{'an' if image[0] in 'AIH' else 'a'} {image} image"
    for magic, words in _OTHERS:
        if head.startswith(magic):
            return words
    if head[4:8] == b"ftyp":
        return "a video"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start[:1] == b"<":
        is_drawing = start[:4].lower() == b"<svg"
        return "an SVG drawing" if is_drawing else "an HTML or XML text, not an image"
    if not head.strip(b"\0"):
        return "nothing but zero bytes"
    try:
        text = start.decode("utf-8", "strict" if len(head) < HEAD else "ignore")
    except UnicodeDecodeError:
        text = "\0"
    if text and all(letter.isprintable() or letter.isspace() for letter in text):
        return "a text, not an image"
    return "an unknown format"


def file_type(mode: int) -> str:
    """What is at a path instead of a regular file."""
    names = {
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFDIR: "a folder",
    }
    return names.get(stat.S_IFMT(mode), "not a regular file")


def webp_size(head: bytes) -> tuple[int, int] | None:
    """Width and height that a WebP's first bytes announce; None where they do not say."""
    chunk = head[12:16]
    if len(head) < 30:
        return None
    if chunk == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if chunk == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 ":
        width, height = struct.unpack("<HH", head[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None


def decode_problem(stream: IO[bytes], kind: str) -> tuple[str, str] | None:
    """What is wrong with a file that decoded: (finding kind, reason), or None."""
    if kind == "JPEG" and _lacks_end(stream):
        return "truncated", "the rest of the photo is missing: no end marker"
    if kind == "PNG":
        return _png_problem(stream)
    if kind == "WEBP" and (reason := truncation_reason(stream, kind)):
        return "truncated", reason
    return None


def truncation_reason(stream: IO[bytes], kind: str) -> str:
    """Why a file is shorter than its header says; empty where it is not, or has no length."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = stream.read(14)
    announced = 0
    if kind == "WEBP" and len(head) >= 8:
        announced = int.from_bytes(head[4:8], "little") + 8
    if kind == "BMP" and len(head) >= 6:
        announced = int.from_bytes(head[2:6], "little")
    if kind == "TIFF" and len(head) >= 8:
        order: Literal["little", "big"] = "little" if head[:1] == b"I" else "big"
        announced = 2 + int.from_bytes(head[4:8], order)  # its list of tags may be at the end
    if kind in ("AVIF", "HEIC"):
        announced = _end_of_boxes(stream, size)
    if announced > size:
        return f"{size:,} bytes of {announced:,}"
    if kind == "JPEG" and _lacks_end(stream):
        return f"after {size:,} bytes, without an end marker"
    if kind == "PNG":
        problem = _png_problem(stream)
        return problem[1] if problem and problem[0] == "truncated" else ""
    if kind == "GIF":
        stream.seek(max(0, size - 1))
        return "" if stream.read(1) in (b";", b"\0") else f"after {size:,} bytes, without a trailer"
    return ""


def _end_of_boxes(stream: IO[bytes], size: int) -> int:
    """Where the last box of an ISO media file ends, by the lengths that the boxes have."""
    end = 0
    while end < size:
        stream.seek(end)
        head = stream.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:  # 0: to the end of the file; others are damaged
            return size
        end += length
    return end


def _lacks_end(stream: IO[bytes]) -> bool:
    """Whether a JPEG has no end marker after its first scan; its thumbnail has one of its own."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - 4))
    last = stream.read(4)
    # Nearly always; but the last bytes may be the length in the header of a scan.
    if last[2:] == b"\xff\xd9" and last[:2] != b"\xff\xda":
        return False
    if not _seek_scan(stream):  # a broken header: the last bytes decide
        stream.seek(max(0, size - _TAIL))
        return b"\xff\xd9" not in stream.read(_TAIL)
    last = b""
    while chunk := stream.read(_CHUNK):
        if b"\xff\xd9" in last + chunk:
            return False
        last = chunk[-1:]  # a marker may begin in one chunk and end in the next
    return True


def _seek_scan(stream: IO[bytes]) -> bool:
    """Move to the data of a JPEG's first scan; whether there is one."""
    stream.seek(2)
    while True:
        marker = stream.read(4)
        if len(marker) < 4 or marker[0] != 0xFF:
            return False
        if marker[1] == 0xFF:  # a fill byte
            stream.seek(-3, os.SEEK_CUR)
            continue
        length = int.from_bytes(marker[2:], "big")
        if length < 2:
            return False
        if marker[1] == 0xDA:
            return True
        stream.seek(length - 2, os.SEEK_CUR)


def _png_problem(stream: IO[bytes]) -> tuple[str, str] | None:
    """The first chunk of a PNG that is cut short or has another checksum than it says."""
    stream.seek(8)
    while True:
        head = stream.read(8)
        if len(head) < 8:
            return "truncated", "the chunk IEND is missing"
        length, name = int.from_bytes(head[:4], "big"), head[4:]
        shown = name.decode("ascii", "backslashreplace")
        checksum = zlib.crc32(name)
        while length > 0:
            content = stream.read(min(length, _CHUNK))
            if not content:
                return "truncated", f"in the chunk {shown}"
            checksum, length = zlib.crc32(content, checksum), length - len(content)
        stored = stream.read(4)
        if len(stored) < 4:
            return "truncated", f"in the chunk {shown}"
        is_critical = not name[0] & 0x20
        if is_critical and int.from_bytes(stored, "big") != checksum:
            return "damaged", f"the checksum of the chunk {shown} is wrong"
        if name == b"IEND":
            return None
