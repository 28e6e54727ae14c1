"""Evaluation of one class per example: accuracy, F1, log loss, calibration, predictions.

N examples, C classes, R bootstrap resamples.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import softmax

from fmkit.core import files
from fmkit.core.bootstrap import COUNT, ExampleSums, Sums, mean_of_defined, ratio
from fmkit.core.errors import DataError, combine_messages, received
from fmkit.core.types import DataSpec
from fmkit.evaluation import calibration
from fmkit.evaluation.evaluator import (
    EvaluationInputs,
    EvaluationResult,
    require_examples,
    require_finite,
)

SMALLEST = 1e-7
"""Probability that the log loss is clipped at, as Keras does: one example costs at most 16.1."""

INTERVALS = (
    "loss", "accuracy", "top5", "macro_f1", "balanced_accuracy", "expected_calibration_error",
)  # fmt: skip


def evaluate(inputs: EvaluationInputs) -> EvaluationResult:
    """Metrics, and the label and the probability of each class for each example."""
    outputs = to_probabilities(inputs.predict())
    labels, classes = inputs.labels[inputs.indices], inputs.classes
    metrics = compute_metrics(labels, outputs, classes, inputs.bootstrap, inputs.seed)
    names = [classes[label] for label in labels]
    return metrics, {"id": inputs.ids, "label": names, **prediction_columns(outputs, classes)}


def to_probabilities(logits: np.ndarray) -> np.ndarray:
    """Class probabilities (N, C), float64, of logits (N, C)."""
    return np.asarray(softmax(np.asarray(logits, np.float64), axis=1))


def predictions(outputs: np.ndarray, spec: DataSpec) -> dict[str, Any]:
    """Columns for `fmkit predict`, of logits (N, C)."""
    return prediction_columns(to_probabilities(outputs), spec.classes)


def prediction_columns(probabilities: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """The likeliest class, its probability, and that of each class, from (N, C)."""
    best = probabilities.argmax(axis=1)
    return {
        "prediction": [classes[index] for index in best],
        "confidence": probabilities[np.arange(len(probabilities)), best],
        **{f"probability_{name}": probabilities[:, k] for k, name in enumerate(classes)},
    }


def compute_metrics(
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """All metrics of a classifier on one split, ready for JSON.

    `top5` is None with fewer than 6 classes, where it says next to nothing. Per class, the
    precision of one that was never predicted, the recall of one without examples, and F1 where both
    are so, are 0 (scikit-learn's zero_division=0); `support` tells them from real zeros.
    `macro_f1` is the mean over classes that occur in labels or predictions, `balanced_accuracy` the
    mean recall over classes that occur in labels, as in scikit-learn. For
    `expected_calibration_error` and `reliability` see `calibration`. `brier` is the mean over
    examples of the squared distance to the one-hot label, summed over classes (0 to 2). `intervals`
    holds 95% bootstrap intervals; 1000 resamples of 100,000 examples take 4 s on one core.

    Args:
        labels: (N,), class indices.
        probabilities: (N, C), rows that sum to 1.
        classes: C different names.
        bootstrap: resamples R; 0 makes every interval None.
        seed: of the resamples.

    Raises:
        DataError: there are no examples, or arrays that do not fit together.
        NonFiniteError: a probability is NaN or infinite.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    _check(labels, probabilities, classes)
    labels = labels.astype(np.int64)
    predicted = probabilities.argmax(axis=1)  # (N,)
    confusion = np.bincount(labels * len(classes) + predicted, minlength=len(classes) ** 2)
    squares = np.einsum("nc,nc->n", probabilities, probabilities, dtype=np.float64)
    of_label = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0].astype(np.float64)
    sums = example_sums(labels, predicted, probabilities)
    totals = sums.totals()
    return files.nonfinite_to_none(
        {
            "n": len(labels),
            **{name: value[0] for name, value in metrics_of_sums(totals).items()},
            "brier": float(np.mean(squares - 2 * of_label + 1)),
            "per_class": per_name(classes, totals),
            "confusion": confusion.reshape(len(classes), len(classes)).tolist(),
            "confusion_classes": list(classes),
            "reliability": calibration.reliability(totals),
            "intervals": sums.intervals(metrics_of_sums, INTERVALS, bootstrap, seed),
        }
    )


def _check(labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]) -> None:
    problems = []
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        value = f"{labels.dtype} {labels.shape}"
        problems.append(received("labels", value, "whole numbers of shape (examples,)"))
    if probabilities.shape != (len(labels) if labels.ndim else 0, len(classes)):
        expected = f"shape {(*labels.shape, len(classes))}: examples, classes"
        problems.append(received("probabilities", probabilities.shape, expected))
    if len(set(classes)) != len(classes) or len(classes) < 2:
        problems.append(received("classes", list(classes), "two or more different names"))
    if problems:
        raise DataError(combine_messages(problems))
    require_examples(len(labels))
    if not (labels.min() >= 0 and labels.max() < len(classes)):
        value = f"{labels.min()} to {labels.max()}"
        raise DataError(received("labels", value, f"0 to {len(classes) - 1}"))
    require_finite(probabilities, "probabilities")
    totals = probabilities.sum(axis=1, dtype=np.float64)
    # Half-precision models round each probability, so rows are off by up to some per cent.
    if probabilities.min() < 0 or np.abs(totals - 1).max() > 0.02:
        worst = totals[np.abs(totals - 1).argmax()]
        value = f"{probabilities.min():g} as the smallest, {worst:g} as the worst sum of a row"
        raise DataError(received("probabilities", value, "numbers from 0 on that sum to 1 by row"))


def per_name(names: Sequence[str], sums: Sums, prefix: str = "") -> dict[str, dict[str, Any]]:
    """Precision, recall, F1, support and the count of predictions by name; 0 / 0 is 0.

    Args:
        names: K classes, labels, tags or types.
        sums: (1, K) each: `hits` are right predictions, `support` and `predicted` are occurrences
            in labels and predictions.
        prefix: of these names among the sums.
    """
    hits, support, predicted = (
        sums[f"{prefix}{name}"][0] for name in ("hits", "support", "predicted")
    )
    columns = {
        "precision": ratio(hits, predicted, 0.0),
        "recall": ratio(hits, support, 0.0),
        "f1": ratio(2 * hits, support + predicted, 0.0),
        "support": support.astype(np.int64).tolist(),
        "predicted": predicted.astype(np.int64).tolist(),
    }
    return {
        name: dict(zip(columns, row, strict=True))
        for name, *row in zip(names, *columns.values(), strict=True)
    }


def example_sums(
    labels: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray
) -> ExampleSums:
    """What each example adds to `metrics_of_sums`, of labels and predictions (N,)."""
    count, classes = probabilities.shape
    rows = np.arange(count)
    true = probabilities[rows, labels].astype(np.float64)
    confidence = probabilities[rows, predicted].astype(np.float64)
    is_right = (labels == predicted).astype(np.float64)

    def one_hot(index: np.ndarray, values: np.ndarray) -> Any:
        return sparse.csr_array((values, (rows, index)), shape=(count, classes))

    parts = {
        "loss": sparse.csr_array(-np.log(np.clip(true, SMALLEST, 1.0))[:, None]),
        "hits": one_hot(labels, is_right),
        "support": one_hot(labels, np.ones(count)),
        "predicted": one_hot(predicted, np.ones(count)),
        **calibration.parts(confidence, is_right),
    }
    if classes > 5:
        of_label = np.take_along_axis(probabilities, labels[:, None], axis=1)
        # Of equally likely classes the first counts as likelier.
        is_before = np.arange(classes) < labels[:, None]
        is_likelier = (probabilities > of_label) | ((probabilities == of_label) & is_before)
        in_top5 = (is_likelier.sum(axis=1) < 5).astype(np.float64)
        parts["top5"] = sparse.csr_array(in_top5[:, None])
    return ExampleSums(parts)


def metrics_of_sums(sums: Sums) -> dict[str, np.ndarray]:
    """Metrics of all examples together, (R,)."""
    count = sums[COUNT][:, 0]
    top5 = sums["top5"][:, 0] / count if "top5" in sums else np.full(len(count), np.nan)
    f1 = ratio(2 * sums["hits"], sums["support"] + sums["predicted"])
    return {
        "loss": sums["loss"][:, 0] / count,
        "accuracy": sums["hits"].sum(axis=1) / count,
        "top5": top5,
        "macro_f1": mean_of_defined(f1),
        "balanced_accuracy": mean_of_defined(ratio(sums["hits"], sums["support"])),
        "expected_calibration_error": calibration.expected_calibration_error(sums),
    }
