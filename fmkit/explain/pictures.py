"""A picture of an explanation: the photo, and beside it the same with the heat map over it."""

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fmkit.core import files
from fmkit.explain import maps

SIDE = 320  # pixels of a photo in a picture
_GAP, _LINE, _TEXT, _TITLE = 16, 21, 13, 14
_PAPER, _INK, _FAINT = (255, 255, 255), (26, 26, 26), (105, 105, 105)
_GOOD, _BAD = (24, 110, 62), (176, 32, 32)
_STRENGTH = 0.75  # of the hottest places over the photo
_FADE = 0.8  # exponent: below 1 weak places are seen better
# The colour map `inferno` at equal distances: it grows brighter evenly, and can be read by people
# who do not see colours.
_HEAT = np.array(
    [(0, 0, 4), (31, 12, 72), (85, 15, 109), (136, 34, 106), (186, 54, 85), (227, 89, 51),
     (249, 140, 10), (249, 201, 50), (252, 255, 164)], np.float32,
)  # fmt: skip


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Matplotlib's font at a size in pixels: Pillow's own has no letters beyond ASCII."""
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(path, size) if path.exists() else ImageFont.load_default(size)


def colours(values: np.ndarray) -> np.ndarray:
    """Values from 0 to 1, of any shape, as colours (..., 3) from 0 to 255."""
    at = np.linspace(0.0, 1.0, len(_HEAT))
    return np.stack([np.interp(values, at, channel) for channel in _HEAT.T], axis=-1)


def overlay(photo: np.ndarray, heat: np.ndarray, side: int = SIDE) -> Image.Image:
    """A photo (S, S, 3) uint8 under its heat map (h, w): clear where nothing speaks for it."""
    large = Image.fromarray(photo).resize((side, side), _resampling(len(photo), side))
    values = _smooth(maps.relative(heat), side)[..., None]
    grey = np.asarray(large.convert("L").convert("RGB"), np.float32)  # so that colours are heat
    base = 0.25 * np.asarray(large, np.float32) + 0.75 * grey
    share = _STRENGTH * values**_FADE
    mixed = (1 - share) * base + share * colours(values[..., 0])
    return Image.fromarray(np.clip(np.rint(mixed), 0, 255).astype(np.uint8))


def _smooth(values: np.ndarray, side: int) -> np.ndarray:
    """Values (h, w) from 0 to 1 at the size of a picture, without the ridges of straight lines."""
    picture = Image.fromarray(np.asarray(values, np.float32))
    smooth = np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC), np.float32)
    return np.clip(smooth, 0.0, 1.0)


def _resampling(size: int, side: int) -> Image.Resampling:
    """Small images keep their pixels, which people want to see."""
    return Image.Resampling.NEAREST if size * 4 <= side else Image.Resampling.LANCZOS


def draw(
    path: Path, photo: np.ndarray, heat: np.ndarray, name: str, answer: str, truth: str,
    is_right: bool | None, about: str,
) -> None:  # fmt: skip
    """Write a picture as a PNG.

    Args:
        path: of the file.
        photo: (S, S, 3) uint8, as the network gets it.
        heat: its map, (h, w).
        name: of the photo.
        answer: what was predicted, in words.
        truth: what would be right; empty where that is not known.
        is_right: whether the answer is; None where that is not known, and of numbers.
        about: what the map shows, in words.
    """
    width, height = 3 * _GAP + 2 * SIDE, 3 * _GAP + SIDE + 3 * _LINE
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    plain = Image.fromarray(photo).resize((SIDE, SIDE), _resampling(len(photo), SIDE))
    for number, picture in enumerate((plain, overlay(photo, heat))):
        left = _GAP + number * (SIDE + _GAP)
        sheet.paste(picture, (left, _GAP))
        pen.rectangle((left, _GAP, left + SIDE - 1, _GAP + SIDE - 1), outline=(210, 210, 210))
    top = 2 * _GAP + SIDE - 4
    second = 2 * _GAP + SIDE
    room = SIDE
    colour = {None: _INK, True: _GOOD, False: _BAD}[is_right]
    _write(pen, (_GAP, top), f"predicted {answer}", colour, _TITLE, room)
    if truth:
        _write(pen, (_GAP, top + _LINE), f"true {truth}", _INK, _TEXT, room)
    _write(pen, (_GAP, top + 2 * _LINE), name, _FAINT, _TEXT - 1, room, keep_end=True)
    _write(pen, (second, top), about, _INK, _TEXT, room)
    if heat.max() > 0:
        _legend(sheet, pen, second, top + _LINE + 4)
    else:
        _write(pen, (second, top + _LINE), "no part of the photo does", _FAINT, _TEXT, room)
    with files.replacing(path) as temporary:
        sheet.save(temporary, "PNG", optimize=True)


def _legend(sheet: Image.Image, pen: ImageDraw.ImageDraw, left: int, top: int) -> None:
    """The colours from nothing to most."""
    text_font, length = font(_TEXT - 1), 110
    pen.text((left, top), "nothing", _FAINT, text_font)
    begin = left + int(pen.textlength("nothing", font=text_font)) + 8
    values = np.tile(np.linspace(0, 1, length), (10, 1))
    share = _STRENGTH * values[..., None] ** _FADE
    bar = (1 - share) * 190 + share * colours(values)
    sheet.paste(Image.fromarray(np.rint(bar).astype(np.uint8)), (begin, top + 4))
    pen.text((begin + length + 8, top), "most", _FAINT, text_font)


def _write(
    pen: ImageDraw.ImageDraw, at: tuple[int, int], text: str, colour: tuple[int, int, int],
    size: int, room: int, keep_end: bool = False,
) -> None:  # fmt: skip
    """A line of text, cut to the room that there is."""
    text_font = font(size)
    text = "".join(letter if letter.isprintable() else "?" for letter in text)[:400]
    shown = text
    while shown and pen.textlength(shown, font=text_font) > room:
        text = text[1:] if keep_end else text[:-1]
        shown = f"…{text}" if keep_end else f"{text}…"
    pen.text(at, shown, colour, text_font)
