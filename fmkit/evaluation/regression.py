"""Evaluation of predicted numbers: MAE, RMSE, R2, correlations.

N examples, K numbers, R bootstrap resamples.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from fmkit.core import files
from fmkit.core.bootstrap import COUNT, ExampleSums, Sums, mean_of_defined, ratio
from fmkit.core.errors import DataError
from fmkit.core.types import DataSpec
from fmkit.data.targets import Numbers
from fmkit.evaluation.evaluator import EvaluationInputs, EvaluationResult, check_predictions

INTERVALS = ("mae", "rmse", "r2", "pearson")
_OF_SUMS = ("mse", "mae", "rmse", "r2", "pearson")


def evaluate(inputs: EvaluationInputs) -> EvaluationResult:
    """Metrics, and the numbers of each example beside the predicted ones."""
    annotations = inputs.examples.annotations
    if not isinstance(annotations, Numbers):
        raise DataError("the run learned numbers, and the data has none.")
    outputs = np.asarray(inputs.predict(), np.float64)
    labels, names = annotations.values[inputs.indices], annotations.names
    present = np.arange(outputs.shape[1]) if inputs.outputs is None else inputs.outputs
    predicted = outputs[:, present]
    metrics = compute_metrics(labels, predicted, names, inputs.bootstrap, inputs.seed)
    # A mean over all numbers, where those without targets count as hit.
    targets = outputs.astype(np.float32)
    targets[:, present] = labels
    loss = float(inputs.task.loss(targets, outputs, None, False))
    loss *= outputs.shape[1] / len(present)
    return {"n": metrics.pop("n"), "loss": loss, **metrics}, {
        "id": inputs.ids,
        **_columns("label", labels, names),
        **_columns("prediction", predicted, names),
    }


def compute_metrics(
    labels: np.ndarray,
    predicted: np.ndarray,
    names: Sequence[str],
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """All metrics of predicted numbers on one split, ready for JSON.

    `mse`, `mae`, `rmse` (the root of a number's `mse`) and `median_absolute_error` are in the units
    of the numbers; `r2` is the share of the variance that is explained, below 0 where the mean
    would be closer; `pearson` and `spearman` are correlations. With several numbers they are the
    means over them, and `per_number` has each. What is undefined, as `r2` where all are equal, is
    None, and left out of those means.

    Args:
        labels: (N, K).
        predicted: (N, K).
        names: K of them.
        bootstrap: resamples R; 0 makes every interval None.
        seed: of the resamples.

    Raises:
        DataError: there are no examples, or arrays that do not fit together.
        NonFiniteError: a prediction is NaN or infinite.
    """
    labels, predicted = np.asarray(labels, np.float64), np.asarray(predicted, np.float64)
    check_predictions(predicted, labels, names, "predictions")
    # Without the mean, since the differences of large sums of squares would cancel.
    centre = labels.mean(axis=0)
    sums = example_sums(labels - centre, predicted - centre)
    per_number = _per_number(labels, predicted, names, _per_number_of_sums(sums.totals()))
    means = {
        name: mean_of_defined(np.array([row[name] for row in per_number.values()]))
        for name in (*_OF_SUMS, "median_absolute_error", "spearman")
    }
    return files.nonfinite_to_none(
        {
            "n": len(labels),
            **means,
            "per_number": per_number,
            "intervals": sums.intervals(metrics_of_sums, INTERVALS, bootstrap, seed),
        }
    )


def _per_number(
    labels: np.ndarray, predicted: np.ndarray, names: Sequence[str], of_sums: dict[str, np.ndarray]
) -> dict[str, dict[str, float]]:
    """The metrics of each number; `of_sums` has those that follow from sums, (1, K)."""
    errors = predicted - labels
    return {
        name: {
            **{metric: float(values[0, k]) for metric, values in of_sums.items()},
            "median_absolute_error": float(np.median(np.abs(errors[:, k]))),
            # NaN where one of both is constant, of which SciPy would warn.
            "spearman": float(spearmanr(labels[:, k], predicted[:, k]).statistic)
            if (np.ptp(labels[:, k]) and np.ptp(predicted[:, k]))
            else float("nan"),
            "mean": float(labels[:, k].mean()),
            "deviation": float(labels[:, k].std()),
            "mean_error": float(errors[:, k].mean()),
        }
        for k, name in enumerate(names)
    }


def example_sums(labels: np.ndarray, predicted: np.ndarray) -> ExampleSums:
    """Squared and absolute errors, and the moments that correlations need, side by side, (N, 7 K).

    Labels and predictions must be near 0, or the sums of squares would cancel.
    """
    error = predicted - labels
    products = (labels**2, predicted, predicted**2, labels * predicted)
    columns = np.concatenate([error**2, np.abs(error), labels, *products], axis=1)
    return ExampleSums({"moments": columns})


def _per_number_of_sums(sums: Sums) -> dict[str, np.ndarray]:
    """Metrics of each number, (R, K)."""
    squared, absolute, label, label2, prediction, prediction2, product = np.split(
        sums["moments"] / sums[COUNT], 7, axis=1
    )
    label_variance, prediction_variance = label2 - label**2, prediction2 - prediction**2
    # A constant has a variance of 0 but for rounding.
    label_variance = np.where(label_variance <= 1e-12 * label2, 0.0, label_variance)
    prediction_variance = np.where(
        prediction_variance <= 1e-12 * prediction2, 0.0, prediction_variance
    )
    deviations = np.sqrt(label_variance * prediction_variance)
    return {
        "mse": squared,
        "mae": absolute,
        "rmse": np.sqrt(squared),
        "r2": 1 - ratio(squared, label_variance),
        "pearson": ratio(product - label * prediction, deviations),
    }


def metrics_of_sums(sums: Sums) -> dict[str, np.ndarray]:
    """Means over the numbers, (R,)."""
    return {name: mean_of_defined(values) for name, values in _per_number_of_sums(sums).items()}


def _columns(word: str, values: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """A column for each number; with several, its name ends in the number's."""
    if len(names) == 1:
        return {word: values[:, 0]}
    return {f"{word}_{name}": values[:, k] for k, name in enumerate(names)}


def predictions(outputs: np.ndarray, spec: DataSpec) -> dict[str, Any]:
    """Columns for `fmkit predict`, of numbers (N, K)."""
    return dict(_columns("prediction", np.asarray(outputs, np.float64), spec.names))
