"""What an evaluation may leave beside its figures, in `eval/<split>/`: curves, slices and more."""

from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from fmkit.core import safe_io
from fmkit.core.errors import plural
from fmkit.report import charts, html
from fmkit.report.charts import Chart
from fmkit.report.record import RunRecord, finite, mapping
from fmkit.store import run_dir

_MAX_BYTES = 64 * 2**20
_OPEN_ROWS = 12  # a longer table is folded
_NAMED = 4  # so many classes have a colour and a name, those whose curves enclose the least

_BY_NAME = (
    ("roc", "ROC curves", "false_positive_rate", "true_positive_rate"),
    ("precision_recall", "Precision and recall", "recall", "precision"),
)
"""File, title, and columns of the axes of curves with one line for each class or label."""


_TABLES = {
    "slices": ("Slices", "Each value of a column"),
    "clusters": ("Clusters of features", "Each cluster, on the half that it was not found on"),
    "fairness": ("Gaps between groups", "Gaps between groups, by class"),
    "corruptions": ("Robustness", "Figures under corruptions of the inputs"),
    "thresholds": ("Thresholds", "Thresholds for a precision or a recall"),
}
"""Title and caption of tables that are shown as they are, by file."""
_MOST_ROWS = 200


def tables(record: RunRecord) -> Markup | None:
    """The slices that are worse than the rest, in sentences, and the tables that there are."""
    folder = record.folder / run_dir.EVALUATION / record.split
    parts: list[Markup] = [*_calibration(record), *_intervals(record), *_unlike(record)]
    for name, (title, caption) in _TABLES.items():
        frame = _read(folder / f"{name}.csv")
        if frame is None or not len(frame):
            continue
        frame = _narrow(frame) if name in ("slices", "clusters") else frame
        parts.append(html.element("h3", title))
        said = [html.element("li", sentence) for sentence in _sentences(record, name)]
        if said:
            parts.append(html.element("ul", *said))
        table = _table(frame, caption)
        folded = html.details(f"{caption} ({plural(len(frame), 'row')})", table)
        parts.append(folded if len(frame) > _OPEN_ROWS and folded else table)
    return html.join(parts) if parts else None


def _sentences(record: RunRecord, name: str) -> list[str]:
    """What the evaluation says of its slices, or of the gaps between groups."""
    section = mapping(record.metrics.get(name))
    if isinstance(worse := section.get("worse"), list):
        listed = [str(mapping(row).get("sentence", "")) for row in worse]
        return listed or ["No slice is worse than the rest, beyond chance."]
    columns = map(mapping, section.values())
    return [str(line) for row in columns for line in row.get("sentences") or ()]


def _calibration(record: RunRecord) -> list[Markup]:
    """What temperature scaling would change."""
    scaling = mapping(record.metrics.get("temperature_scaling"))
    keys = ("temperature", "expected_calibration_error", "loss")
    temperature, error, loss = (finite(scaling.get(key)) for key in keys)
    before = finite(record.metrics.get("expected_calibration_error"))
    if temperature is None or error is None or before is None or loss is None:
        return []
    sentence = (
        f"With its logits divided by a temperature of {temperature:.3g} (fitted on "
        f"{scaling.get('fitted_on')}), the expected calibration error would be {error:.4f} instead "
        f"of {before:.4f}, and the log loss {loss:.4f}."
    )
    return [html.element("h3", "Temperature scaling"), html.element("p", sentence)]


def _intervals(record: RunRecord) -> list[Markup]:
    """Widths of prediction intervals, and how many examples they hold."""
    rows = [
        [html.name(row.get("number")), f"{100 * level:.0f}%",
         html.figure_number(row.get("half_width")), f"{100 * covered:.1f}%"]
        for row in map(mapping, record.metrics.get("prediction_intervals") or ())
        if (level := finite(row.get("level"))) is not None
        and (covered := finite(row.get("coverage"))) is not None
    ]  # fmt: skip
    columns = ["number", "wanted", "plus and minus", f"held on {record.split}"]
    table = html.table(columns, rows, "Prediction intervals from the residuals of validation")
    return [html.element("h3", "Prediction intervals"), table] if table else []


def _unlike(record: RunRecord) -> list[Markup]:
    """How many examples look unlike the training data."""
    facts = mapping(record.metrics.get("out_of_distribution"))
    share, expected = (finite(facts.get(key)) for key in ("share", "expected"))
    if share is None or expected is None:
        return []
    sentence = (
        f"{facts.get('above')} of {facts.get('n')} examples of {record.split} ({share:.1%}) look "
        f"unlike the training data (ood_score above 1); of data like it {expected:.0%} would."
    )
    return [html.element("h3", "Unlike the training data"), html.element("p", sentence)]


def _narrow(frame: Any) -> Any:
    """A table of slices without the bounds of all figures but the first; of clusters, without
    other figures and lists, of which their names have the gist: it would be too wide to be read."""
    bounds = [name for name in frame.columns if str(name).endswith(("_low", "_high"))]
    left_out = bounds[2:]
    if "typical" in frame.columns:
        names = [*frame.columns]
        figures = names[names.index("n") + 1 : names.index("error")]
        left_out = ["column", *figures[3:], *names[names.index("p_value") + 1 :]]
        frame = frame.rename(columns={"value": "cluster"})
    return frame.drop(columns=left_out)


def _table(frame: Any, caption: str) -> Markup:
    rows = [
        [
            html.Cell(html.figure_number(value), value)
            if isinstance(value, float) and np.isfinite(value)
            else html.NOTHING
            if isinstance(value, float)
            else html.name(value)
            for value in row
        ]
        for row in frame.head(_MOST_ROWS).astype(object).itertuples(index=False)
    ]
    texts = [k for k, column in enumerate(frame.columns) if frame[column].dtype.kind not in "fiu"]
    titles = [html.name(str(column).replace("_", " ")) for column in frame.columns]
    return html.table(titles, rows, caption, sortable=True, texts=texts) or Markup()


def draw(record: RunRecord) -> list[Chart]:
    """The curves that there are."""
    folder = record.folder / run_dir.EVALUATION / record.split
    curves = [_by_name(_read(folder / f"{name}.csv"), name, title, x, y, record.split)
             for name, title, x, y in _BY_NAME]  # fmt: skip
    curves.append(_risk(_read(folder / "risk_coverage.csv"), record.split))
    return [chart for chart in curves if chart is not None]


def _read(path: Path) -> Any:
    """A CSV as a pandas DataFrame; None where there is none."""
    try:
        with safe_io.open_regular(path, _MAX_BYTES) as stream:
            import pandas as pd

            return pd.read_csv(stream)
    except (OSError, ValueError):
        return None


def _by_name(table: Any, name: str, title: str, x: str, y: str, split: str) -> Chart | None:
    if table is None or not {x, y} <= {*table.columns} or not len(table):
        return None
    lines = {
        str(key): (rows[x].to_numpy(float), rows[y].to_numpy(float))
        for key, rows in table.groupby(table.columns[0], sort=False)
    }
    areas = {key: float(np.trapezoid(high, across)) for key, (across, high) in lines.items()}
    worst = sorted(areas, key=lambda key: areas[key])[:_NAMED]
    figure = Figure((4.9, 3.4))
    axes = figure.add_subplot()
    for key, (across, high) in lines.items():
        if key not in worst:
            axes.plot(across, high, color=charts.SOFT, linewidth=0.8, alpha=0.6)
    for colour, key in zip(charts.SERIES, worst, strict=False):
        axes.plot(*lines[key], color=colour, label=charts.label(key))
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel=x.replace("_", " "), ylabel=y.replace("_", " "))
    axes.legend(loc="lower right" if name == "roc" else "lower left")
    listed = "; ".join(f"{key} {areas[key]:.3f}" for key in worst)
    note = (
        ""
        if len(lines) <= _NAMED
        else f"Named: the {_NAMED} of {len(lines):,} with the least area."
    )
    description = f"{title} of {split}, {len(lines)} lines. Least area: {listed}."
    return Chart(f"{name}_{split}", f"{title}, {split}", description, figure, note=note)


def _risk(table: Any, split: str) -> Chart | None:
    if table is None or not {"coverage", "risk"} <= {*table.columns} or not len(table):
        return None
    figure = Figure((4.9, 3.4))
    axes = figure.add_subplot()
    axes.plot(table["coverage"], table["risk"], color=charts.SERIES[0])
    axes.set(xlim=(0, 1), xlabel="coverage: share of the surest answers", ylabel="wrong among them")
    axes.set_ylim(bottom=0)
    charts.plain_ticks(axes.yaxis)
    half = table.iloc[(table["coverage"] - 0.5).abs().argmin()]
    description = (
        f"Risk-coverage curve of {split}: {100 * table['risk'].iloc[-1]:.1f}% of all answers are "
        f"wrong, {100 * half['risk']:.1f}% of the surest half."
    )
    return Chart(f"risk_coverage_{split}", f"Risk and coverage, {split}", description, figure)
