"""Pieces of HTML that are escaped by construction: what is not `Markup` is text and shown as such.

Every piece of a page is made by `element`, whose texts and attributes MarkupSafe escapes.
Characters that could change the direction or the lines of what surrounds them are shown as Python
writes them (`\\u202e`), and a name stands in a `<bdi>`, so that right-to-left names stay in place.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from fmkit.core import sanitize

NOTHING = "–"
_VOID = {"br", "hr", "img", "input", "link", "meta"}
_LONGEST = 200  # characters of a name


def element(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """An element; children that are None are left out.

    Args:
        name: of the tag.
        children: `Markup` as it stands, anything else as text.
        attributes: `class_` is `class`, other underscores are hyphens; None and False leave one
            out, True gives one without a value.
    """
    tag = Markup(name)  # noqa: S704 - ours
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        written = key.rstrip("_").replace("_", "-")
        tag += f" {written}" if value is True else Markup(' {}="{}"').format(written, text(value))
    if name in _VOID:
        return Markup("<{}>").format(tag)
    return Markup("<{}>{}</{}>").format(tag, join(children), Markup(name))  # noqa: S704 - ours


def join(parts: Iterable[Any], separator: str = "") -> Markup:
    """Pieces one after the other; None is left out."""
    return Markup(separator).join(text(part) for part in parts if part is not None)  # noqa: S704


def text(value: Any) -> Markup:
    """A value as text, escaped; `Markup` as it stands. Lines and tabs stay."""
    if isinstance(value, Markup):
        return value
    return escape(sanitize.escape_invisible(str(value), keep="\n\t"))


def name(value: Any) -> Markup:
    """A name from outside (of a class, a file) as one line that its neighbours are safe from."""
    written = shorten(sanitize.escape_invisible(str(value)))
    return element("bdi", written)


def shorten(value: str, length: int = _LONGEST) -> str:
    """A text of at most `length` characters: of a longer one, the beginning and the end."""
    half = (length - 3) // 2
    return value if len(value) <= length else f"{value[:half]} … {value[-half:]}"


def number(value: Any, digits: int = 4) -> str:
    """A number for people: whole ones with commas, others with `digits` decimals."""
    if value is None or isinstance(value, bool) or not isinstance(value, int | float):
        return NOTHING if value is None else str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return NOTHING
    small = value and abs(value) < 10.0**-digits
    return f"{value:.3g}" if small or abs(value) >= 1e6 else f"{value:.{digits}f}"


def figure_number(value: Any) -> str:
    """A number in the user's units, with five significant digits."""
    is_float = isinstance(value, float) and math.isfinite(value)
    return f"{value:,.5g}" if is_float else number(value)


@dataclass(frozen=True)
class Cell:
    """A cell of a table that is sorted by another value than its text.

    Attributes:
        content: text or `Markup`.
        value: what it is sorted by.
    """

    content: Any
    value: float | str | None = None


def table(
    columns: Sequence[Any],
    rows: Sequence[Sequence[Any]],
    caption: str = "",
    sortable: bool = False,
    texts: Sequence[int] = (0,),
) -> Markup | None:
    """A table in a frame that scrolls sideways where it is too wide; None without rows.

    Args:
        columns: the header.
        rows: a value for each column: `Cell`, `Markup`, text or a number.
        caption: what it shows.
        sortable: whether a click on a column sorts.
        texts: numbers of the columns that are aligned left; the first is each row's header.
    """
    if not rows:
        return None
    head = element(
        "tr",
        *(
            element("th", column, scope="col", class_=None if k in texts else "number")
            for k, column in enumerate(columns)
        ),
    )
    body = join(
        element("tr", *(_cell(k, cell, texts) for k, cell in enumerate(row))) for row in rows
    )
    return element(
        "div",
        element(
            "table",
            element("caption", caption) if caption else None,
            element("thead", head),
            element("tbody", body),
            class_="sortable" if sortable else None,
        ),
        class_="scroll",
        tabindex="0",
        role="region",
        aria_label=caption or "table",
    )


def _cell(column: int, cell: Any, texts: Sequence[int]) -> Markup:
    value = cell.value if isinstance(cell, Cell) else cell
    content = cell.content if isinstance(cell, Cell) else cell
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if content is value and not isinstance(content, str):
        content = number(content)
    tag, scope = ("th", "row") if column == 0 else ("td", None)
    return element(
        tag,
        content,
        scope=scope,
        class_=None if column in texts else "number",
        data_value=f"{value!r}" if is_number else None,
    )


def pairs(rows: Mapping[str, Any] | Sequence[tuple[Any, Any]]) -> Markup | None:
    """Names with their values; those whose value is None are left out."""
    items = rows.items() if isinstance(rows, Mapping) else rows
    filled = [(key, value) for key, value in items if value is not None]
    if not filled:
        return None
    return element(
        "dl",
        *(element("div", element("dt", key), element("dd", value)) for key, value in filled),
        class_="pairs",
    )


def details(summary: Any, *children: Any, is_open: bool = False) -> Markup | None:
    """A part that is unfolded by a click; None without content."""
    content = [child for child in children if child is not None]
    if not content:
        return None
    return element("details", element("summary", summary), *content, open=is_open)


def code(value: Any) -> Markup:
    """A key, a hash or another word that is typed."""
    return element("code", sanitize.escape_invisible(str(value)))


def command(words: str) -> Markup:
    """A command line to copy."""
    return element("pre", element("code", words), class_="command", tabindex="0")


def note(value: Any) -> Markup:
    """A remark below a heading."""
    return element("p", value, class_="note")


def section(identity: str, title: str, *children: Any) -> "Section | None":
    """A section of a page; None without content."""
    content = [child for child in children if child is not None]
    return Section(identity, title, join(content)) if content else None


@dataclass(frozen=True)
class Section:
    """A section of a page: its anchor, its heading and what follows."""

    identity: str
    title: str
    body: Markup
