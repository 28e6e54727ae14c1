"""Charts of an evaluation: confusion matrix, reliability, predicted and true numbers, areas."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from fmkit.evaluation.diagnostics import probabilities
from fmkit.report import charts
from fmkit.report.charts import Chart

_MOST_CLASSES = 30  # in a confusion matrix; of more, those with the most confusions are shown
_NUMBERED = 20  # so few classes have their counts in the cells
_STRONGEST = 0.5  # opacity of a full cell, on which text can still be read
_MOST_POINTS = 2000  # of a scatter plot


def confusion(counts: np.ndarray, names: Sequence[str], split: str) -> Chart:
    """A confusion matrix; the colour of a cell is its share of the row.

    Args:
        counts: (C, C), rows are true classes.
        names: of the classes, C.
        split: that it is of.
    """
    shown, note = _most_confused(counts)
    part, labels = counts[np.ix_(shown, shown)], [charts.label(names[k]) for k in shown]
    shares = part / np.maximum(counts[shown].sum(axis=1, keepdims=True), 1)
    size = len(shown)
    side = max(3.2, 1.6 + size * (0.36 if size <= _NUMBERED else 0.26))
    figure = Figure((side + 0.6, side))
    axes = figure.add_subplot()
    rows, columns = np.nonzero(part)
    squares = [
        ((c, r), (c + 1, r), (c + 1, r + 1), (c, r + 1)) for r, c in zip(rows, columns, strict=True)
    ]
    right, wrong = (_rgb(charts.SERIES[0]), _rgb(charts.SERIES[1]))
    colours = [
        (*(right if r == c else wrong), _STRONGEST * (0.15 + 0.85 * float(shares[r, c]) ** 0.7))
        for r, c in zip(rows, columns, strict=True)
    ]
    if squares:
        axes.add_collection(PolyCollection(squares, facecolors=colours, linewidths=0))
    if size <= _NUMBERED:
        font = 8 if part.max(initial=0) < 1000 else 6.5
        for r, c in zip(rows, columns, strict=True):
            axes.text(c + 0.5, r + 0.5, f"{part[r, c]:d}", ha="center", va="center", fontsize=font)
    axes.set(xlim=(0, size), ylim=(size, 0), xlabel="predicted", ylabel="true", aspect="equal")
    long = max(map(len, labels), default=0) > 3
    turned: dict[str, Any] = (
        {"rotation": 60, "ha": "right", "rotation_mode": "anchor"} if long else {}
    )
    axes.set_xticks(np.arange(size) + 0.5, labels, **turned)
    axes.set_yticks(np.arange(size) + 0.5, labels)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(True)
    note = f"{note}Colour: share of the true class; blue is right, orange wrong."
    title, described = f"Confusion matrix, {split}", _describe_confusion(counts, names, split)
    return Chart(f"confusion_{split}", title, described, figure, note=note, is_wide=True)


def _rgb(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
    return red, green, blue


def _most_confused(counts: np.ndarray) -> tuple[np.ndarray, str]:
    """Positions of the classes to show, ascending, and a sentence if that is not all."""
    size = len(counts)
    if size <= _MOST_CLASSES:
        return np.arange(size), ""
    wrong = counts - np.diag(np.diag(counts))
    errors = wrong.sum(axis=1) + wrong.sum(axis=0)
    shown = np.sort(np.argsort(-errors, kind="stable")[:_MOST_CLASSES])
    return shown, f"The {_MOST_CLASSES} of {size:,} classes with the most confusions. "


def top_confusions(
    counts: np.ndarray, names: Sequence[str], most: int = 15
) -> list[tuple[str, str, int, float]]:
    """True class, predicted class, count and share of the true class, the most frequent first."""
    columns = probabilities.confused_pairs(counts, names, most)
    return [
        (true, other, int(count), float(share))
        for true, other, count, share in zip(*columns.values(), strict=True)
    ]


def _describe_confusion(counts: np.ndarray, names: Sequence[str], split: str) -> str:
    total, right = int(counts.sum()), int(np.trace(counts))
    pairs = [f"{true} taken for {other} {count} times"
             for true, other, count, _ in top_confusions(counts, names, 3)]  # fmt: skip
    worst = f" Most frequent: {'; '.join(pairs)}." if pairs else ""
    return f"Confusion matrix of {split}: {right} of {total} examples are right.{worst}"


def reliability(bins: Sequence[Mapping[str, Any]], split: str) -> Chart | None:
    """Accuracy by confidence, with how many examples there are; None where no bin has any."""
    filled = [row for row in bins if row.get("count") and row.get("accuracy") is not None]
    if not filled:
        return None
    figure = Figure((4.9, 3.4))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    widths = [row["upper"] - row["lower"] for row in filled]
    middles = [(row["upper"] + row["lower"]) / 2 for row in filled]
    first, second = charts.SERIES[:2]
    upper.plot([0, 1], [0, 1], color=charts.SOFT, linestyle="--", linewidth=1.2, label="calibrated")
    upper.bar(middles, [row["accuracy"] for row in filled], widths, color=first, alpha=0.35,
              label="accuracy")  # fmt: skip
    upper.plot([row["confidence"] for row in filled], [row["accuracy"] for row in filled], "o-",
               color=second, markersize=4, label="at mean confidence")  # fmt: skip
    upper.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy")
    upper.legend(loc="upper left")
    lower.bar(middles, [row["count"] for row in filled], widths, color=first, alpha=0.6)
    lower.set(xlabel="confidence", ylabel="examples")
    parts = [
        f"at confidence {row['confidence']:.2f} accuracy {row['accuracy']:.2f} "
        f"({row['count']} examples)"
        for row in filled
    ]
    description = f"Reliability diagram of {split}: {'; '.join(parts)}."
    return Chart(f"reliability_{split}", f"Reliability, {split}", description, figure)


def numbers(true: np.ndarray, predicted: np.ndarray, name: str, split: str) -> list[Chart]:
    """Predicted against true values, and the distribution of the errors.

    Args:
        true: (N,).
        predicted: (N,).
        name: of the number.
        split: that they are of.
    """
    shown = np.linspace(0, len(true) - 1, min(len(true), _MOST_POINTS)).astype(np.int64)
    figure = Figure(charts.SIZE)
    axes = figure.add_subplot()
    low, high = (float(f([f(true), f(predicted)])) for f in (np.min, np.max))
    axes.plot([low, high], [low, high], color=charts.SOFT, linestyle="--", linewidth=1.2)
    axes.plot(true[shown], predicted[shown], "o", color=charts.SERIES[0], markersize=3, alpha=0.5)
    axes.set(xlabel="true", ylabel="predicted")
    errors, what = predicted - true, charts.label(name)
    mean, spread = float(errors.mean()), float(errors.std())
    residuals = Figure(charts.SIZE)
    histogram = residuals.add_subplot()
    histogram.hist(
        errors, bins=min(40, max(8, len(errors) // 10)), color=charts.SERIES[0], alpha=0.6
    )
    histogram.axvline(0, color=charts.SOFT, linestyle="--", linewidth=1.2)
    histogram.set(xlabel="predicted - true", ylabel="examples")
    for axis in (axes.xaxis, axes.yaxis, histogram.xaxis):
        charts.plain_ticks(axis)
    return [
        Chart(f"predicted_{split}_{name}", f"Predicted and true {what}, {split}",
              f"Predicted against true {what} of {len(true)} examples; both lie between "
              f"{low:.5g} and {high:.5g}.", figure),
        Chart(f"residuals_{split}_{name}", f"Errors of {what}, {split}",
              f"Histogram of predicted minus true {what}: mean {mean:.5g}, standard deviation "
              f"{spread:.5g}.", residuals),
    ]  # fmt: skip


def histogram(values: np.ndarray, name: str, title: str, unit: str) -> Chart:
    """The distribution of a number over examples, with a line at 0."""
    figure = Figure(charts.SIZE)
    axes = figure.add_subplot()
    axes.hist(values, bins=min(40, max(8, len(values) // 10)), color=charts.SERIES[0], alpha=0.6)
    axes.axvline(0, color=charts.SOFT, linestyle="--", linewidth=1.2)
    axes.set(xlabel=unit, ylabel="examples")
    charts.plain_ticks(axes.xaxis)
    share = float((values > 0).mean())
    description = f"Histogram of {unit}: mean {values.mean():.4g}, {100 * share:.1f}% above 0."
    return Chart(name, title, description, figure)
