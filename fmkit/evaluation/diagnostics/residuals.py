"""Residuals of predicted numbers, and prediction intervals from those of validation.

N examples, K numbers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fmkit.evaluation.diagnostics.results import VALIDATION, Diagnostics, Predictions
from fmkit.evaluation.prediction_tables import number_arrays

LEVELS = (0.8, 0.9, 0.95)
"""Shares of new examples that prediction intervals are to hold."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_BINS, _TENTHS = 30, 10


def of_numbers(predictions: Predictions) -> Diagnostics:
    """Statistics of the residuals (predicted minus true), their distribution, and intervals.

    `residual_quantiles` and `residual_deviation` are in the units of the number, and
    `residual_correlation` is that of the size of a residual with the prediction: above 0 where
    large predictions are less exact.
    """
    labels, predicted, names = number_arrays(predictions.columns)
    names = list(predictions.names) or names  # the columns of one number alone do not say it
    residuals = predicted - labels
    result = Diagnostics()
    histograms: list[dict[str, Any]] = []
    tenths: list[dict[str, Any]] = []
    for k, name in enumerate(names):
        own = residuals[:, k]
        quantiles = np.quantile(own, QUANTILES).tolist()
        result.per_name[name] = {
            "residual_deviation": float(own.std()),
            "residual_quantiles": dict(zip(map(str, QUANTILES), quantiles, strict=True)),
            "residual_correlation": _correlation(predicted[:, k], np.abs(own)),
        }
        counts, edges = np.histogram(own, _BINS)
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
            histograms.append({"number": name, "lower": low, "upper": high, "count": int(count)})
        tenths += _by_prediction(name, predicted[:, k], own)
    result.tables["residuals"] = _table(histograms)
    result.tables["residuals_by_prediction"] = _table(tenths)
    if predictions.validation is not None:
        only = {name: predictions.validation[name] for name in predictions.columns}
        own_labels, own_predicted, _ = number_arrays(only)
        of_validation = np.abs(own_predicted - own_labels)
        result.metrics["prediction_intervals"] = intervals(of_validation, residuals, names)
    return result


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's; NaN where one of both is constant."""
    if not (np.ptp(first) and np.ptp(second)):
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def _by_prediction(name: str, predicted: np.ndarray, residuals: np.ndarray) -> list[dict[str, Any]]:
    """Residuals of tenths of the examples, from the smallest predictions to the largest."""
    order = np.argsort(predicted, kind="stable")
    return [
        {
            "number": name,
            "n": len(rows),
            "mean_prediction": float(predicted[rows].mean()),
            "mean_residual": float(residuals[rows].mean()),
            "deviation": float(residuals[rows].std()),
        }
        for rows in np.array_split(order, _TENTHS)
        if len(rows)
    ]


def _table(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {key: [row[key] for row in rows] for key in rows[0]}


def intervals(
    validation: np.ndarray, residuals: np.ndarray, names: Sequence[str]
) -> list[dict[str, Any]]:
    """Half widths of prediction intervals, and the share of examples that they hold.

    Split conformal prediction (Lei et al. 2018, arXiv:1604.04173): with exchangeable examples an
    interval of the prediction plus and minus the width holds a new one with at least the level.

    Args:
        validation: sizes of the residuals of validation, (M, K).
        residuals: of the split that coverage is measured on, (N, K).
        names: of the numbers.
    """
    rows = []
    for k, name in enumerate(names):
        sizes = np.sort(validation[:, k])
        for level in LEVELS:
            width = half_width(sizes, level)
            covered = float((np.abs(residuals[:, k]) <= width).mean())
            rows.append(
                {
                    "number": name,
                    "level": level,
                    "half_width": width,
                    "coverage": covered,
                    "fitted_on": VALIDATION,
                    "n": len(sizes),
                }
            )
    return rows


def half_width(sizes: np.ndarray, level: float) -> float:
    """The width that new residuals are below with at least a level; infinite with too few.

    Args:
        sizes: of residuals that the model has not learned from, ascending, (N,).
        level: above 0 and below 1.
    """
    rank = int(np.ceil((len(sizes) + 1) * level - 1e-9))
    return float(sizes[rank - 1]) if rank <= len(sizes) else float("inf")
