"""A folder of photos with everything wrong that can be: 29 kinds of 10 files among 2,000 good ones.

`run()` builds it, looks at it as a training run does, and counts the bad files that were found
under the right kind; a good file that is named counts against them.
"""

from __future__ import annotations

import importlib.util
import io
import os
import socket
import struct
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

SPLITS = {"train": 1600, "val": 200, "test": 200}
CLASSES = ("ant", "bee")
EACH = 10


@dataclass
class Corpus:
    """What was built: the kind of finding that each bad file must have, and the good files."""

    root: Path
    bad: dict[str, str] = field(default_factory=dict)
    good: set[str] = field(default_factory=set)
    kinds: list[str] = field(default_factory=list)

    def add(self, name: str, content: bytes, kind: str) -> Path:
        """Write a bad file; its name is relative to the root."""
        path = self.root / name
        path.write_bytes(content)
        self.bad[name] = kind
        return path


def picture(seed: int, size: tuple[int, int] = (48, 36)) -> Image.Image:
    """A smooth picture that no other seed makes."""
    draw = np.random.default_rng([seed, 77])
    small = Image.fromarray(draw.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


# --- good files ---------------------------------------------------------------------------------


def _turned(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(image, "JPEG", exif=exif.tobytes())


GOOD: tuple[tuple[str, Callable[[Image.Image], bytes]], ...] = (
    ("jpg", lambda image: encoded(image, "JPEG", quality=90)),
    ("jpg", lambda image: encoded(image, "JPEG", quality=60, progressive=True)),
    ("JPEG", _turned),
    ("jpg", lambda image: encoded(image.convert("L"), "JPEG")),
    ("jpg", lambda image: encoded(image, "JPEG") + b"\xff\xda trailing bytes of a camera"),
    ("jpg", lambda image: encoded(image.convert("CMYK"), "JPEG")),
    ("png", lambda image: encoded(image, "PNG")),
    ("png", lambda image: encoded(image.convert("RGBA"), "PNG")),
    ("png", lambda image: encoded(image.convert("P"), "PNG")),
    ("png", lambda image: encoded(image, "PNG") + b"trailing"),
    ("gif", lambda image: encoded(image, "GIF")),
    ("bmp", lambda image: encoded(image, "BMP")),
    ("webp", lambda image: encoded(image, "WEBP", quality=80)),
    ("webp", lambda image: encoded(image, "WEBP", lossless=True)),
    ("tif", lambda image: encoded(image, "TIFF")),
    ("TIFF", lambda image: encoded(image, "TIFF", compression="tiff_lzw")),
    ("tiff", lambda image: encoded(image.convert("CMYK"), "TIFF")),
    ("tif", lambda image: encoded(_deep(image), "TIFF")),
    ("png", lambda image: encoded(_deep(image), "PNG")),
    ("png", lambda image: encoded(image, "PNG", icc_profile=bytes(3_000_000))),
    ("avif", lambda image: encoded(image, "AVIF", speed=10)),
)


def _deep(image: Image.Image) -> Image.Image:
    """Grey of 16 bits, of which the values take up few, as those of a 12-bit camera."""
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 5 + 272)


def _make_good(corpus: Corpus) -> None:
    seed = 0
    for split, count in SPLITS.items():
        for name in CLASSES:
            (corpus.root / split / name).mkdir(parents=True)
        for number in range(count):
            suffix, encode = GOOD[number % len(GOOD)]
            name = f"{split}/{CLASSES[number % 2]}/{number:05d}.{suffix}"
            (corpus.root / name).write_bytes(encode(picture(seed)))
            corpus.good.add(name)
            seed += 1


# --- bad files ----------------------------------------------------------------------------------


def chunk(name: bytes, content: bytes) -> bytes:
    """A PNG chunk with its checksum."""
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def png_of_zeros(width: int, height: int, rows: int | None = None) -> bytes:
    """A PNG (RGB, black) that says its size; `rows` of it are there, empty means all."""
    press = zlib.compressobj(1)
    row = bytes(1 + 3 * width)
    rows = height if rows is None else rows
    data = b"".join([*(press.compress(row) for _ in range(rows)), press.flush()])
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def _jpeg_bomb(index: int) -> bytes:
    content = bytearray(encoded(picture(9000 + index), "JPEG", progressive=index % 2 == 1))
    place = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2"))
    content[place + 5 : place + 9] = struct.pack(">HH", 60000 - index, 60000)
    return bytes(content)


def _other_bomb(index: int) -> tuple[str, bytes]:
    image = picture(9100 + index)
    if index % 3 == 0:
        content = bytearray(encoded(image, "GIF"))
        content[6:10] = struct.pack("<HH", 65535, 65535)
        return "gif", bytes(content)
    if index % 3 == 1:
        content = bytearray(encoded(image, "BMP"))
        content[18:26] = struct.pack("<ii", 50000, 50000)
        return "bmp", bytes(content)
    extended = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (16000).to_bytes(3, "little") * 2
    inner = encoded(image, "WEBP", quality=80)[12:]
    return "webp", b"RIFF" + struct.pack(
        "<I", 4 + len(extended + inner)
    ) + b"WEBP" + extended + inner


def _animated(index: int) -> tuple[str, bytes]:
    form = ("GIF", "WEBP", "PNG", "TIFF", "AVIF")[index % 5]
    first, *others = (picture(9200 + 10 * index + each) for each in range(3))
    options = {"save_all": True, "append_images": others}
    options |= {} if form == "TIFF" else {"duration": 100}
    return form.lower(), encoded(first, form, **options)


def _flipped(content: bytes, index: int) -> bytes:
    damaged = bytearray(content)
    place = damaged.find(b"IDAT") + 10 + 7 * index
    damaged[place] ^= 0x10
    return bytes(damaged)


_HEIC_HEAD = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
HEIC_KIND = "damaged" if importlib.util.find_spec("pillow_heif") else "needs_package"

NOT_IMAGES = (
    b'{"error": "not found"}', b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
    b"%PDF-1.7\n" + bytes(99), b"PK\3\4" + bytes(99), b"\x1f\x8b\x08" + bytes(99), bytes(500),
    b"\x7fELF" + bytes(99), "schön".encode("latin-1") * 20, b"../../other/file.jpg", b"x",
)  # fmt: skip
OTHER_FORMATS = (
    lambda image: bytes(128) + b"DICM" + bytes(99), lambda image: b"8BPS\0\1" + bytes(99),
    lambda image: b"\xff\x0a" + bytes(99), lambda image: encoded(image, "ICO"),
    lambda image: b'<svg xmlns="http://www.w3.org/2000/svg"/>',
)  # fmt: skip


def _make_broken(corpus: Corpus) -> None:
    """Files whose content cannot be used."""
    for index in range(EACH):
        image, folder = picture(5000 + index, (96, 72)), f"train/{CLASSES[index % 2]}"
        jpeg, png = encoded(image, "JPEG"), encoded(image, "PNG")
        share = (index + 1) / (EACH + 1)
        cut = {form: encoded(image, form) for form in ("WEBP", "GIF", "BMP", "AVIF")}
        cut["TIFF"] = encoded(image, "TIFF", compression=(None, "tiff_lzw")[index % 2])
        rows: list[tuple[str, bytes, str]] = [
            ("zero.jpg", b"", "empty_file"),
            ("cut.jpg", jpeg[: int(len(jpeg) * share)], "truncated"),
            ("cut.png", png[: int(len(png) * share)], "truncated"),
            ("cut.webp", cut["WEBP"][: int(len(cut["WEBP"]) * share)], "truncated"),
            ("zeros.jpg", _zeroed(jpeg, 0.4 + share / 2), "truncated"),
            ("flipped.png", _flipped(png, index), "damaged"),
            ("header.jpg", jpeg[:2] + b"\xff\xc4\xff\xff" + jpeg[2:], "damaged"),
            ("page.jpg", b"\n <!DOCTYPE html><html>404</html>", "not_image"),
            ("text.png", NOT_IMAGES[index], "not_image"),
            ("other.jpg", OTHER_FORMATS[index % 5](image), "not_image"),
            ("bomb.png", png_of_zeros(20_000 + index, 20_000, rows=2), "too_large"),
            ("bomb.jpg", _jpeg_bomb(index), "too_large"),
            ("cut.avif", cut["AVIF"][: int(len(cut["AVIF"]) * share)], "truncated"),
            ("cut.tif", cut["TIFF"][: int(len(cut["TIFF"]) * share)], "truncated"),
            ("bomb.tif", _tiff_bomb(image, 60_000 - index, 60_000), "too_large"),
            ("raw.tif", _tiff(image, {254: 1} if index % 2 else {50706: 0x0401}), "not_image"),
            ("phone.heic", _HEIC_HEAD + bytes(99 + index), HEIC_KIND),
        ]
        form = ("GIF", "BMP")[index % 2]
        rows.append((f"cut.{form.lower()}", cut[form][: int(len(cut[form]) * share)], "truncated"))
        suffix, content = _other_bomb(index)
        rows.append((f"other-bomb.{suffix}", content, "too_large"))
        for name, content, kind in rows:
            corpus.add(f"{folder}/{index}-{name}", content, kind)
    corpus.kinds += [*(name for name, _, _ in rows)]


def _tiff(image: Image.Image, tags: dict[int, int]) -> bytes:
    """A TIFF with more tags."""
    directory = ImageFileDirectory_v2()
    for tag, value in tags.items():
        directory[tag] = value
    return encoded(image, "TIFF", tiffinfo=directory)


def _tiff_bomb(image: Image.Image, width: int, height: int) -> bytes:
    content = bytearray(encoded(image, "TIFF"))
    for tag, old, new in ((256, image.width, width), (257, image.height, height)):
        entry = struct.pack("<HHII", tag, 4, 1, old)  # one number of 32 bits
        place = content.index(entry)
        content[place : place + len(entry)] = struct.pack("<HHII", tag, 4, 1, new)
    return bytes(content)


def _zeroed(content: bytes, share: float) -> bytes:
    kept = int(len(content) * share)
    return content[:kept] + bytes(len(content) - kept)


def _make_odd(corpus: Corpus) -> None:
    """Files that can be used, and are told all the same."""
    for index in range(EACH):
        ant, bee = (f"train/{name}/{index}" for name in CLASSES)
        suffix, content = _animated(index)
        corpus.add(f"{ant}-moving.{suffix}", content, "animated")
        corpus.add(f"{ant}-name.jpg", encoded(picture(6000 + index), "PNG"), "wrong_extension")
        original = corpus.root / f"{ant}-original.jpg"
        original.write_bytes(encoded(picture(6100 + index), "JPEG"))
        if index % 2:
            corpus.add(f"{ant}-copy.jpg", original.read_bytes(), "duplicate")
        else:
            (corpus.root / f"{ant}-copy.jpg").hardlink_to(original)
            corpus.bad[f"{ant}-copy.jpg"] = "duplicate"
        twice = encoded(picture(6200 + index), "JPEG")
        (corpus.root / f"{ant}-twice.jpg").write_bytes(twice)
        corpus.add(f"{bee}-twice.jpg", twice, "two_classes")
        leaking = encoded(picture(6300 + index), "JPEG")
        (corpus.root / f"{ant}-leaking.jpg").write_bytes(leaking)
        corpus.add(f"test/ant/{index}-leaking.jpg", leaking, "leak")
        photo = picture(6400 + index, (120, 90))
        (corpus.root / f"{bee}-photo.png").write_bytes(encoded(photo, "PNG"))
        again = photo.resize((80, 60)) if index % 2 else photo
        corpus.add(f"{bee}-again.jpg", encoded(again, "JPEG", quality=88), "near_duplicate")
    corpus.kinds += ["moving", "name.jpg", "copy", "twice", "leaking", "again"]


def _make_entries(corpus: Corpus, outside: Path) -> None:
    """What is no file, or has no name that is text."""
    outside.mkdir()
    folder = corpus.root / "train" / "bee"
    for index in range(EACH):
        raw = os.fsencode(folder) + b"/caf\xe9-%d.jpg" % index
        with open(raw, "wb") as stream:  # noqa: PTH123 - a name that is no text
            stream.write(encoded(picture(7000 + index), "JPEG"))
        corpus.bad[f"train/bee/caf\\xe9-{index}.jpg"] = "name_not_utf8"
        link = folder / f"{index}-nowhere.jpg"
        link.symlink_to(link.name if index % 2 else "gone.jpg")
        corpus.bad[f"train/bee/{link.name}"] = "broken_link"
        (outside / f"{index}.jpg").write_bytes(encoded(picture(7100 + index), "JPEG"))
        away = folder / f"{index}-away.jpg"
        away.symlink_to("/etc/passwd" if index == 0 else outside / f"{index}.jpg")
        corpus.bad[f"train/bee/{away.name}"] = "outside_link"
        special = folder / f"{index}-special.jpg"
        if index % 2:
            os.mkfifo(special)
        else:
            _bind(special)
        corpus.bad[f"train/bee/{special.name}"] = "special_file"
    corpus.kinds += ["not UTF-8", "nowhere", "away", "special"]


def _bind(path: Path) -> None:
    """A socket's file; the kernel takes no path above 107 bytes, so it is named from beside."""
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"/proc/self/fd/{descriptor}/{path.name}")
    finally:
        os.close(descriptor)


def build(folder: Path) -> Corpus:
    """The corpus in `folder/photos`, and what its links lead to beside it."""
    corpus = Corpus(folder / "photos")
    _make_good(corpus)
    _make_broken(corpus)
    _make_odd(corpus)
    _make_entries(corpus, folder / "outside")
    if len(corpus.kinds) != 29 or len(corpus.bad) != 29 * EACH:
        raise AssertionError(f"{len(corpus.kinds)} kinds, {len(corpus.bad)} files")
    return corpus


# --- counting -----------------------------------------------------------------------------------


def named_in(findings: list) -> dict[str, set[str]]:
    """The kinds that name each file, of findings as `fmkit.data.quality.inspect` makes them."""
    kinds: dict[str, set[str]] = {}
    for each in findings:
        for name in (*each.examples, each.where):
            kinds.setdefault(name, set()).add(each.kind)
    return kinds


def missed(corpus: Corpus, findings: list) -> list[str]:
    """Bad files that no finding of the right kind names."""
    kinds = named_in(findings)
    return [
        f"{name}: {sorted(kinds.get(name, ()))} instead of {kind}"
        for name, kind in corpus.bad.items()
        if kind not in kinds.get(name, ())
    ]


def false_alarms(corpus: Corpus, findings: list) -> list[str]:
    """Good files that are named."""
    kinds = named_in(findings)
    return [f"{name}: {sorted(kinds[name])}" for name in sorted(corpus.good & kinds.keys())]


def run() -> tuple[int, int]:
    """How many of the bad files were found under the right kind, and how many there are.

    A false alarm counts as a file that was missed.
    """
    from fmkit.config.schema.data import ImageFolderData
    from fmkit.data.quality import inspect

    with tempfile.TemporaryDirectory() as folder:
        corpus = build(Path(folder))
        config = ImageFolderData(root=str(corpus.root))
        findings = inspect.inspect(config, 0, Path(folder) / "cache").findings
        wrong = len(missed(corpus, findings)) + len(false_alarms(corpus, findings))
        return max(0, len(corpus.bad) - wrong), len(corpus.bad)
