"""A page: one HTML file that needs no other, in light, dark and print, on a desk and on a phone.

Its content security policy allows nothing but what is in the file: no request leaves it, and no
script runs but the page's own, whose hash the policy names.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from fmkit.core import files
from fmkit.core.version import VERSION
from fmkit.explain.marked_words import STYLE
from fmkit.report import html
from fmkit.report.html import Section

MAX_BYTES = 3_000_000
_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Extras:
    """What a page has beyond that of a report.

    Attributes:
        script: follows the report's own.
        style: follows the report's own.
        allowed: directives of the content security policy, in place of the refusal of forms.
        about: the last line.
    """

    script: str = ""
    style: str = ""
    allowed: str = "form-action 'none'"
    about: str = "This file needs no network."


def render(
    title: str, header: Markup, sections: Sequence[Section | None], extras: Extras | None = None
) -> str:
    """The whole page.

    Args:
        title: of the document, and its first heading.
        header: what stands before the sections.
        sections: those that are None are left out.
        extras: what a report does not have.
    """
    extras = extras or Extras()
    shown = [section for section in sections if section is not None]
    links = [
        html.element("li", html.element("a", section.title, href=f"#{section.identity}"))
        for section in shown
    ]
    nav = html.element("nav", html.element("ul", *links), aria_label="Sections")
    body = html.element(
        "body",
        html.element("a", "Skip to the content", href="#content", class_="skip"),
        header,
        nav if len(links) > 1 else None,
        html.element("main", *map(_section, shown), id="content"),
        html.element("footer", f"Made by fmkit {VERSION}. {extras.about}"),
        html.element("script", _script(extras)),
    )
    return f'<!DOCTYPE html>\n<html lang="en">{_head(title, extras)}{body}</html>\n'


def policy(extras: Extras | None = None) -> str:
    """The content security policy of a page: its own script, and nothing from anywhere else."""
    extras = extras or Extras()
    digest = base64.b64encode(hashlib.sha256(_script(extras).encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        f"img-src data:; base-uri 'none'; {extras.allowed}"
    )


def _script(extras: Extras) -> Markup:
    return _own("page.js") + Markup(extras.script)  # noqa: S704 - ours


def _section(section: Section) -> Markup:
    heading = html.element("h2", section.title, id=f"{section.identity}-title")
    return html.element(
        "section", heading, section.body, id=section.identity,
        aria_labelledby=f"{section.identity}-title",
    )  # fmt: skip


def _own(name: str) -> Markup:
    """A file of this package as it stands; it is ours."""
    return Markup((_FOLDER / name).read_text(encoding="utf-8"))  # noqa: S704


def _head(title: str, extras: Extras) -> Markup:
    return html.element(
        "head",
        html.element("meta", charset="utf-8"),
        html.element("meta", http_equiv="Content-Security-Policy", content=policy(extras)),
        html.element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        html.element("meta", name="color-scheme", content="light dark"),
        html.element("meta", name="referrer", content="no-referrer"),
        html.element("title", f"{html.shorten(title, 120)} – fmkit"),
        html.element("link", rel="icon", href="data:,"),
        html.element("style", _own("page.css"), Markup(STYLE), Markup(extras.style)),  # noqa: S704
    )


def write(path: Path, page: str) -> int:
    """Write a page in one step; returns its size in bytes."""
    content = page.encode("utf-8", "backslashreplace")
    files.write_bytes(path, content)
    return len(content)
