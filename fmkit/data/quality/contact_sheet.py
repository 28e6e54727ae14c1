"""The contact sheet: suspect examples as small pictures with names, a row per kind of finding."""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from fmkit.core import files, registry
from fmkit.core.modalities import modality_entry
from fmkit.data.findings import ERROR, FILE, FINDING_KINDS, Finding, count, group_by_kind
from fmkit.data.quality.inspect import Inspection

SHOWN = (
    *(kind for kind, about in FINDING_KINDS.items() if about.fault == FILE),
    "two_classes", "equal_two_classes", "near_two_classes", "leak", "near_leak", "feature_leak",
    "label_error",
    "duplicate", "near_duplicate", "animated", "blank", "few_levels", "wrong_extension",
)  # fmt: skip
"""Kinds of findings that have pictures."""

_TILE, _GAP, _LINE = 128, 12, 15  # pixels
_COLUMNS = 8
_PAPER, _INK, _FAINT, _RED = (250, 250, 248), (30, 30, 30), (120, 120, 120), (180, 30, 30)


def draw(inspected: Inspection, path: Path) -> bool:
    """Draw the sheet as a PNG; returns whether there was anything to draw."""
    content, ids = inspected.examples.content, inspected.examples.ids
    entry = modality_entry(content.modality)
    groups = group_by_kind(finding for finding in inspected.findings if finding.kind in SHOWN)
    if not entry.thumbnail or not groups:
        return False
    thumbnail, position = registry.load(entry.thumbnail), {name: i for i, name in enumerate(ids)}

    def picture(name: str) -> Image.Image | None:
        try:
            made: Image.Image = thumbnail(content, position[name], _TILE)
        except Exception:  # the sheet is about files that are broken in any way
            return None
        return made

    rows = [_Row(kind, members, picture) for kind, members in groups.items()]
    width = _GAP + _COLUMNS * (_TILE + _GAP)
    sheet = Image.new("RGB", (width, _GAP + sum(row.height for row in rows)), _PAPER)
    top = _GAP
    for row in rows:
        row.draw(sheet, top)
        top += row.height
    with files.replacing(path) as temporary:
        sheet.save(temporary)
    return True


class _Row:
    """A kind of finding with its examples; lines of text where none of them can be decoded.

    Of duplicates, the first two of each group are shown.
    """

    def __init__(
        self, kind: str, findings: Sequence[Finding], picture: Callable[[str], Image.Image | None]
    ) -> None:
        self._title = f"{FINDING_KINDS[kind].title} ({count(findings):,})"
        self._colour = _RED if FINDING_KINDS[kind].severity == ERROR else _INK
        named = (
            (name, "" if number else finding.why)
            for finding in findings[:_COLUMNS]
            for number, name in enumerate(finding.examples[:2] or [finding.where])
        )
        self._tiles = [(n, why, picture(n)) for n, why in itertools.islice(named, _COLUMNS)]
        self._has_pictures = any(tile is not None for _, _, tile in self._tiles)
        self.height = (2 + len(self._tiles)) * _LINE + _GAP
        if self._has_pictures:
            self.height = 4 * _LINE + _TILE + 2 * _GAP

    def draw(self, sheet: Image.Image, top: int) -> None:
        """Draw the title, and below it the pictures with names and reasons, or these alone."""
        pen, small = ImageDraw.Draw(sheet), ImageFont.load_default(11)
        pen.text((_GAP, top), self._title, self._colour, ImageFont.load_default(15))
        for number, (name, why, picture) in enumerate(self._tiles):
            name, why = (
                "".join(c if c.isprintable() else "?" for c in text) for text in (name, why)
            )
            if not self._has_pictures:
                line = f"{name}   {why}"[:160]
                pen.text((_GAP, top + int((1.5 + number) * _LINE)), line, _FAINT, small)
                continue
            left, below = _GAP + number * (_TILE + _GAP), top + int(1.6 * _LINE)
            pen.rectangle((left, below, left + _TILE, below + _TILE), fill=(232, 232, 228))
            if picture is not None:
                x, y = (_TILE - picture.width) // 2, (_TILE - picture.height) // 2
                sheet.paste(picture, (left + x, below + y))
            else:  # a crossed-out square
                near, far = 40, _TILE - 40
                for start, end in ((near, far), (far, near)):
                    cross = (left + near, below + start, left + far, below + end)
                    pen.line(cross, _FAINT, 3)
            below += _TILE + 3
            name, why = name[-60:], why[:60]  # the end of a name distinguishes files of a folder
            while pen.textlength(name, font=small) > _TILE:
                name = f"..{name[3:]}"
            while pen.textlength(why, font=small) > _TILE:
                why = f"{why[:-3]}.."
            pen.text((left, below), name, _INK, small)
            pen.text((left, below + _LINE), why, _FAINT, small)
