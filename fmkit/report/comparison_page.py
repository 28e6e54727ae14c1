"""The report of two runs side by side: figures, settings, data, curves, disagreements."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from fmkit.core.errors import ArtifactError, plural
from fmkit.evaluation import paired_runs
from fmkit.report import background, charts, curves, gallery, html, page, results, training
from fmkit.report.charts import Chart
from fmkit.report.html import Cell
from fmkit.report.record import RunRecord, finite, mapping
from fmkit.report.run_page import Report
from fmkit.report.samples import MOST, Sample
from fmkit.store import run_content, run_dir, run_index

_MOST_ROWS = 100  # of disagreements
_MOST_CURVES = 4
_RIGHT = ("both_right", "only_first_right", "only_second_right", "both_wrong")
Content = Mapping[str, Mapping[str, str]]


def default_path(first: Path, second: Path) -> Path:
    """Where the page goes: into the second run's folder."""
    return second / f"compared-with-{first.name}.html"


def write(
    first: Path, second: Path, output: Path | None = None, content: Content | None = None
) -> Report:
    """Write the page about two runs.

    Args:
        first: folder of the run to compare with.
        second: folder of the other run.
        output: another place for the page.
        content: photos or texts of examples by id, besides those that the runs have on record.

    Raises:
        ArtifactError: a run cannot be read.
        OSError: the file cannot be written.
    """
    began = time.monotonic()
    runs = RunRecord(first), RunRecord(second)
    for run in runs:
        if run.summary.state == run_index.BROKEN:
            raise ArtifactError(f"run {run.folder}: {run.summary.reason}.")
    names = _names(*runs)
    report = Report(output or default_path(first, second))
    pair = paired_runs.paired(first, second, "")
    with charts.style():
        drawn = _curves(runs, names)
        sections = [
            html.section("results", "Results", _figures(runs, names)),
            html.section("classes", "By class", _classes(runs, names)),
            html.section(
                "disagreements", "Disagreements", _disagreements(pair, runs, names, content)
            ),
            html.section("curves", "Training curves", charts.grid(drawn)),
            html.section("settings", "Settings that differ", _settings(runs, names)),
            html.section("data", "Data", _data(runs, names)),
            html.section("environment", "Machines and versions", _environments(runs, names)),
            html.section("reproduce", "Make them again", _commands(runs, names)),
        ]
        title = f"{names[0]} and {names[1]}"
        report.bytes = page.write(report.path, page.render(title, _header(runs, names), sections))
    report.seconds = time.monotonic() - began
    return report


def _names(first: RunRecord, second: RunRecord) -> tuple[str, str]:
    """What the page calls them: their titles, or their ids where these are equal."""
    if first.title != second.title:
        return first.title, second.title
    return first.folder.name, second.folder.name


def _header(runs: Sequence[RunRecord], names: Sequence[str]) -> Markup:
    rows = []
    for run, name, word in zip(runs, names, ("First", "Second"), strict=True):
        summary = run.summary
        facts = [summary.model, summary.data_label, summary.started, run.folder.name]
        shown = html.join([html.name(fact) for fact in facts if fact], " · ")
        rows.append(html.element("p", html.element("strong", f"{word}: ", html.name(name)), " – ",
                                 shown, class_="subtitle"))  # fmt: skip
    title = html.element("h1", html.name(names[0]), " and ", html.name(names[1]))
    return html.element("header", title,
                        *rows)  # fmt: skip


def _change(metric: str, before: Any, after: Any, text: str) -> Any:
    """A difference, coloured by whether it is a gain."""
    difference = float(after) - float(before)
    better = results.is_better(metric, difference)
    kind = {True: "good", False: "bad"}.get(better) if better is not None else None
    sign = "+" if difference > 0 else ""
    return Cell(html.element("span", f"{sign}{text}", class_=kind), difference)


def _figures(runs: Sequence[RunRecord], names: Sequence[str]) -> Markup | None:
    first, second = runs
    parts = []
    for split in first.evaluations:
        left, right = first.evaluations[split], second.evaluations.get(split)
        if right is None:
            continue
        rows = []
        for metric, before in left.items():
            after = right.get(metric)
            if finite(before) is None or finite(after) is None:
                continue
            values = [
                Cell(_with_interval(run, metrics, metric), value)
                for run, metrics, value in ((first, left, before), (second, right, after))
            ]
            title = "examples" if metric == "n" else metric.replace("_", " ")
            change = results.format_metric(first, metric, after - before)
            rows.append([title, *values, _change(metric, before, after, change)])
        parts.append(html.table(["", *map(html.name, names), "second - first"], rows,
                                f"Figures of {split}, with 95% intervals"))  # fmt: skip
    shown = [part for part in parts if part is not None]
    return html.join(shown) if shown else None


def _with_interval(run: RunRecord, metrics: Mapping[str, Any], name: str) -> str:
    bounds = results.interval(run, metrics, name)
    value = results.format_metric(run, name, metrics[name])
    return f"{value} ({bounds})" if bounds else value


def _classes(runs: Sequence[RunRecord], names: Sequence[str]) -> Markup | None:
    """The main figure of each class in both runs, the largest loss first."""
    first, second = runs
    for key, (noun, columns) in first.evaluator.breakdowns.items():
        metric = "f1" if "f1" in columns else next(iter(columns))
        left, right = (run.metrics.get(key) for run in runs)
        if not isinstance(left, dict) or not isinstance(right, dict) or first.split != second.split:
            continue
        rows = [
            (name, left[name].get(metric), right[name].get(metric))
            for name in left
            if name in right
        ]
        complete = [
            row for row in rows if finite(row[1]) is not None and finite(row[2]) is not None
        ]
        sign = 1 if results.is_better(metric, 1.0) else -1
        complete.sort(key=lambda row: sign * (row[2] - row[1]))
        cells = [
            [html.name(name),
             *(Cell(results.format_metric(first, metric, v), v) for v in (before, after)),
             _change(metric, before, after, results.format_metric(first, metric, after - before))]
            for name, before, after in complete
        ]  # fmt: skip
        caption = f"{columns[metric]} of each {noun}, {first.split}, the largest loss first"
        return html.table(
            [noun, *map(html.name, names), "second - first"], cells, caption, sortable=True
        )
    return None


def ids_of_disagreements(first: Path, second: Path) -> list[str]:
    """The examples that the page about two runs shows."""
    pair = paired_runs.paired(first, second, "")
    return [row["id"] for row in pair["disagreements"][:MOST]] if pair else []


def _pair(pair: Mapping[str, Any], names: Sequence[str]) -> Markup | None:
    """Differences on the examples that both runs have, and who is right."""
    rows = [
        [row["key"].replace("_", " "), *(html.number(row[side]) for side in ("first", "second")),
         _change(row["key"], row["first"], row["second"], html.number(row["difference"])),
         " to ".join(map(html.number, row["interval"])) if row["interval"] else html.NOTHING]
        for row in pair["metrics"]
    ]  # fmt: skip
    caption = f"{pair['split']}: {plural(pair['n'], 'example')} that both have"
    columns = ["", *map(html.name, names), "second - first", "95% interval, paired"]
    test = pair["mcnemar"] or {}
    counts = [(key.replace("_", " "), html.number(test[key])) for key in _RIGHT if key in test]
    if test:
        counts.append(("McNemar's exact test", f"p = {test['p_value']:.3g}"))
    return html.join([html.table(columns, rows, caption), html.pairs(counts)])


def _disagreements(
    pair: Mapping[str, Any] | None,
    runs: Sequence[RunRecord],
    names: Sequence[str],
    content: Content | None,
) -> Markup | None:
    if pair is None:
        return None
    rows, head = pair["disagreements"], _pair(pair, names)
    if not rows:
        return html.join([head, html.note("They agree on every example.")])
    kept: dict[str, Any] = {}
    for run in runs:
        kept |= mapping(run.json(run_dir.SAMPLES).get("examples"))
    kept |= content or {}
    samples = [
        (_sample(row), kept[row["id"]]) for row in rows[:MOST] if mapping(kept.get(row["id"]))
    ]
    cells = [
        [html.name(row["id"]), html.name(row["label"]),
         *(_answer(row, side) for side in ("first", "second"))]
        for row in rows[:_MOST_ROWS]
    ]  # fmt: skip
    more = f", {_MOST_ROWS} of {len(rows):,}" if len(rows) > _MOST_ROWS else ""
    caption = f"{plural(len(rows), 'disagreement')}{more}; first what the second got worse at"
    table = html.table(["example", "true", *map(html.name, names)], cells, caption, texts=range(4))
    return html.join([head, gallery.gallery(samples) if samples else None, table])


def _sample(row: Mapping[str, Any]) -> Sample:
    first, second = (str(row[side]) for side in ("first", "second"))
    return Sample(row["id"], str(row["label"]), second, f"first run: {first}")


def _answer(row: Mapping[str, Any], side: str) -> Markup:
    kind = "good" if str(row[side]) == str(row["label"]) else "bad"
    return html.element("span", html.name(row[side]), class_=kind)


def _curves(runs: Sequence[RunRecord], names: Sequence[str]) -> list[Chart]:
    """Validation metrics of both runs by epoch, or training's where there is no validation."""
    epochs = [run_content.epochs(run.folder) for run in runs]
    shared = [
        key for key in dict.fromkeys(key for row in epochs[0] for key in row)
        if all(any(finite(row.get(key)) is not None for row in rows) for rows in epochs)
    ]  # fmt: skip
    keys = [key for key in shared if key.startswith("val_")] or [
        key for key in shared if key == "loss"
    ]
    longest = max(epochs, key=len)
    rows = [{**row, "step": number} for number, row in enumerate(longest, start=1)]
    line_charts = []
    for key in keys[:_MOST_CURVES]:
        series = {}
        for name, own in zip(names, epochs, strict=True):
            values = [finite(row.get(key)) for row in own]
            series[html.shorten(name, 40)] = [*values, *[None] * (len(rows) - len(values))]
        title = f"{key.replace('val_', 'validation ').replace('_', ' ')}, by epoch"
        line_charts.append(curves.line_chart(f"curve_{key}", title, rows, series))
    return line_charts


def _settings(runs: Sequence[RunRecord], names: Sequence[str]) -> Markup:
    rows = background.difference_rows(*(run.flat_config for run in runs))
    table = html.table(["key", *map(html.name, names)], rows, texts=(0, 1, 2))
    return table if table is not None else html.note("No setting differs.")


def _data(runs: Sequence[RunRecord], names: Sequence[str]) -> Markup:
    first, second = (run.data for run in runs)
    sentences = []
    for key, what in (
        ("fingerprint", "The data"),
        ("split_fingerprint", "The division into splits"),
    ):
        is_same = first.get(key) and first.get(key) == second.get(key)
        word = html.element("span", "the same" if is_same else "not the same",
                            class_="good" if is_same else "bad")  # fmt: skip
        sentences.append(html.element("p", f"{what}: ", word, "."))
    splits = dict.fromkeys([*(first.get("counts") or {}), *(second.get("counts") or {})])
    rows = [
        [split, *(html.number((data.get("counts") or {}).get(split)) for data in (first, second))]
        for split in splits
    ]
    return html.join(
        [*sentences, html.table(["", *map(html.name, names)], rows, "Examples by split")]
    )


def _environments(runs: Sequence[RunRecord], names: Sequence[str]) -> Markup:
    configs = [
        {**(run.environment.get("versions") or {}),
         **{key: run.environment.get(key) for key in ("platform", "processor", "cores", "seed")},
         "time": training.duration(run.status.get("total_seconds") or run.status.get("seconds"))}
        for run in runs
    ]  # fmt: skip
    rows = background.difference_rows(*configs)
    table = html.table(["", *map(html.name, names)], rows, "What differs", texts=(0, 1, 2))
    return table if table is not None else html.note("Nothing differs.")


def _commands(runs: Sequence[RunRecord], names: Sequence[str]) -> Markup:
    return html.join(
        html.join([html.element("h3", html.name(name)), html.command(background.command_line(run))])
        for run, name in zip(runs, names, strict=True)
    )
