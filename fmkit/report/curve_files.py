"""Charts of the curves that an evaluation may leave beside its figures, `eval/<split>/*.csv`."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from fmkit.core import safe_io
from fmkit.report import charts
from fmkit.report.charts import Chart
from fmkit.report.record import RunRecord
from fmkit.store import run_dir

_MAX_BYTES = 64 * 2**20
_NAMED = 4  # so many classes have a colour and a name, those whose curves enclose the least

_BY_NAME = (
    ("roc", "ROC curves", "false_positive_rate", "true_positive_rate"),
    ("precision_recall", "Precision and recall", "recall", "precision"),
)
"""File, title, and columns of the axes of curves with one line for each class or label."""


def draw(record: RunRecord) -> list[Chart]:
    """The curves that there are."""
    folder = record.folder / run_dir.EVALUATION / record.split
    found = [_by_name(_read(folder / f"{name}.csv"), name, title, x, y, record.split)
             for name, title, x, y in _BY_NAME]  # fmt: skip
    found.append(_risk(_read(folder / "risk_coverage.csv"), record.split))
    return [chart for chart in found if chart is not None]


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
