"""Suspect photos on one sheet: a row of small pictures a kind of finding, each with its name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

from fmkit.core import files
from fmkit.core.safe_io import open_regular
from fmkit.data.content.images import ImageArray, ImageFiles
from fmkit.data.examples import Examples
from fmkit.data.findings import ERROR, FILE, FINDING_KINDS, Finding, count, group_by_kind
from fmkit.data.images.decode import FORMATS, from_array, to_rgb
from fmkit.data.quality.inspect import Inspection

SHOWN = (
    *(kind for kind, about in FINDING_KINDS.items() if about.fault == FILE),
    "two_classes", "equal_two_classes", "near_two_classes", "leak", "near_leak",
    "duplicate", "near_duplicate", "animated", "blank", "wrong_extension",
)  # fmt: skip
"""Kinds that have pictures."""

_TILE, _GAP, _LINE = 128, 12, 15  # pixels
_COLUMNS = 8
_PAPER, _INK, _FAINT, _RED = (250, 250, 248), (30, 30, 30), (120, 120, 120), (180, 30, 30)

Tile = tuple[str, str, Image.Image | None]
"""A photo's name, what is said of it, and a small copy where it can be shown."""


@dataclass
class _Row:
    """A kind of finding with its photos; one whose files cannot be decoded has lines of text."""

    kind: str
    count: int
    tiles: list[Tile]

    @property
    def has_pictures(self) -> bool:
        return any(picture is not None for _, _, picture in self.tiles)

    @property
    def height(self) -> int:
        if self.has_pictures:
            return 4 * _LINE + _TILE + 2 * _GAP
        return (2 + len(self.tiles)) * _LINE + _GAP


def draw(inspected: Inspection, path: Path) -> bool:
    """Draw the sheet as a PNG; whether there was anything to draw. Texts have no pictures.

    Args:
        inspected: what was found.
        path: the file to write.
    """
    if inspected.examples.content.modality == "text":
        return False
    place = {name: index for index, name in enumerate(inspected.examples.ids)}
    rows = [
        _Row(kind, count(those), list(_tiles(those, inspected.examples, place))[:_COLUMNS])
        for kind, those in group_by_kind(inspected.findings).items()
        if kind in SHOWN
    ]
    if not rows:
        return False
    width = _GAP + _COLUMNS * (_TILE + _GAP)
    sheet = Image.new("RGB", (width, _GAP + sum(each.height for each in rows)), _PAPER)
    pen, top = ImageDraw.Draw(sheet), _GAP
    for row in rows:
        _draw_row(sheet, pen, row, top)
        top += row.height
    with files.replacing(path) as temporary:
        sheet.save(temporary)
    return True


def _draw_row(sheet: Image.Image, pen: ImageDraw.ImageDraw, row: _Row, top: int) -> None:
    large, small = ImageFont.load_default(15), ImageFont.load_default(11)
    colour = _RED if FINDING_KINDS[row.kind].severity == ERROR else _INK
    pen.text((_GAP, top), f"{FINDING_KINDS[row.kind].title} ({row.count:,})", colour, large)
    for number, (name, why, picture) in enumerate(row.tiles):
        if not row.has_pictures:
            told = _plain(f"{name}   {why}")[:160]
            pen.text((_GAP, top + int((1.5 + number) * _LINE)), told, _FAINT, small)
            continue
        left, below = _GAP + number * (_TILE + _GAP), top + int(1.6 * _LINE)
        _tile(sheet, pen, (left, below), picture)
        below += _TILE + 3
        pen.text((left, below), _end(pen, name, small), _INK, small)
        pen.text((left, below + _LINE), _start(pen, why, small), _FAINT, small)


def _tiles(those: Sequence[Finding], examples: Examples, place: dict[str, int]) -> Iterator[Tile]:
    """Name, reason and picture of each photo of a row; of copies the first two of each group."""
    for each in those[:_COLUMNS]:
        for number, name in enumerate(each.examples[:2] or [each.where]):
            yield name, "" if number else each.why, _picture(examples, place.get(name))


def _picture(examples: Examples, index: int | None) -> Image.Image | None:
    """A small copy of a photo; None where it cannot be shown."""
    if index is None:
        return None
    try:
        if isinstance(examples.content, ImageArray):
            pixels = from_array(examples.content.pixels[index], _TILE, "pad")
            return Image.fromarray(pixels)
        if isinstance(examples.content, ImageFiles):
            return _from_file(examples.content, index)
    except Exception:  # what is wrong with it is what the sheet is about
        return None
    return None


def _from_file(images: ImageFiles, index: int) -> Image.Image:
    with open_regular(images.paths[index]) as stream, Image.open(stream, formats=FORMATS) as image:
        if image.width * image.height > 2**26:
            raise ValueError("too large to be shown")
        image.draft("RGB", (2 * _TILE, 2 * _TILE))
        picture = to_rgb(image).convert("RGB")
    return ImageOps.contain(picture, (_TILE, _TILE))


def _tile(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, corner: tuple[int, int], picture: object
) -> None:
    """A picture in the middle of its square, or a crossed-out square."""
    left, top = corner
    box = (left, top, left + _TILE, top + _TILE)
    pen.rectangle(box, fill=(232, 232, 228))
    if isinstance(picture, Image.Image):
        x, y = left + (_TILE - picture.width) // 2, top + (_TILE - picture.height) // 2
        sheet.paste(picture, (x, y))
        return
    pen.line((left + 40, top + 40, left + _TILE - 40, top + _TILE - 40), _FAINT, 3)
    pen.line((left + 40, top + _TILE - 40, left + _TILE - 40, top + 40), _FAINT, 3)


def _end(pen: ImageDraw.ImageDraw, text: str, font: Any) -> str:
    """The end of a name, as much as fits under a tile: it tells files of a folder apart."""
    text = _plain(text)[-60:]
    while pen.textlength(text, font=font) > _TILE:
        text = f"..{text[3:]}"
    return text


def _start(pen: ImageDraw.ImageDraw, text: str, font: Any) -> str:
    """The start of a reason, as much as fits under a tile."""
    text = _plain(text)[:60]
    while pen.textlength(text, font=font) > _TILE:
        text = f"{text[:-3]}.."
    return text


def _plain(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)
