"""One HTML file with the marked words of all texts: for a browser, in light and dark, and printed.

It needs nothing else, and every text in it is escaped.
"""

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup, escape

from fmkit.core import files
from fmkit.core.sanitize import escape_invisible
from fmkit.explain.marked_words import STYLE, MarkedText, as_html

FILE = "explanations.html"
_LONGEST = 20_000  # characters of a text

_STYLE = f"""
:root {{ color-scheme: light dark; --paper: #fff; --ink: #1f2328; --soft: #57606a; --line: #d0d7de;
  --good: #1a7437; --bad: #b3261e; }}
@media (prefers-color-scheme: dark) {{ :root {{ --paper: #0f1318; --ink: #e6edf3; --soft: #a3adb8;
  --line: #333b45; --good: #6cc983; --bad: #ff9088; }} }}
body {{ margin: 0 auto; max-width: 52rem; padding: 1rem 1.25rem; background: var(--paper);
  color: var(--ink); font: 16px/1.7 system-ui, "Segoe UI", Roboto, Arial, sans-serif; }}
h1 {{ font-size: 1.4rem; }} h2 {{ font-size: 1rem; margin: 0; overflow-wrap: anywhere; }}
article {{ border-top: 1px solid var(--line); padding: .8rem 0; break-inside: avoid; }}
.text {{ white-space: pre-wrap; overflow-wrap: anywhere; margin: .4rem 0; }}
.about {{ color: var(--soft); font-size: .9rem; margin: 0; overflow-wrap: anywhere; }}
{STYLE}"""


def write(folder: Path, title: str, texts: Sequence[MarkedText]) -> Path:
    """Write the page into a folder; its path."""
    legend = Markup(
        '<p class="about">A solid line: the word speaks for what is explained (raises a number); '
        "a dashed one: against it. The thicker, the more. A word that is struck through was left "
        "out; an underlined one after it took its place.</p>"
    )
    articles = Markup("\n").join(map(_article, texts))
    page = Markup(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<title>{}</title><style>{}</style></head>\n<body><h1>{}</h1>\n{}\n{}\n</body></html>\n"
    ).format(title, Markup(_STYLE), title, legend, articles)  # noqa: S704 - our own style sheet
    path = folder / FILE
    files.write_bytes(path, page.encode("utf-8", "backslashreplace"))
    return path


def _article(text: MarkedText) -> Markup:
    lines = Markup("").join(
        Markup('<p class="about">{}</p>').format(escape(escape_invisible(line)))
        for line in text.lists()
    )
    article = Markup(
        '<article><h2>{}</h2><p class="about">{}</p><p class="text">{}</p>{}</article>'
    )
    name, about = escape_invisible(text.name), escape_invisible(text.about)
    return article.format(name, about, as_html(text.pieces(_LONGEST)), lines)
