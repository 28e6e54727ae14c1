"""The report of a sweep: its jobs, what varied, and how the results depend on it."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from fmkit.config import registry
from fmkit.core.errors import ArtifactError, plural
from fmkit.report import background, charts, curves, html, page, results, training
from fmkit.report.charts import Chart
from fmkit.report.html import Cell
from fmkit.report.record import RunRecord, finite
from fmkit.report.run_page import Report
from fmkit.store import run_content, run_dir, run_index

_MOST_KEYS = 6  # settings with a chart
_MOST_CURVES = 12  # jobs in a chart of curves
_MOST_JOBS = 1000


def write(folder: Path, output: Path | None = None) -> Report:
    """Write `report.html` and the plots into a sweep's folder.

    Args:
        folder: the sweep's.
        output: another place for the page.

    Raises:
        ArtifactError: there is no job in it.
        OSError: a file cannot be written.
    """
    began = time.monotonic()
    jobs = [RunRecord(job.folder) for job in reversed(run_index.runs(folder))]
    if not jobs:
        raise ArtifactError(f"sweep {folder}: it has no job.")
    report = Report(output or folder / run_dir.REPORT)
    metric = objective(jobs)
    varied = varied_settings(jobs)
    with charts.style():
        shown = [*_dependence(jobs, varied, metric), *_curves(jobs)]
        sections = [
            html.section("jobs", "Jobs", _table(jobs, varied, metric, report.path.parent)),
            html.section("varied", "What varied", charts.grid(shown)),
            html.section("shared", "Shared settings", _shared(jobs[0], varied)),
            html.section("environment", "Machine and versions", background.environment(jobs[0])),
        ]
        text = page.render(f"Sweep {folder.name}", _header(folder, jobs, metric), sections)
        report.bytes = page.write(report.path, text)
        for chart in shown:  # no folder, which would be taken for a job
            report.plots.append(folder / f"plot_{charts.file_name(chart.name)}.png")
            charts.save(chart, report.plots[-1])
    report.seconds = time.monotonic() - began
    return report


def objective(jobs: Sequence[RunRecord]) -> str:
    """The metric that jobs are ranked by: the first that their task shows, of test or else val."""
    for job in jobs:
        numbers = run_index.metrics(job.summary)
        for split in ("test", "val"):
            names = [f"{split}.{name}" for table in job.evaluator.tables for name in table]
            names += [
                name for name in numbers if name.startswith(f"{split}.") and name != f"{split}.n"
            ]
            for name in names:
                if name in numbers:
                    return name
    return ""


def varied_settings(jobs: Sequence[RunRecord]) -> list[str]:
    """Full keys whose values differ between jobs, those that somebody typed first."""
    configs = [job.flat_config for job in jobs]
    return run_content.varied_keys(configs, [job.summary for job in jobs])


def _value(job: RunRecord, metric: str) -> float | None:
    return run_index.metrics(job.summary).get(metric)


def _ranked(jobs: Sequence[RunRecord], metric: str) -> list[RunRecord]:
    sign = -1 if registry.larger_is_better(metric) else 1
    return sorted(
        jobs, key=lambda job: (_value(job, metric) is None, sign * (_value(job, metric) or 0))
    )


def _header(folder: Path, jobs: Sequence[RunRecord], metric: str) -> Markup:
    done = sum(job.summary.state == run_dir.DONE for job in jobs)
    best = _ranked(jobs, metric)[0]
    value = _value(best, metric)
    tiles = [("jobs", f"{done} of {len(jobs)} done")]
    if value is not None:
        tiles.append(
            (f"best {metric}", results.format_metric(best, metric.partition(".")[2], value))
        )
    seconds = [finite(job.status.get("seconds")) or 0.0 for job in jobs]
    tiles.append(("time of all jobs", training.duration(sum(seconds))))
    shown = (
        html.element("div", html.element("dt", title), html.element("dd", text, class_="value"),
                     class_="tile")
        for title, text in tiles
    )  # fmt: skip
    return html.element(
        "header",
        html.element("h1", "Sweep ", html.name(folder.name)),
        html.element("p", html.name(jobs[0].summary.task or ""), " · ",
                     plural(len(jobs), "job"), class_="subtitle"),
        html.element("dl", *shown, class_="tiles"),
    )  # fmt: skip


def _table(jobs: Sequence[RunRecord], varied: Sequence[str], metric: str, beside: Path) -> Markup:
    """A row per job, the best first, each with a link to its own page if that is there."""
    names = list(dict.fromkeys(name for job in jobs for name in run_index.metrics(job.summary)))
    names = [metric, *(name for name in names if name != metric and not name.endswith(".n"))][:8]
    rows = []
    for job in _ranked(jobs, metric)[:_MOST_JOBS]:
        title: Any = html.name(job.folder.name)
        if (job.folder / run_dir.REPORT).is_file() and job.folder.parent == beside:
            title = html.element("a", title, href=f"{job.folder.name}/{run_dir.REPORT}")
        state = job.summary.state
        rows.append([
            title,
            *(html.code(job.flat_config.get(key, html.NOTHING)) for key in varied[:_MOST_KEYS]),
            *(_metric_cell(job, name) for name in names if name),
            html.element("span", state, class_="good" if state == run_dir.DONE else "bad"),
            Cell(training.duration(job.status.get("seconds")), finite(job.status.get("seconds"))),
            html.shorten(job.summary.reason or "", 120),
        ])  # fmt: skip
    columns = [
        "job",
        *varied[:_MOST_KEYS],
        *(name for name in names if name),
        "state",
        "time",
        "reason",
    ]
    if not any(row[-1] for row in rows):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    texts = [*range(1 + len(varied[:_MOST_KEYS])), columns.index("state"), len(columns)]
    caption = f"Jobs by {metric}, the best first" if metric else "Jobs"
    table = html.table(columns, rows, caption, sortable=True, texts=texts)
    return table if table is not None else html.note("There is no job.")


def _metric_cell(job: RunRecord, name: str) -> Any:
    value = _value(job, name)
    return html.NOTHING if value is None else Cell(
        results.format_metric(job, name.partition(".")[2], value), value)  # fmt: skip


def _dependence(jobs: Sequence[RunRecord], varied: Sequence[str], metric: str) -> list[Chart]:
    """The metric over each setting that varied; a point per job, and the mean of each value."""
    found = []
    for key in varied[:_MOST_KEYS]:
        points = [
            (job.flat_config.get(key), value)
            for job in jobs
            if (value := _value(job, metric)) is not None
        ]
        if len({str(x) for x, _ in points}) > 1:
            found.append(_scatter(key, metric, points))
    return found


def _scatter(key: str, metric: str, points: Sequence[tuple[Any, float]]) -> Chart:
    figure = Figure(charts.SIZE)
    axes = figure.add_subplot()
    numbers = [finite(x) for x, _ in points]
    names = list(dict.fromkeys(str(x) for x, _ in points))
    is_numeric = None not in numbers
    if is_numeric:
        x = [float(number or 0) for number in numbers]
        if min(x) > 0 and max(x) / min(x) >= 20:
            axes.set_xscale("log")
        charts.plain_ticks(axes.xaxis)
    else:
        x = [float(names.index(str(value))) for value, _ in points]
        labels = [charts.label(name) for name in names]
        axes.set_xticks(range(len(names)), labels, rotation=30 if max(map(len, labels)) > 8 else 0)
    y = [value for _, value in points]
    axes.plot(x, y, "o", color=charts.SERIES[0], alpha=0.7)
    means = {
        at: [value for other, value in zip(x, y, strict=True) if other == at]
        for at in sorted(set(x))
    }
    axes.plot(
        list(means), [sum(row) / len(row) for row in means.values()], "--", color=charts.SERIES[1]
    )
    axes.set(xlabel=charts.label(key), ylabel=metric)
    charts.plain_ticks(axes.yaxis)
    described = "; ".join(f"{value}: {result:.4g}" for value, result in points[:30])
    title = f"{metric} by {html.shorten(key, 60)}"
    return Chart(f"by_{key}", title, f"{title}. {described}.", figure, note="Dashed: the mean.")


def _curves(jobs: Sequence[RunRecord]) -> list[Chart]:
    """The validation loss of every job in one chart."""
    series: dict[str, list[float | None]] = {}
    longest: list[dict[str, Any]] = []
    for job in jobs[:_MOST_CURVES]:
        rows = [row for row in job.rows if finite(row.get("val_loss")) is not None]
        if rows:
            series[job.folder.name] = [finite(row.get("val_loss")) for row in rows]
            longest = max(longest, rows, key=len)
    if not series:
        return []
    padded = {
        name: [*values, *[None] * (len(longest) - len(values))] for name, values in series.items()
    }
    return [curves.line_chart("curve_val_loss", "Validation loss by job", longest, padded)]


def _shared(job: RunRecord, varied: Sequence[str]) -> Markup | None:
    rows = [[html.code(key), html.code(html.shorten(str(value), 300))]
            for key, value in job.flat_config.items() if key not in varied]  # fmt: skip
    table = html.table(["key", "value"], rows, texts=(0, 1))
    return html.join([
        html.note("The command of the first job:"), html.command(background.command_line(job)),
        html.details("The whole config, without what varied", table),
    ])  # fmt: skip
