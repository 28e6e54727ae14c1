"""A page: one HTML file that needs no other, in light, dark and print, on a desk and on a phone.

Its content security policy allows nothing but what is in the file: no request leaves it, and no
script runs but the page's own, whose hash the policy names.
"""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from fmkit.core import files
from fmkit.core.version import VERSION
from fmkit.explain.marked_words import STYLE
from fmkit.report import html
from fmkit.report.html import Section

MAX_BYTES = 3_000_000
_FOLDER = Path(__file__).parent


def render(title: str, header: Markup, sections: Sequence[Section | None]) -> str:
    """The whole page.

    Args:
        title: of the document, and its first heading.
        header: what stands before the sections.
        sections: those that are None are left out.
    """
    shown = [section for section in sections if section is not None]
    links = [
        html.element("li", html.element("a", section.title, href=f"#{section.identity}"))
        for section in shown
    ]
    body = html.element(
        "body",
        html.element("a", "Skip to the content", href="#content", class_="skip"),
        header,
        html.element("nav", html.element("ul", *links), aria_label="Sections"),
        html.element("main", *map(_section, shown), id="content"),
        html.element("footer", f"Made by fmkit {VERSION}. This file needs no network."),
        html.element("script", _own("page.js")),
    )
    return f'<!DOCTYPE html>\n<html lang="en">{_head(title)}{body}</html>\n'


def _section(section: Section) -> Markup:
    heading = html.element("h2", section.title, id=f"{section.identity}-title")
    return html.element(
        "section", heading, section.body, id=section.identity,
        aria_labelledby=f"{section.identity}-title",
    )  # fmt: skip


def _own(name: str) -> Markup:
    """A file of this package as it stands; it is ours."""
    return Markup((_FOLDER / name).read_text(encoding="utf-8"))  # noqa: S704


def _head(title: str) -> Markup:
    digest = base64.b64encode(hashlib.sha256(_own("page.js").encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return html.element(
        "head",
        html.element("meta", charset="utf-8"),
        html.element("meta", http_equiv="Content-Security-Policy", content=policy),
        html.element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        html.element("meta", name="color-scheme", content="light dark"),
        html.element("meta", name="referrer", content="no-referrer"),
        html.element("title", f"{html.shorten(title, 120)} – fmkit"),
        html.element("link", rel="icon", href="data:,"),
        html.element("style", _own("page.css"), Markup(STYLE)),  # noqa: S704 - ours, too
    )


def write(path: Path, page: str) -> int:
    """Write a page in one step; returns its size in bytes."""
    content = page.encode("utf-8", "backslashreplace")
    files.write_bytes(path, content)
    return len(content)
