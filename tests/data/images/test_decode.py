"""Every kind of file becomes the RGB that a viewer would show, and every error names its file."""

import io
import struct
import zlib

import numpy as np
import pytest
from pictures import picture
from PIL import Image

from fmkit.core.errors import DataError
from fmkit.data.images.decode import decode, from_array

SIZE = 16


def saved(tmp_path, image, name, **options):
    path = tmp_path / name
    image.save(path, **options)
    return str(path)


def distance(left, right):
    return np.abs(np.asarray(left).astype(float) - np.asarray(right).astype(float)).mean()


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.gif", "a.webp", "a.jpg"])
def test_formats(tmp_path, name):
    image = picture(1, (SIZE, SIZE))
    options = {"lossless": True} if name == "a.webp" else {}
    options = {"quality": 98, "subsampling": 0} if name == "a.jpg" else options
    pixels = decode(saved(tmp_path, image, name, **options), SIZE, "squash")
    assert pixels.shape == (SIZE, SIZE, 3)
    assert pixels.dtype == np.uint8
    assert distance(pixels, image) <= {"a.gif": 6, "a.jpg": 2}.get(name, 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation):
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
    for name in ("a.png", "a.jpg"):
        path = saved(
            tmp_path,
            stored,
            name,
            exif=exif,
            **({"quality": 98, "subsampling": 0} if "jpg" in name else {}),
        )
        for resize in ("squash", "pad", "crop"):
            expected = from_array(np.asarray(upright), SIZE, resize)
            assert distance(decode(path, SIZE, resize), expected) < 4


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
    for name in ("a.gif", "a.webp"):
        path = saved(tmp_path, red, name, save_all=True, append_images=[blue], lossless=True)
        assert distance(decode(path, SIZE, "squash"), red) < 2


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
        "head.png": (b"\x89PNG\r\n\x1a\n" + bytes(99), "not a JPEG, PNG, BMP, GIF or WebP"),
        "half.png": (whole.getvalue()[:400], "damaged"),
        "bomb.png": (bomb(20_000, 20_000), "more"),
        "scan.tif": (b"II*\0" + bytes(99), "a TIFF image"),
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
