"""The sections of a report about results: figures, confusions, calibration, rows per class."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from fmkit.config import registry
from fmkit.report import charts, evaluation_charts, html
from fmkit.report.charts import Chart
from fmkit.report.html import Cell
from fmkit.report.record import RunRecord, finite, mapping
from fmkit.store import run_dir

_TILES = 6
_MOST_ROWS = 1000  # of a table with a row per class
_MOST_NUMBERS = 6  # predicted numbers that have charts of their own
_MOST_TAGS = 60  # tags that have a confusion matrix
_CAPTIONS = {"per_class": "Figures of each class", "per_label": "Figures of each label",
             "per_number": "Figures of each number", "per_entity": "Figures of each entity type",
             "per_tag": "Figures of each tag"}  # fmt: skip


def headline(record: RunRecord) -> list[tuple[str, str, str]]:
    """The metrics that count most: name, value, and its 95% interval as text."""
    metrics = record.metrics
    shown = titles(record)
    return [
        (title, format_metric(record, name, metrics[name]), interval(record, metrics, name))
        for name, title in shown.items()
        if finite(metrics.get(name)) is not None
    ][:_TILES]


def titles(record: RunRecord) -> dict[str, str]:
    """Titles by the names of the metrics that a table of the task shows."""
    for table in record.evaluator.tables:
        if table.keys() <= record.metrics.keys():
            return dict(table)
    names = [name for name in record.evaluator.summary if name in record.metrics]
    names = names or [name for name, value in record.metrics.items() if finite(value) is not None]
    return {name: name.replace("_", " ") for name in names if name != "n"}


def format_metric(record: RunRecord, name: str, value: Any) -> str:
    """A metric as text; one in the user's units with five significant digits."""
    in_units = name in record.evaluator.in_target_units
    return html.figure_number(value) if in_units else html.number(value)


def interval(record: RunRecord, metrics: Mapping[str, Any], name: str) -> str:
    """The 95% interval of a metric; empty where there is none."""
    bounds = (metrics.get("intervals") or {}).get(name)
    if not isinstance(bounds, list) or len(bounds) != 2 or None in map(finite, bounds):
        return ""
    return " to ".join(format_metric(record, name, bound) for bound in bounds)


def figures(record: RunRecord) -> Markup | None:
    """All numbers of all splits: a row per metric."""
    splits = list(record.evaluations)
    names = dict.fromkeys(
        name for metrics in record.evaluations.values() for name, value in metrics.items()
        if finite(value) is not None
    )  # fmt: skip
    rows = []
    for name in sorted(names, key=lambda name: name != "n"):
        cells = []
        for split in splits:
            metrics = record.evaluations[split]
            value, range_text = metrics.get(name), interval(record, metrics, name)
            shown = (
                format_metric(record, name, value) if finite(value) is not None else html.NOTHING
            )
            cells.append(f"{shown} ({range_text})" if range_text else shown)
        rows.append([name.replace("_", " ") if name != "n" else "examples", *cells])
    has_intervals = any(metrics.get("intervals") for metrics in record.evaluations.values())
    caption = "Figures by split" + (", with 95% bootstrap intervals" if has_intervals else "")
    table = html.table(["", *map(html.name, splits)], rows, caption)
    remark = None
    if run_dir.is_refitted(record.status):
        remark = "val: of the model before it was trained on validation examples, too."
    elif mapping(record.evaluations.get("val")).get("out_of_fold"):
        remark = "val: out of fold, of all training and validation examples."
    return html.join([html.note(remark), table]) if remark and table else table


def confusion_of(record: RunRecord, predictions: Any) -> tuple[np.ndarray, list[str]] | None:
    """Counts (C, C) and names of the classes, or of the tags of words; None without any."""
    counts, names = record.metrics.get("confusion"), record.metrics.get("confusion_classes")
    if isinstance(counts, list) and isinstance(names, list):
        matrix = np.asarray(counts, np.int64)
        return (matrix, list(map(str, names))) if matrix.shape == (len(names),) * 2 else None
    if predictions is None or "word" not in predictions.columns:
        return None
    tagged = predictions[predictions["prediction"].notna()]
    tags = sorted({*tagged["label"], *tagged["prediction"]})
    if not 2 <= len(tags) <= _MOST_TAGS:
        return None
    position = {tag: k for k, tag in enumerate(tags)}
    true, guessed = (tagged[key].map(position).to_numpy() for key in ("label", "prediction"))
    flat = np.bincount(true * len(tags) + guessed, minlength=len(tags) ** 2)
    return flat.reshape(len(tags), len(tags)), tags


def evaluation_charts_of(record: RunRecord, predictions: Any) -> list[Chart]:
    """The charts that a task's figures allow; `confusion_of` has one of its own."""
    found: list[Chart | None] = []
    bins = record.metrics.get("reliability")
    if isinstance(bins, list):
        found.append(evaluation_charts.reliability(bins, record.split))
    if predictions is not None and "per_number" in record.metrics:
        for name in list(record.metrics["per_number"])[:_MOST_NUMBERS]:
            end = "" if "label" in predictions.columns else f"_{name}"
            true, predicted = (
                predictions[f"{word}{end}"].to_numpy(float) for word in ("label", "prediction")
            )
            found += evaluation_charts.numbers(true, predicted, name, record.split)
    if predictions is not None and "margin" in predictions.columns:
        found.append(evaluation_charts.histogram(
            predictions["margin"].to_numpy(float), f"margin_{record.split}",
            f"Margin of preferred answers, {record.split}", "reward of preferred - of rejected",
        ))  # fmt: skip
    return [chart for chart in found if chart is not None]


def confusions(counts: np.ndarray, names: Sequence[str], chart: Chart) -> Markup:
    """The matrix beside the pairs of classes that are confused most."""
    rows = [
        [html.name(true), html.name(other), count, Cell(f"{100 * share:.1f}%", share)]
        for true, other, count, share in evaluation_charts.top_confusions(counts, names)
    ]
    columns = ["true", "predicted", "examples", "of the class"]
    table = html.table(columns, rows, "Most frequent confusions", texts=(0, 1))
    return html.element("div", charts.show(chart), table, class_="beside")


def breakdowns(record: RunRecord) -> Markup | None:
    """A row per class, label, number, entity type or tag, in a table that sorts."""
    parts = []
    for key, (noun, columns) in record.evaluator.breakdowns.items():
        rows = record.metrics.get(key)
        if not isinstance(rows, dict):
            continue
        has_f1 = all(finite(row.get("f1")) is not None for row in rows.values())
        order = (
            sorted(rows.items(), key=lambda item: item[1]["f1"]) if has_f1 else list(rows.items())
        )
        cells = [
            [html.name(name), *(_cell(record, metric, row.get(metric)) for metric in columns)]
            for name, row in order[:_MOST_ROWS]
        ]
        worst = f" The {_MOST_ROWS:,} worst of {len(rows):,}." if len(rows) > _MOST_ROWS else ""
        first = ", the worst first" if has_f1 else ""
        caption = f"{_CAPTIONS.get(key, key)}, {record.split}{first}.{worst}"
        parts.append(html.table([noun, *columns.values()], cells, caption, sortable=True))
    return html.join(parts) if any(parts) else None


def _cell(record: RunRecord, metric: str, value: Any) -> Any:
    return Cell(format_metric(record, metric, value), value) if isinstance(value, float) else value


def is_better(metric: str, difference: float) -> bool | None:
    """Whether a difference of a metric is a gain; None where there is none."""
    if not difference:
        return None
    return (difference > 0) == registry.larger_is_better(metric)
