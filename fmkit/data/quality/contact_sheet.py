"""The contact sheet: suspect examples as small pictures with names, a row per kind of finding."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from fmkit.core import files, registry
from fmkit.core.modalities import modality_entry
from fmkit.data.examples import Examples
from fmkit.data.findings import ERROR, FILE, FINDING_KINDS, Finding, count, group_by_kind
from fmkit.data.quality.inspect import Inspection

SHOWN = (
    *(kind for kind, about in FINDING_KINDS.items() if about.fault == FILE),
    "two_classes", "equal_two_classes", "near_two_classes", "leak", "near_leak",
    "duplicate", "near_duplicate", "animated", "blank", "wrong_extension",
)  # fmt: skip
"""Kinds of findings that have pictures."""

_TILE, _GAP, _LINE = 128, 12, 15  # pixels
_COLUMNS = 8
_PAPER, _INK, _FAINT, _RED = (250, 250, 248), (30, 30, 30), (120, 120, 120), (180, 30, 30)

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class _Tile:
    """An example's name, what is wrong with it, and a small copy where it can be shown."""

    name: str
    why: str
    picture: Image.Image | None


@dataclass(frozen=True)
class _Row:
    """A kind of finding with its examples; lines of text where none of them can be decoded."""

    kind: str
    count: int
    tiles: Sequence[_Tile]

    @property
    def has_pictures(self) -> bool:
        return any(tile.picture is not None for tile in self.tiles)

    @property
    def height(self) -> int:
        if self.has_pictures:
            return 4 * _LINE + _TILE + 2 * _GAP
        return (2 + len(self.tiles)) * _LINE + _GAP


def draw(inspected: Inspection, path: Path) -> bool:
    """Draw the sheet as a PNG; returns whether there was anything to draw.

    Args:
        inspected: what was found.
        path: the file to write.
    """
    examples = inspected.examples
    thumbnail = modality_entry(examples.content.modality).thumbnail
    if not thumbnail:
        return False
    picture = _picture_maker(examples, registry.load(thumbnail))
    rows = [
        _Row(kind, count(group), _tiles(group, picture))
        for kind, group in group_by_kind(inspected.findings).items()
        if kind in SHOWN
    ]
    if not rows:
        return False
    width = _GAP + _COLUMNS * (_TILE + _GAP)
    sheet = Image.new("RGB", (width, _GAP + sum(row.height for row in rows)), _PAPER)
    pen, top = ImageDraw.Draw(sheet), _GAP
    for row in rows:
        _draw_row(sheet, pen, row, top)
        top += row.height
    with files.replacing(path) as temporary:
        sheet.save(temporary)
    return True


def _picture_maker(
    examples: Examples, thumbnail: Callable[..., Image.Image]
) -> Callable[[str], Image.Image | None]:
    """From an example's id to a small copy; None where it cannot be shown."""
    position = {name: index for index, name in enumerate(examples.ids)}

    def picture(name: str) -> Image.Image | None:
        try:
            return thumbnail(examples.content, position[name], _TILE)
        except Exception:  # the sheet is about files that are broken in any way
            return None

    return picture


def _tiles(
    findings: Sequence[Finding], picture: Callable[[str], Image.Image | None]
) -> Sequence[_Tile]:
    """The examples of a row; of duplicates the first two of each group."""
    named = (
        (name, "" if number else finding.why)
        for finding in findings[:_COLUMNS]
        for number, name in enumerate(finding.examples[:2] or [finding.where])
    )
    return [_Tile(name, why, picture(name)) for name, why in itertools.islice(named, _COLUMNS)]


def _draw_row(sheet: Image.Image, pen: ImageDraw.ImageDraw, row: _Row, top: int) -> None:
    large, small = ImageFont.load_default(15), ImageFont.load_default(11)
    colour = _RED if FINDING_KINDS[row.kind].severity == ERROR else _INK
    pen.text((_GAP, top), f"{FINDING_KINDS[row.kind].title} ({row.count:,})", colour, large)
    for number, tile in enumerate(row.tiles):
        if not row.has_pictures:
            line = _printable(f"{tile.name}   {tile.why}")[:160]
            pen.text((_GAP, top + int((1.5 + number) * _LINE)), line, _FAINT, small)
            continue
        left, below = _GAP + number * (_TILE + _GAP), top + int(1.6 * _LINE)
        _draw_tile(sheet, pen, (left, below), tile.picture)
        below += _TILE + 3
        pen.text((left, below), _fit_end(pen, tile.name, small), _INK, small)
        pen.text((left, below + _LINE), _fit_start(pen, tile.why, small), _FAINT, small)


def _draw_tile(
    sheet: Image.Image,
    pen: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    picture: Image.Image | None,
) -> None:
    """A picture in the middle of its square, or a crossed-out square."""
    left, top = corner
    pen.rectangle((left, top, left + _TILE, top + _TILE), fill=(232, 232, 228))
    if picture is not None:
        x, y = left + (_TILE - picture.width) // 2, top + (_TILE - picture.height) // 2
        sheet.paste(picture, (x, y))
        return
    pen.line((left + 40, top + 40, left + _TILE - 40, top + _TILE - 40), _FAINT, 3)
    pen.line((left + 40, top + _TILE - 40, left + _TILE - 40, top + 40), _FAINT, 3)


def _fit_end(pen: ImageDraw.ImageDraw, text: str, font: _Font) -> str:
    """The end of a name, as much as fits under a tile: it distinguishes files of a folder."""
    text = _printable(text)[-60:]
    while pen.textlength(text, font=font) > _TILE:
        text = f"..{text[3:]}"
    return text


def _fit_start(pen: ImageDraw.ImageDraw, text: str, font: _Font) -> str:
    """The start of a reason, as much as fits under a tile."""
    text = _printable(text)[:60]
    while pen.textlength(text, font=font) > _TILE:
        text = f"{text[:-3]}.."
    return text


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
