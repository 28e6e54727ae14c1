"""Of probabilities of classes and labels: curves, areas, thresholds, calibration, confusions.

N examples, C classes or labels.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fmkit.core.bootstrap import mean_of_defined, ratio
from fmkit.evaluation import calibration
from fmkit.evaluation.classification import SMALLEST
from fmkit.evaluation.diagnostics.curves import RiskCoverage, ThresholdCounts
from fmkit.evaluation.diagnostics.results import VALIDATION, Diagnostics, Predictions
from fmkit.evaluation.prediction_tables import Columns, class_arrays, label_arrays

CURVES = 50
"""Classes with a curve in the files, those with the lowest average precision."""
CONFUSIONS = 1000
"""Rows of confusions.csv."""


def of_classes(predictions: Predictions) -> Diagnostics:
    """Diagnostics of one class per example."""
    labels, probabilities, names = class_arrays(predictions.columns)
    chosen = None
    if predictions.validation is not None:
        chosen_labels, scores, _ = class_arrays(predictions.validation)
        if predictions.temperature != 1:
            scores = calibration.scale_classes(scores, predictions.temperature)
        chosen = chosen_labels[:, None] == np.arange(len(names)), scores
    is_positive = labels[:, None] == np.arange(len(names))
    result = _one_against_rest(is_positive, probabilities, names, chosen, predictions, "class")
    best = probabilities.argmax(axis=1)
    confidence, is_right = probabilities.max(axis=1), best == labels
    risk = RiskCoverage.of(is_right, confidence)
    result.metrics["risk_coverage_area"] = risk.area
    result.tables["risk_coverage"] = risk.columns()
    result.tables["confusions"] = confusions(labels, best, names)
    bins = {"model": calibration.error_and_bins(confidence, is_right)[1]}
    source = _source(chosen, (is_positive, probabilities), predictions)
    if source is not None:
        temperature = calibration.fit_classes(source[0].argmax(axis=1), source[1])
        scaled = calibration.scale_classes(probabilities, temperature)
        error, bins["calibrated"] = calibration.error_and_bins(scaled.max(axis=1), is_right)
        of_label = scaled[np.arange(len(labels)), labels]
        result.metrics["temperature_scaling"] = {
            "temperature": temperature * predictions.temperature,
            "fitted_on": VALIDATION,
            "n": len(source[0]),
            "loss": _log_loss(of_label),
            "brier": float(((scaled**2).sum(axis=1) - 2 * of_label + 1).mean()),
            "expected_calibration_error": error,
        }
    result.tables["reliability"] = _bins_table(bins, "probabilities")
    return result


def of_labels(predictions: Predictions) -> Diagnostics:
    """Diagnostics of a yes or no for each label."""
    labels, probabilities, names = label_arrays(predictions.columns)
    chosen = None
    if predictions.validation is not None:
        # The split may lack labels that the run has learned.
        only = {name: predictions.validation[name] for name in predictions.columns}
        chosen_labels, scores, _ = label_arrays(only)
        if predictions.temperature != 1:
            scores = calibration.scale_labels(scores, predictions.temperature)
        chosen = chosen_labels, scores
    result = _one_against_rest(labels, probabilities, names, chosen, predictions, "label")
    bins = {}
    for k, name in enumerate(names):
        error, bins[name] = calibration.error_and_bins(probabilities[:, k], labels[:, k])
        result.per_name[name]["expected_calibration_error"] = error
    errors = [row["expected_calibration_error"] for row in result.per_name.values()]
    result.metrics["expected_calibration_error"] = float(np.mean(errors))
    result.tables["reliability"] = _bins_table(bins, "label")
    source = _source(chosen, (labels, probabilities), predictions)
    if source is not None:
        temperature = calibration.fit_labels(*source)
        scaled = calibration.scale_labels(probabilities, temperature)
        errors = [
            calibration.error_and_bins(scaled[:, k], labels[:, k])[0] for k in range(len(names))
        ]
        result.metrics["temperature_scaling"] = {
            "temperature": temperature * predictions.temperature,
            "fitted_on": VALIDATION,
            "n": len(source[0]),
            "loss": _log_loss(np.where(labels, scaled, 1 - scaled)),
            "expected_calibration_error": float(np.mean(errors)),
        }
    return result


def _source(
    chosen: tuple[np.ndarray, np.ndarray] | None,
    own: tuple[np.ndarray, np.ndarray],
    predictions: Predictions,
) -> tuple[np.ndarray, np.ndarray] | None:
    """The arrays that a temperature is fitted on: only those of validation."""
    return own if chosen is None and predictions.split == VALIDATION else chosen


def _log_loss(of_label: np.ndarray) -> float:
    return float(-np.log(np.clip(of_label, SMALLEST, 1.0)).mean())


def _one_against_rest(
    is_positive: np.ndarray,
    scores: np.ndarray,
    names: Sequence[str],
    chosen: tuple[np.ndarray, np.ndarray] | None,
    predictions: Predictions,
    noun: str,
) -> Diagnostics:
    """Curves, areas and thresholds of each class or label against all others.

    Args:
        is_positive: (N, C) bool.
        scores: (N, C).
        names: C of them.
        chosen: the same two arrays of the examples that thresholds are chosen on.
        predictions: with the goals.
        noun: title of the column of names.
    """
    counts = [ThresholdCounts.of(is_positive[:, k], scores[:, k]) for k in range(len(names))]
    areas = {
        "roc_auc": np.array([count.roc_auc for count in counts]),
        "average_precision": np.array([count.average_precision for count in counts]),
    }
    support = is_positive.sum(axis=0)
    result = Diagnostics()
    for metric, values in areas.items():
        weights = np.where(np.isfinite(values), support, 0)
        result.metrics[f"macro_{metric}"] = float(mean_of_defined(values))
        weighted = ratio((np.nan_to_num(values) * weights).sum(), weights.sum())
        result.metrics[f"weighted_{metric}"] = float(weighted)
    for k, name in enumerate(names):
        result.per_name[name] = {metric: float(values[k]) for metric, values in areas.items()}
    both = np.flatnonzero(np.isfinite(areas["roc_auc"]))  # with positive and other examples
    worst = both[np.argsort(areas["average_precision"][both], kind="stable")[:CURVES]]
    shown = sorted(worst.tolist())
    for table in ("roc", "precision_recall"):
        curves = {names[k]: getattr(counts[k], table)() for k in shown}
        result.tables[table] = _long_table(curves, noun)
    result.tables["thresholds"] = _thresholds(counts, names, chosen, predictions, noun)
    return result


def _thresholds(
    counts: Sequence[ThresholdCounts],
    names: Sequence[str],
    chosen: tuple[np.ndarray, np.ndarray] | None,
    predictions: Predictions,
    noun: str,
) -> Columns:
    """A row for each class and goal: the threshold, and what it comes to on the split."""
    rows: dict[str, list[Any]] = {
        column: []
        for column in (
            noun, "goal", "value", "threshold", "chosen_on", "precision", "recall", "selected",
        )
    }  # fmt: skip
    chosen_on = VALIDATION if chosen is not None else predictions.split
    for k, (name, count) in enumerate(zip(names, counts, strict=True)):
        source = count if chosen is None else ThresholdCounts.of(chosen[0][:, k], chosen[1][:, k])
        for goal, value in predictions.all_goals():
            find = getattr(source, f"threshold_for_{goal}")
            threshold = find(value) if source.positives else float("nan")
            selected = int((count.thresholds >= threshold).sum())  # of the thresholds, descending
            row = (name, goal, value, threshold, chosen_on, *_at(count, selected, threshold))
            for column, cell in zip(rows, row, strict=True):
                rows[column].append(cell)
    return rows


def _at(counts: ThresholdCounts, rank: int, threshold: float) -> tuple[float, float, float]:
    """Precision, recall and share of the examples selected by the first `rank` thresholds."""
    if np.isnan(threshold):
        return float("nan"), float("nan"), float("nan")
    if not rank:
        return float("nan"), 0.0 if counts.positives else float("nan"), 0.0
    selected = counts.true_positives[rank - 1] + counts.false_positives[rank - 1]
    total = counts.positives + counts.negatives
    return (
        float(counts.precision[rank - 1]),
        float(counts.recall[rank - 1]),
        float(selected / total),
    )


def confusions(labels: np.ndarray, predicted: np.ndarray, names: Sequence[str]) -> Columns:
    """The pairs of label and another prediction that occur, the most frequent first."""
    count = len(names)
    pairs = np.bincount(labels * count + predicted, minlength=count**2)
    return confused_pairs(pairs.reshape(count, count), names)


def confused_pairs(counts: np.ndarray, names: Sequence[str], most: int = CONFUSIONS) -> Columns:
    """The pairs of classes with the largest counts, off the diagonal of a confusion matrix.

    Args:
        counts: (C, C): of examples by class and prediction.
        names: of the classes.
        most: so many pairs at most.
    """
    pairs = counts.reshape(-1).copy()
    pairs[:: len(names) + 1] = 0  # right ones
    order = np.argsort(-pairs, kind="stable")[:most]
    order = order[pairs[order] > 0]
    rows, columns = np.divmod(order, len(names))
    return {
        "label": [names[k] for k in rows],
        "prediction": [names[k] for k in columns],
        "count": pairs[order],
        "share_of_label": pairs[order] / counts.sum(axis=1)[rows],
    }


def _bins_table(bins: Mapping[str, list[dict[str, Any]]], noun: str) -> Columns:
    """Bins of reliability diagrams, one after the other."""
    rows = [{noun: name, **row} for name, several in bins.items() for row in several]
    return {key: [row[key] for row in rows] for key in rows[0]}


def _long_table(curves: Mapping[str, Columns], noun: str) -> Columns:
    """Curves one after the other, each under its name."""
    if not curves:
        return {noun: []}
    lengths = [len(next(iter(curve.values()))) for curve in curves.values()]
    names = [name for name, length in zip(curves, lengths, strict=True) for _ in range(length)]
    keys = next(iter(curves.values()))
    return {
        noun: names,
        **{key: np.concatenate([curve[key] for curve in curves.values()]) for key in keys},
    }
