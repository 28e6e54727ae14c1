"""Charts: one Matplotlib figure is an SVG that follows the page's colours, and a PNG.

An SVG keeps its texts as texts, so that they can be searched, read aloud and enlarged, and its
colours are the page's variables, so that one drawing serves light, dark and print.
"""

import base64
import contextlib
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from fmkit.core import files, sanitize
from fmkit.report import html

INK, SOFT, LINE = "#1f2328", "#57606a", "#d0d7de"
SERIES = ("#0a58a8", "#b04a00", "#1a7437", "#7a3fc0")
_VARIABLES = {
    INK: "var(--ink)", SOFT: "var(--soft)", LINE: "var(--line)",
    **dict(zip(SERIES, ("var(--first)", "var(--second)", "var(--third)", "var(--fourth)"),
               strict=True)),
}  # fmt: skip
SIZE = (4.9, 2.9)
"""Inches: small enough that its letters can be read on a phone, where it is shrunk."""

_STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"], "font.size": 9.0, "text.parse_math": False,
    "text.color": INK, "axes.labelcolor": SOFT, "axes.edgecolor": LINE, "axes.linewidth": 0.8,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "axes.axisbelow": True, "grid.color": LINE, "grid.linewidth": 0.6, "axes.unicode_minus": True,
    "xtick.color": SOFT, "ytick.color": SOFT, "xtick.major.size": 0, "ytick.major.size": 0,
    "legend.frameon": False, "legend.fontsize": 8.5, "lines.linewidth": 1.8,
    "figure.constrained_layout.use": True, "svg.fonttype": "none", "svg.hashsalt": "fmkit",
    "savefig.dpi": 160,
}  # fmt: skip
_LABEL = 24  # characters of a name on an axis


@dataclass(frozen=True)
class Hover:
    """What is read from a chart at a position on its horizontal axis.

    Attributes:
        points: position and name of each.
        series: name of each line, and its value at each point as text, None where it has none.
    """

    points: Sequence[tuple[float, str]]
    series: Sequence[tuple[str, Sequence[str | None]]]


@dataclass(frozen=True)
class Chart:
    """A figure with what a reader needs who does not see it.

    Attributes:
        name: of its PNG, without the ending.
        title: above it.
        description: what it shows, in words.
        figure: drawn in `style()`.
        hover: what can be read from it by pointer and keys.
        note: a remark below it.
        is_wide: whether it is as wide as its content, and scrolls, instead of half of the page.
    """

    name: str
    title: str
    description: str
    figure: Figure
    hover: Hover | None = None
    note: str = ""
    is_wide: bool = False


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Within it, charts are drawn and saved; Matplotlib's own settings are as before after it."""
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # glyphs that its font lacks; a browser has others
        yield


def label(value: Any) -> str:
    """A name from outside as one short line on an axis."""
    return html.shorten(sanitize.escape_invisible(str(value)), _LABEL)


def file_name(name: str) -> str:
    """The name of a chart as that of a file."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:80]


def plain_ticks(axis: Any) -> None:
    """Numbers at an axis as they are, also on a logarithmic one (whose own are formulas)."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.set_minor_formatter(NullFormatter())


def show(chart: Chart) -> Markup:
    """A chart on a page."""
    picture = _svg(chart)
    hover = None
    if chart.hover is not None:
        axes = chart.figure.axes[0]
        place = axes.get_position()  # after it was drawn, so that the layout is done
        hover = files.to_json({
            "points": [{"x": x, "name": name} for x, name in chart.hover.points],
            "series": [{"name": name, "y": list(values)} for name, values in chart.hover.series],
            "box": [round(v, 4) for v in (place.x0, 1 - place.y1, place.x1, 1 - place.y0)],
            "range": [float(bound) for bound in axes.get_xlim()],
        }).decode().strip()  # fmt: skip
    width = chart.figure.get_figwidth()
    least = f"--least:{width * 0.72:.0f}in; --most:{width * 1.3:.1f}in" if chart.is_wide else None
    frame = ["frame", "wide"] if chart.is_wide else ["frame"]
    return html.element(
        "figure",
        html.element("figcaption", chart.title),
        html.element("div", picture, class_=" ".join(frame), style=least,
                     tabindex="0" if chart.is_wide else None),
        html.element("p", chart.note) if chart.note else None,
        class_="chart",
        data_hover=hover,
    )  # fmt: skip


def grid(charts: Sequence[Chart]) -> Markup | None:
    """Charts beside each other where there is room."""
    if not charts:
        return None
    return html.element("div", *map(show, charts), class_="charts")


def _svg(chart: Chart) -> Markup:
    stream = io.StringIO()
    with matplotlib.rc_context(
        {"svg.hashsalt": file_name(chart.name)}
    ):  # ids that no other chart has
        metadata = {"Date": None, "Creator": None}
        chart.figure.savefig(stream, format="svg", transparent=True, metadata=metadata)
    chart.figure.set_layout_engine("none")  # it is laid out; a PNG need not be once more
    text = stream.getvalue()
    text = re.sub(r"<(metadata|style)\b.*?</\1>", "", text[text.index("<svg") :], flags=re.DOTALL)
    box = re.search(r'viewBox="([\d. -]+)"', text)
    inner = text[text.index(">") + 1 : text.rindex("</svg>")]
    inner = re.sub(r'<g id="[\w.]+">', "<g>", inner)
    inner = re.sub(r'style="[^"]*"', lambda found: _themed(found[0]), inner)
    opening = '<svg viewBox="{}" role="img" aria-label="{}">'
    start = Markup(opening).format(box[1] if box else "", html.text(chart.description))  # noqa: S704
    return start + Markup(re.sub(r"\n\s*", "\n", inner)) + Markup("</svg>")  # noqa: S704 - Matplotlib's


def _themed(attribute: str) -> str:
    """A style attribute with the page's colours, and without a font's family."""
    for colour, variable in _VARIABLES.items():
        attribute = attribute.replace(colour, variable)
    return re.sub(r"font: (?:(\d+) )?([\d.]+px) [^;\"]+", r"font-size: \2", attribute)


def save(chart: Chart, path: Path) -> None:
    """Write a chart as a PNG on white."""
    with files.replacing(path) as temporary:
        chart.figure.savefig(temporary, format="png", facecolor="white")


def data_uri(content: bytes, kind: str = "image/jpeg") -> str:
    """Bytes of a picture as an address that needs no network."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
