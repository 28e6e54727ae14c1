"""The curves of training by phase: loss, metrics, learning rate, throughput."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fmkit.report import charts, html
from fmkit.report.charts import Chart, Hover

_APART = ("phase", "epoch", "step", "learning_rate", "examples_per_second", "seconds", "rss_bytes")
_MOST_POINTS = 400
_MOST_METRICS = 4
_MOST_ROWS = 100  # of the table
_MARKED = 60  # so few points have dots
_SPREAD = 30  # a series is drawn on a logarithmic axis from this ratio on
_OTHERS = {"learning_rate": "learning rate", "examples_per_second": "examples per second"}
Row = Mapping[str, Any]


def draw(rows: Sequence[Row], monitor: str = "") -> list[Chart]:
    """A chart of the loss, of each metric, of the learning rate and of the throughput.

    Args:
        rows: of metrics.jsonl.
        monitor: the metric that chose the best epoch, which comes first after the loss.
    """
    rows = _thin([row for row in rows if isinstance(row.get("phase"), str)])
    if not rows:
        return []
    line_charts: list[Chart] = []
    for metric in _metrics(rows, monitor):
        title = html.shorten(metric.replace("_", " "), 60)
        series = {"training": _values(rows, metric), "validation": _values(rows, f"val_{metric}")}
        line_charts.append(line_chart(f"curve_{len(line_charts)}_{metric}", title, rows, series))
    for key, title in _OTHERS.items():
        series = {title: _values(rows, key)}
        if any(value is not None for value in series[title]):
            line_charts.append(line_chart(f"curve_{key}", title, rows, series))
    return line_charts


def _thin(rows: Sequence[Row]) -> Sequence[Row]:
    """At most so many rows: those of whole epochs, and evenly spread ones of these."""
    if len(rows) > _MOST_POINTS:
        rows = [row for row in rows if "seconds" in row] or rows
    step = -(-len(rows) // _MOST_POINTS)
    return [row for number, row in enumerate(rows) if (len(rows) - 1 - number) % step == 0]


def _metrics(rows: Sequence[Row], monitor: str) -> list[str]:
    """Names without `val_`: the loss, what was monitored, then the others."""
    names = dict.fromkeys(
        key.removeprefix("val_") for row in rows for key, value in row.items()
        if key not in _APART and _number(value) is not None
    )  # fmt: skip
    first = [name for name in ("loss", monitor.removeprefix("val_")) if name in names]
    return list(dict.fromkeys([*first, *names]))[: _MOST_METRICS + 1]


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def _values(rows: Sequence[Row], key: str) -> list[float | None]:
    return [_number(row.get(key)) for row in rows]


def positions(rows: Sequence[Row]) -> tuple[list[float], str]:
    """Where rows are on the horizontal axis: at their steps, if these grow, else one by one."""
    steps = [_number(row.get("step")) for row in rows]
    numbered = [step for step in steps if step is not None]
    if len(numbered) == len(rows) and all(a < b for a, b in itertools.pairwise(numbered)):
        return numbered, "step"
    return [float(number) for number in range(1, len(rows) + 1)], "row"


def line_chart(
    name: str, title: str, rows: Sequence[Row], series: Mapping[str, Sequence[float | None]]
) -> Chart:
    """Lines over the steps of a run, each phase on a ground of its own.

    Args:
        name: of its PNG.
        title: what the lines show.
        rows: that have `phase`, `epoch` and `step`.
        series: a value per row by the line's name; lines without a value are left out.
    """
    series = {key: row for key, row in series.items() if any(value is not None for value in row)}
    x, unit = positions(rows)
    figure = Figure(charts.SIZE)
    axes = figure.add_subplot()
    spans = phase_spans(rows)
    marker = "o" if len(rows) <= _MARKED else None
    for number, (line, values) in enumerate(series.items()):
        colour = charts.SERIES[number % len(charts.SERIES)]
        for part, (first, end, _) in enumerate(spans):
            points = [(x[k], values[k]) for k in range(first, end) if values[k] is not None]
            if points:
                axes.plot(
                    *zip(*points, strict=True), color=colour, marker=marker, markersize=3.5,
                    linestyle="--" if number % 2 else "-", label=None if part else line,
                )  # fmt: skip
    _mark_phases(axes, x, spans)
    all_values = [value for values in series.values() for value in values if value is not None]
    is_wide = min(all_values) > 0 and max(all_values) / min(all_values) >= _SPREAD
    if is_wide and name != "curve_learning_rate":  # which may end next to 0
        axes.set_yscale("log")
    charts.plain_ticks(axes.yaxis)
    charts.plain_ticks(axes.xaxis)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.set_xlabel(unit)
    if len(series) > 1:
        axes.legend(*_legend(series), loc="best")
    hover = Hover(
        [(position, _row_name(row)) for position, row in zip(x, rows, strict=True)],
        [(line, [None if value is None else f"{value:.5g}" for value in values])
         for line, values in series.items()],
    )  # fmt: skip
    return Chart(name, title, _describe(title, series), figure, hover)


def _legend(series: Mapping[str, Any]) -> tuple[list[Any], list[str]]:
    from matplotlib.lines import Line2D

    colours = (charts.SERIES[k % len(charts.SERIES)] for k in range(len(series)))
    handles = [
        Line2D([], [], color=colour, linestyle="--" if k % 2 else "-")
        for k, colour in enumerate(colours)
    ]
    return handles, [charts.label(name) for name in series]


def phase_spans(rows: Sequence[Row]) -> list[tuple[int, int, str]]:
    """First row, row after the last, and name of each phase, in their order."""
    spans: list[tuple[int, int, str]] = []
    for number, row in enumerate(rows):
        phase = str(row.get("phase", ""))
        if spans and spans[-1][2] == phase:
            spans[-1] = (spans[-1][0], number + 1, phase)
        else:
            spans.append((number, number + 1, phase))
    return spans


def _mark_phases(axes: Any, x: Sequence[float], spans: Sequence[tuple[int, int, str]]) -> None:
    """Name each phase above its part of the axis, with a line between two."""
    margin = 0.02 * max(x[-1] - x[0], 1.0)
    axes.set_xlim(x[0] - margin, x[-1] + margin)
    if len(spans) < 2:
        return
    for number, (first, end, phase) in enumerate(spans):
        begin = axes.get_xlim()[0] if number == 0 else (x[first - 1] + x[first]) / 2
        stop = axes.get_xlim()[1] if end == len(x) else (x[end - 1] + x[end]) / 2
        if number % 2:
            axes.axvspan(begin, stop, color=charts.LINE, alpha=0.28, linewidth=0)
        is_seen = (stop - begin) / (axes.get_xlim()[1] - axes.get_xlim()[0]) > 0.07
        if is_seen and len(spans) <= 8:
            axes.text(
                (begin + stop) / 2, 1.02, html.shorten(charts.label(phase), 14), ha="center",
                va="bottom", fontsize=8, color=charts.SOFT, transform=axes.get_xaxis_transform(),
            )  # fmt: skip


def _row_name(row: Row) -> str:
    phase = html.shorten(str(row.get("phase")), 24)
    return f"{phase}, epoch {row.get('epoch')}, step {row.get('step')}"


def _describe(title: str, series: Mapping[str, Sequence[float | None]]) -> str:
    parts = []
    for line, values in series.items():
        numbers = [value for value in values if value is not None]
        parts.append(
            f"{line} from {numbers[0]:.4g} to {numbers[-1]:.4g}, "
            f"lowest {min(numbers):.4g}, highest {max(numbers):.4g}"
        )
    return f"Curve of {title} over the training steps: {'; '.join(parts)}."


def as_table(rows: Sequence[Row]) -> Markup | None:
    """The rows of epochs as a table: the same figures for who does not see the curves."""
    rows = [row for row in rows if "seconds" in row] or list(rows)
    left_out = len(rows) - _MOST_ROWS
    rows = rows[-_MOST_ROWS:]
    keys = list(dict.fromkeys(key for row in rows for key in row if key != "rss_bytes"))
    columns = [key.replace("_", " ") for key in keys]
    values = [[_cell(row.get(key)) for key in keys] for row in rows]
    caption = "A row per epoch" + (f"; the first {left_out:,} are left out" if left_out > 0 else "")
    return html.table(columns, values, caption)


def _cell(value: Any) -> Any:
    return html.Cell(f"{value:.5g}", value) if isinstance(value, float) else value
