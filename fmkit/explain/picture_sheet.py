"""A sheet of pictures: a photo, and others beside it in rows, each with lines of text."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from fmkit.core import files
from fmkit.core.sanitize import escape_invisible
from fmkit.explain.pictures import font as font_of

_SIDE, _INPUT_SIDE, _GAP, _LINE, _TEXT = 150, 220, 14, 19, 13
_PAPER, _INK, _FAINT, _FRAME = (255, 255, 255), (26, 26, 26), (95, 95, 95), (190, 190, 190)

Captioned = tuple[Image.Image | None, Sequence[str]]
"""A picture, None where it cannot be read any more, and lines below it."""


def draw(path: Path, photo: Captioned, rows: Sequence[tuple[str, Sequence[Captioned]]]) -> None:
    """Write a sheet as a PNG.

    Args:
        path: of the file.
        photo: the large one.
        rows: the others in rows, with a heading each.
    """
    rows = [row for row in rows if row[1]]
    most = max((len(pictures) for _, pictures in rows), default=0)
    row_height = _LINE + _SIDE + 2 * _LINE + _GAP
    width = _GAP + _INPUT_SIDE + _GAP + most * (_SIDE + _GAP)
    height = _GAP + max(_INPUT_SIDE + 4 * _LINE, len(rows) * row_height)
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    _paste(sheet, pen, (_GAP, _GAP), photo, _INPUT_SIDE)
    for number, (heading, pictures) in enumerate(rows):
        top, left = _GAP + number * row_height, 2 * _GAP + _INPUT_SIDE
        pen.text((left, top - 4), heading, _INK, font_of(_TEXT + 1))
        for place, picture in enumerate(pictures):
            _paste(sheet, pen, (left + place * (_SIDE + _GAP), top + _LINE), picture, _SIDE)
    with files.replacing(path) as temporary:
        sheet.save(temporary, "PNG", optimize=True)


def _paste(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, at: tuple[int, int], captioned: Captioned,
    side: int,
) -> None:  # fmt: skip
    """A picture in the middle of a square frame, with its lines below."""
    (left, top), (picture, lines) = at, captioned
    if picture is not None:
        factor = side / max(picture.size)
        size = tuple(max(1, round(factor * length)) for length in picture.size)
        kind = Image.Resampling.NEAREST if factor >= 4 else Image.Resampling.LANCZOS
        shown = picture.convert("RGB").resize((size[0], size[1]), kind)
        sheet.paste(shown, (left + (side - size[0]) // 2, top + (side - size[1]) // 2))
    pen.rectangle((left, top, left + side - 1, top + side - 1), outline=_FRAME)
    for number, line in enumerate(lines):
        font = font_of(_TEXT)
        text = escape_invisible(line)[:200]
        while text and pen.textlength(text, font=font) > side:
            text = f"{text[:-2]}…" if len(text) > 2 else ""
        colour = _INK if number == 0 else _FAINT
        pen.text((left, top + side + 3 + number * _LINE), text, colour, font)
