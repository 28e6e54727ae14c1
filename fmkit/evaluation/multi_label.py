"""Evaluation of sets of labels, a yes or no for each: F1, log loss, average precision, ROC AUC.

N examples, K labels, R bootstrap resamples.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import expit

from fmkit.core import files
from fmkit.core.bootstrap import COUNT, ExampleSums, Sums, ratio
from fmkit.core.errors import DataError
from fmkit.core.types import DataSpec
from fmkit.data.targets import LabelSets, join_labels
from fmkit.evaluation.classification import SMALLEST, per_name
from fmkit.evaluation.evaluator import EvaluationInputs, EvaluationResult, check_predictions

INTERVALS = ("loss", "micro_f1", "macro_f1", "subset_accuracy", "hamming_loss")


def evaluate(inputs: EvaluationInputs) -> EvaluationResult:
    """Metrics, and for each example its labels, the predicted ones, and each probability."""
    annotations = inputs.examples.annotations
    if not isinstance(annotations, LabelSets):
        raise DataError("the run learned sets of labels, and the data has none.")
    probabilities = to_probabilities(inputs.predict())
    if inputs.outputs is not None:
        probabilities = probabilities[:, inputs.outputs]
    labels, names = annotations.indicators[inputs.indices], annotations.names
    metrics = compute_metrics(labels, probabilities, names, inputs.bootstrap, inputs.seed)
    return metrics, {
        "id": inputs.ids,
        "label": join_labels(names, labels),
        **{f"label_{name}": labels[:, k] for k, name in enumerate(names)},
        **prediction_columns(probabilities, names),
    }


def compute_metrics(
    labels: np.ndarray,
    probabilities: np.ndarray,
    names: Sequence[str],
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """All metrics of predicted sets of labels on one split, ready for JSON.

    A label is predicted where its probability is above 0.5. `micro_f1` is that of all yes and no
    together, `macro_f1` the mean over labels, 0 for one that neither occurs nor is predicted
    (scikit-learn's zero_division=0); `subset_accuracy` is the share of examples with every label
    right, `hamming_loss` that of wrong yes and no, `loss` the binary cross-entropy in nats, the
    mean over labels. `mean_average_precision` is the mean of the average precision over labels that
    occur, `macro_roc_auc` that of the area under the ROC curve over labels that some examples have
    and others do not; both are None where there is no such label, and so are a label's own.

    Args:
        labels: whether an example has a label, (N, K) bool.
        probabilities: (N, K).
        names: K of them.
        bootstrap: resamples R; 0 makes every interval None.
        seed: of the resamples.

    Raises:
        DataError: there are no examples, or arrays that do not fit together.
        NonFiniteError: a probability is NaN.
    """
    check_predictions(probabilities, labels, names, "probabilities")
    predicted, exact = probabilities > 0.5, probabilities.astype(np.float64)
    sums = example_sums(labels, predicted, exact)
    totals = sums.totals()
    per_label = _per_label(labels, predicted, exact, names, totals)
    return files.nonfinite_to_none(
        {
            "n": len(labels),
            **{name: float(value[0]) for name, value in metrics_of_sums(totals).items()},
            "mean_average_precision": _mean(per_label, "average_precision"),
            "macro_roc_auc": _mean(per_label, "roc_auc"),
            "labels_per_example": float(labels.sum(axis=1).mean()),
            "per_label": per_label,
            "intervals": sums.intervals(metrics_of_sums, INTERVALS, bootstrap, seed),
        }
    )


def _losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Binary cross-entropy of each label in nats, (N, K)."""
    return -np.log(np.clip(np.where(labels, probabilities, 1 - probabilities), SMALLEST, 1.0))


def example_sums(
    labels: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray
) -> ExampleSums:
    """What each example adds to `metrics_of_sums`, of labels and predictions (N, K) bool."""
    is_wrong = labels != predicted
    parts = {
        "hits": labels & predicted,
        "support": labels,
        "predicted": predicted,
        "loss": _losses(labels, probabilities).mean(axis=1, keepdims=True),
        "all_right": ~is_wrong.any(axis=1, keepdims=True),
        "wrong": is_wrong.mean(axis=1, keepdims=True),
    }
    # Sparse, since an example lacks most labels.
    return ExampleSums(
        {name: sparse.csr_array(part.astype(np.float64)) for name, part in parts.items()}
    )


def metrics_of_sums(sums: Sums) -> dict[str, np.ndarray]:
    """Metrics of all examples together, (R,)."""
    hits, support, predicted = (sums[name] for name in ("hits", "support", "predicted"))
    count = sums[COUNT][:, 0]

    def micro(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
        return ratio(numerator.sum(axis=1), denominator.sum(axis=1), 0.0)

    def macro(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
        return np.asarray(ratio(numerator, denominator, 0.0).mean(axis=1))

    return {
        "loss": sums["loss"][:, 0] / count,
        "micro_f1": micro(2 * hits, support + predicted),
        "macro_f1": macro(2 * hits, support + predicted),
        "micro_precision": micro(hits, predicted),
        "micro_recall": micro(hits, support),
        "macro_precision": macro(hits, predicted),
        "macro_recall": macro(hits, support),
        "subset_accuracy": sums["all_right"][:, 0] / count,
        "hamming_loss": sums["wrong"][:, 0] / count,
    }


def _per_label(
    labels: np.ndarray,
    predicted: np.ndarray,
    probabilities: np.ndarray,
    names: Sequence[str],
    totals: Sums,
) -> dict[str, dict[str, Any]]:
    from sklearn.metrics import average_precision_score, roc_auc_score

    per_label = per_name(names, totals)
    losses = _losses(labels, probabilities)
    for k, row in enumerate(per_label.values()):
        has_label, scores = labels[:, k], probabilities[:, k]
        some, every = has_label.any(), has_label.all()
        row |= {
            "predicted": int(predicted[:, k].sum()),
            "average_precision": average_precision_score(has_label, scores) if some else None,
            "roc_auc": roc_auc_score(has_label, scores) if some and not every else None,
            "loss": losses[:, k].mean(),
        }
    return per_label


def _mean(per_label: dict[str, dict[str, Any]], metric: str) -> float | None:
    """Mean of a metric over the labels that have it."""
    values = [row[metric] for row in per_label.values() if row[metric] is not None]
    return float(np.mean(values)) if values else None


def to_probabilities(logits: np.ndarray) -> np.ndarray:
    """Probabilities (N, K), float64, of logits (N, K)."""
    return np.asarray(expit(np.asarray(logits, np.float64)))


def prediction_columns(probabilities: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """The predicted labels, joined, and the probability of each label, from (N, K)."""
    return {
        "prediction": join_labels(names, probabilities > 0.5),
        **{f"probability_{name}": probabilities[:, k] for k, name in enumerate(names)},
    }


def predictions(outputs: np.ndarray, spec: DataSpec) -> dict[str, Any]:
    """Columns for `fmkit predict`, of logits (N, K)."""
    return prediction_columns(to_probabilities(outputs), spec.names)
