"""Every kind of file becomes the RGB that a viewer would show, and every error names its file."""

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from pictures import picture
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from fmkit.core.errors import DataError
from fmkit.data.content.images import ImageFiles
from fmkit.data.formats import file_type
from fmkit.data.images.decode import decode, from_array, thumbnail
from fmkit.data.quality.image_probe import probe

SIZE = 16


def saved(tmp_path, image, name, **options):
    path = tmp_path / name
    image.save(path, **options)
    return str(path)


def distance(left, right):
    return np.abs(np.asarray(left).astype(float) - np.asarray(right).astype(float)).mean()


FINEST = {
    "jpg": {"quality": 98, "subsampling": 0},
    "webp": {"lossless": True, "exact": True},
    "avif": {"quality": 100, "subsampling": "4:4:4"},
    "heic": {"quality": -1, "chroma": 444},
}
"""How a picture is saved with the least loss, by the end of its file's name."""


def finest(tmp_path, image, name, **options):
    """The path of a picture that was saved with the least loss; HEIC needs another package."""
    if name.endswith("heic"):
        pytest.importorskip("pillow_heif").register_heif_opener()
    return saved(tmp_path, image, name, **FINEST.get(name.rpartition(".")[2], {}), **options)


ENDINGS = ["png", "bmp", "gif", "webp", "jpg", "tif", "avif", "heic"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_formats(tmp_path, ending):
    image = picture(1, (SIZE, SIZE))
    pixels = decode(finest(tmp_path, image, f"a.{ending}"), SIZE, "squash")
    assert pixels.shape == (SIZE, SIZE, 3)
    assert pixels.dtype == np.uint8
    most = {"gif": 6, "jpg": 2, "avif": 2, "heic": 2}.get(ending, 0)
    assert distance(pixels, image) <= most
    (as_jpeg,) = [tmp_path / f"a.{ending}"]  # the content decides, not the name
    renamed = as_jpeg.rename(tmp_path / "b.jpg")
    assert np.array_equal(decode(str(renamed), SIZE, "squash"), pixels)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_tiff_of_any_compression(tmp_path, compression):
    image = picture(11, (SIZE, SIZE))
    path = saved(tmp_path, image, "a.tif", compression=compression)
    assert np.array_equal(decode(path, SIZE, "squash"), np.asarray(image))


@pytest.mark.parametrize("ending", ["png", "tif", "webp", "avif", "jpg"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "LAB"])
def test_every_mode_that_a_format_has_is_as_a_viewer_shows_it(tmp_path, ending, mode):
    image = picture(12, (SIZE, SIZE))
    image = image.quantize(16) if mode == "P" else image.convert(mode)
    try:
        path = finest(tmp_path, image, f"a.{ending}")
    except (OSError, ValueError):
        pytest.skip(f"no {mode} in {ending}")
    expected = image.convert("RGB")
    assert distance(decode(path, SIZE, "squash"), expected) < (0.01 if ending == "tif" else 4)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif", "lzw.tif", "avif", "heic"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation, ending):
    upright = picture(2, (24, 12))
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"compression": "tiff_lzw"} if ending == "lzw.tif" else {}
    if ending == "heic":
        stored.info["exif"] = exif.tobytes()  # written as the turn that viewers obey
    else:
        options["exif"] = exif
    path = finest(tmp_path, stored, f"a.{ending}", **options)
    content = ImageFiles((path,), np.zeros(1, np.int64))
    for resize in ("squash", "pad", "crop"):
        expected = from_array(np.asarray(upright), SIZE, resize)
        assert distance(decode(path, SIZE, resize), expected) < 4
    shown = thumbnail(content, 0, 24)
    assert shown.size == (24, 12)
    assert distance(shown, upright) < 4


def test_grey_and_bits(tmp_path):
    ramp = np.tile(np.arange(16, dtype=np.uint8) * 17, (16, 1))
    expected = np.repeat(ramp[..., None], 3, axis=-1)
    grey = Image.fromarray(ramp)
    assert np.array_equal(decode(saved(tmp_path, grey, "l.png"), SIZE, "squash"), expected)
    deep = Image.fromarray(ramp.astype(np.uint16) * 257)
    assert np.array_equal(decode(saved(tmp_path, deep, "i.png"), SIZE, "squash"), expected)
    bits = Image.fromarray(ramp > 127)
    pixels = decode(saved(tmp_path, bits, "1.png"), SIZE, "squash")
    assert np.array_equal(pixels, np.where(expected > 127, 255, 0))


def test_cmyk(tmp_path):
    image = picture(3, (SIZE, SIZE))
    path = saved(tmp_path, image.convert("CMYK"), "a.jpg", quality=98, subsampling=0)
    assert Image.open(path).mode == "CMYK"
    assert distance(decode(path, SIZE, "squash"), image) < 4


def test_transparent_parts_become_white(tmp_path):
    image = picture(4, (SIZE, SIZE))
    alpha = np.zeros((SIZE, SIZE), np.uint8)
    alpha[:, :8] = 255
    alpha[0, 15] = 51
    clear = image.copy()
    clear.putalpha(Image.fromarray(alpha))
    expected = np.asarray(image).copy()
    expected[:, 8:] = 255
    shine = np.asarray(image)[0, 15] * 0.2 + 255 * 0.8
    for name, options in (("rgba.png", {}), ("rgba.webp", {"lossless": True, "exact": True})):
        pixels = decode(saved(tmp_path, clear, name, **options), SIZE, "squash")
        assert np.array_equal(pixels[1:], expected[1:])
        assert np.abs(pixels[0, 15] - shine).max() <= 1
    grey = clear.convert("LA")
    pixels = decode(saved(tmp_path, grey, "la.png"), SIZE, "squash")
    assert (pixels[1:, 8:] == 255).all()
    assert np.array_equal(pixels[1:, :8, 0], np.asarray(grey)[1:, :8, 0])


def test_palettes(tmp_path):
    image = picture(5, (SIZE, SIZE)).quantize(16)
    expected = np.asarray(image.convert("RGB"))
    path = saved(tmp_path, image, "p.png")
    assert np.array_equal(decode(path, SIZE, "squash"), expected)
    clear = int(np.asarray(image)[3, 3])
    holes = np.asarray(image) == clear
    for name in ("hole.png", "hole.gif"):
        pixels = decode(saved(tmp_path, image, name, transparency=clear), SIZE, "squash")
        assert (pixels[holes] == 255).all()
        assert np.array_equal(pixels[~holes], expected[~holes])


def test_an_animation_gives_its_first_frame(tmp_path):
    red, blue = (Image.new("RGB", (SIZE, SIZE), colour) for colour in ("red", "blue"))
    for name in ("a.gif", "a.webp", "a.png", "a.tif", "a.avif"):
        path = saved(tmp_path, red, name, save_all=True, append_images=[blue])
        assert distance(decode(path, SIZE, "squash"), red) < 2


def test_pngs_with_large_metadata_are_fine_photos(tmp_path):
    """Pillow alone refuses texts and profiles of more than a mebibyte."""
    image = picture(13, (SIZE, SIZE))
    texts = PngInfo()
    texts.add_text("long", "x" * 3_000_000, zip=True)
    texts.add_itxt("longer", "y" * 3_000_000, zip=True)
    many = PngInfo()
    for number in range(70):
        many.add_text(f"key {number}", "z" * 1_000_000)
    profile = bytes(range(256)) * 8_000
    late = io.BytesIO()
    image.save(late, "PNG")
    end = late.getvalue().rindex(b"IEND") - 4
    chunk = b"zTXtlate\0\0" + zlib.compress(bytes(3_000_000))
    packed = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    paths = [
        saved(tmp_path, image, "texts.png", pnginfo=texts),
        saved(tmp_path, image, "many.png", pnginfo=many),
        saved(tmp_path, image, "profile.png", icc_profile=profile),
        str(tmp_path / "late.png"),
    ]
    Path(paths[-1]).write_bytes(late.getvalue()[:end] + packed + late.getvalue()[end:])
    for path in paths:
        with pytest.raises(ValueError, match=r"PngImagePlugin|MAX_TEXT"), Image.open(path) as plain:
            plain.load()
        assert np.array_equal(decode(path, SIZE, "squash"), np.asarray(image))
        assert probe(path, 10**6).kind == ""


def test_resizes():
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200
    assert (from_array(wide, 10, "crop") == 200).all()
    padded = from_array(wide, 30, "pad")
    assert (padded[:10] == 0).all()
    assert (padded[20:] == 0).all()
    assert (padded[10:20, 12:18] == 200).all()
    squashed = from_array(wide, 30, "squash")
    assert (squashed[:, 12:18] == 200).all()
    fine = np.indices((64, 64)).sum(0).astype(np.uint8) % 2 * 255
    assert np.abs(from_array(fine, 8, "squash").astype(int) - 127).max() <= 4  # antialiased


def test_arrays_are_as_good_as_files(tmp_path):
    for mode in ("L", "RGB", "RGBA"):
        image = picture(6).convert(mode)
        path = saved(tmp_path, image, f"{mode}.png")
        for resize in ("squash", "pad", "crop"):
            pixels = from_array(np.asarray(image), SIZE, resize)
            assert np.array_equal(pixels, decode(path, SIZE, resize))
    column = np.asarray(picture(6).convert("L"))
    assert np.array_equal(
        from_array(column[..., None], SIZE, "pad"), from_array(column, SIZE, "pad")
    )


def test_a_large_jpeg_is_decoded_small_without_harm(tmp_path):
    image = picture(7, (1200, 900))
    path = saved(tmp_path, image, "big.jpg", quality=95)
    for resize in ("squash", "pad", "crop"):
        assert distance(decode(path, 64, resize), from_array(np.asarray(image), 64, resize)) < 1.5


def bomb(width, height):
    def chunk(kind, content):
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_errors_name_the_file(tmp_path):
    whole = io.BytesIO()
    picture(8, (64, 64)).save(whole, "PNG")
    contents = {
        "empty.jpg": (b"", "the file is empty"),
        "page.jpg": (b"\n<html></html>", "HTML or XML"),
        "text.png": (b"hello", "a text, not an image"),
        "head.png": (b"\x89PNG\r\n\x1a\n" + bytes(99), r"not an image .*PNG, BMP, GIF, WebP"),
        "half.png": (whole.getvalue()[:400], "damaged"),
        "bomb.png": (bomb(20_000, 20_000), "more"),
        "scan.tif": (b"II*\0" + bytes(99), "not an image that can be read"),
        "scan.dcm": (bytes(128) + b"DICM" + bytes(99), "a DICOM image; save it as 16-bit PNG"),
        "scan.jxl": (b"\xff\x0a" + bytes(99), "a JPEG XL image; save it as PNG or JPEG"),
    }
    for name, (content, message) in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=message) as caught:
            decode(str(tmp_path / name), SIZE, "squash")
        assert str(tmp_path / name) in caught.value.message
    with pytest.raises(DataError, match=r"gone.png: the file does not exist"):
        decode(str(tmp_path / "gone.png"), SIZE, "squash")


def test_the_limit_holds_when_pillows_own_is_off(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    (tmp_path / "bomb.png").write_bytes(bomb(20_000, 20_000))
    with pytest.raises(DataError, match="20000 x 20000 pixels are more than the limit"):
        decode(str(tmp_path / "bomb.png"), SIZE, "squash")


def test_heic_without_its_package_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as if it were not installed
    path = tmp_path / "IMG_0001.HEIC"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))
    with pytest.raises(DataError, match=r"HEIC image.*pip install 'fmkit\[heic\]'"):
        decode(str(path), SIZE, "squash")
    facts = probe(str(path), 10**6)
    assert (facts.kind, "fmkit[heic]" in facts.why) == ("needs_package", True)


@pytest.mark.parametrize(
    ("brands", "kind"),
    [
        (b"heic", "HEIC"), (b"avif", "AVIF"), (b"mif1\0\0\0\0mif1avif", "AVIF"),
        (b"mif1\0\0\0\0mif1heic", "HEIC"), (b"isom\0\0\0\0isommp42", None),
    ],
)  # fmt: skip
def test_avif_heic_and_videos_are_told_apart_by_their_brands(brands, kind):
    box = struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands
    assert file_type.image_format(box + b"avif" * 20) == kind


@pytest.mark.parametrize("tags", [{50706: b"\1\4\0\0"}, {254: 1}])
def test_the_preview_in_a_raw_file_is_not_taken_for_the_photo(tmp_path, tags):
    directory = ImageFileDirectory_v2()
    for tag, value in tags.items():
        directory[tag] = value
    path = saved(tmp_path, picture(14), "a.dng", format="TIFF", tiffinfo=directory)
    with pytest.raises(DataError, match=r"a camera's raw file.*save it as JPEG or TIFF"):
        decode(path, SIZE, "squash")
    assert probe(path, 10**6).kind == "not_image"
