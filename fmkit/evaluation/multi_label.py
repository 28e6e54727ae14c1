"""Figures of merit of a model that gives a yes or no for each of several labels.

N examples, K labels, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fmkit.core import files
from fmkit.core.errors import DataError, NonFiniteError, received
from fmkit.core.types import DataSpec
from fmkit.data.targets import LabelSets, join_labels
from fmkit.evaluation.bootstrap import intervals, ratio
from fmkit.evaluation.evaluator import EvaluationInputs, EvaluationResult

SMALLEST = 1e-7
"""Probability that the log loss is clipped at, as that of classes is."""

_INTERVALS = ("loss", "micro_f1", "macro_f1", "subset_accuracy", "hamming_loss")


def evaluate(question: EvaluationInputs) -> EvaluationResult:
    """Figures, and for each example its labels, those found, and the probability of each."""
    known = question.examples.annotations
    if not isinstance(known, LabelSets):
        raise DataError("the run learned sets of labels, and the data has none.")
    batches = question.loader.ordered(question.indices)
    logits = question.learner.predict(batches, verbose=0)
    truth = known.indicators[question.indices]
    found = sigmoid(logits)
    told = figures(truth, found, known.names, question.bootstrap, question.seed)
    ids = [question.examples.ids[each] for each in question.indices]
    labels = {f"label_{name}": truth[:, k] for k, name in enumerate(known.names)}
    columns = {"id": ids, "label": join_labels(known.names, truth), **labels}
    return told, {**columns, **columns_of(found, known.names)}


def figures(
    truth: np.ndarray,
    probabilities: np.ndarray,
    names: Sequence[str],
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything that is worth knowing of predicted sets of labels on one split, ready for JSON.

    A label is found where its probability is above 0.5. `micro_f1` is that of all yes and no
    together, `macro_f1` the mean over labels, 0 for one that is neither there nor found
    (scikit-learn's zero_division=0); `subset_accuracy` the share of examples with every label
    right, `hamming_loss` that of wrong yes and no, `loss` the binary cross-entropy in nats, the
    mean over labels. `mean_average_precision` is the mean of the labels' average precision over
    those that are there, `macro_roc_auc` that of the area under the ROC curve over labels that some
    examples have and others not; both are None where there is none, and so are a label's own.
    `intervals` are by bootstrap over examples.

    Args:
        truth: whether an example has a label, (N, K) bool.
        probabilities: (N, K).
        names: K of them.
        bootstrap: resamples R; 0 makes every interval None.
        seed: of the resamples.

    Raises:
        DataError: no examples, or arrays that do not fit together.
        NonFiniteError: a probability is NaN.
    """
    _check(truth, probabilities, names)
    decided, exact = probabilities > 0.5, probabilities.astype(np.float64)
    rows = _rows(truth, decided, exact)

    def of_sums(sums: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
        return _figures(sums, counts, len(names))

    whole = of_sums(np.asarray(rows.sum(axis=0))[None], np.array([len(truth)]))
    per_label = _per_label(truth, decided, exact, names)
    return files.nonfinite_to_none(
        {
            "n": len(truth),
            **{name: float(value[0]) for name, value in whole.items()},
            "mean_average_precision": _mean(per_label, "average_precision"),
            "macro_roc_auc": _mean(per_label, "roc_auc"),
            "labels_per_example": float(truth.sum(axis=1).mean()),
            "per_label": per_label,
            "intervals": intervals(rows, of_sums, _INTERVALS, bootstrap, seed),
        }
    )


def _check(truth: np.ndarray, probabilities: np.ndarray, names: Sequence[str]) -> None:
    if truth.shape != probabilities.shape or truth.shape[1:] != (len(names),):
        allowed = f"the shape {truth.shape} of the labels"
        raise DataError(received("probabilities", probabilities.shape, allowed))
    if not len(truth):
        raise DataError("There is no example to judge. Name a split that has some.")
    broken = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
    if len(broken):
        raise NonFiniteError(
            f"The model's probabilities are not finite for {len(broken)} of {len(truth)} examples; "
            f"the first is number {broken[0]}.",
            "Its weights have left the finite numbers, or an input has: lower the learning rate "
            "or use runtime.precision=float32.",
        )


def _rows(truth: np.ndarray, decided: np.ndarray, probabilities: np.ndarray) -> Any:
    """What each example adds: hits, labels and finds (K each), loss, all right, and how many wrong.

    (N, 3 K + 3) float64, sparse, for most labels are not there.
    """
    from scipy import sparse

    right = np.clip(np.where(truth, probabilities, 1 - probabilities), SMALLEST, 1.0)
    wrong = truth != decided
    last = np.stack([-np.log(right).mean(axis=1), ~wrong.any(axis=1), wrong.mean(axis=1)], axis=1)
    parts = [
        sparse.csr_array(each.astype(np.float64)) for each in (truth & decided, truth, decided)
    ]
    return sparse.hstack([*parts, sparse.csr_array(last.astype(np.float64))]).tocsr()


def _figures(sums: np.ndarray, counts: np.ndarray, labels: int) -> dict[str, np.ndarray]:
    """Figures (R,) from sums (R, 3 K + 3) of the rows of `counts` examples each."""
    hits, wanted, found = (sums[:, k * labels : (k + 1) * labels] for k in range(3))
    loss, right, wrong = sums[:, 3 * labels :].T

    def micro(above: np.ndarray, below: np.ndarray) -> np.ndarray:
        return ratio(above.sum(axis=1), below.sum(axis=1), 0.0)

    def macro(above: np.ndarray, below: np.ndarray) -> np.ndarray:
        return np.asarray(ratio(above, below, 0.0).mean(axis=1))

    return {
        "loss": loss / counts,
        "micro_f1": micro(2 * hits, wanted + found),
        "macro_f1": macro(2 * hits, wanted + found),
        "micro_precision": micro(hits, found),
        "micro_recall": micro(hits, wanted),
        "macro_precision": macro(hits, found),
        "macro_recall": macro(hits, wanted),
        "subset_accuracy": right / counts,
        "hamming_loss": wrong / counts,
    }


def _per_label(
    truth: np.ndarray, decided: np.ndarray, probabilities: np.ndarray, names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    from sklearn.metrics import average_precision_score, roc_auc_score

    per_label = {}
    for k, name in enumerate(names):
        there, found, scores = truth[:, k], decided[:, k], probabilities[:, k]
        hits, wanted, predicted = (there & found).sum(), there.sum(), found.sum()
        has_some, has_all = bool(wanted), bool(wanted == len(there))
        sure = np.clip(np.where(there, scores, 1 - scores), SMALLEST, 1.0)
        per_label[name] = {
            "precision": float(ratio(hits, predicted, 0.0)),
            "recall": float(ratio(hits, wanted, 0.0)),
            "f1": float(ratio(2 * hits, wanted + predicted, 0.0)),
            "support": int(wanted),
            "predicted": int(predicted),
            "average_precision": (
                float(average_precision_score(there, scores)) if has_some else None
            ),
            "roc_auc": (float(roc_auc_score(there, scores)) if has_some and not has_all else None),
            "loss": float(-np.log(sure).mean()),
        }
    return per_label


def _mean(per_label: dict[str, dict[str, Any]], figure: str) -> float | None:
    """Mean of a figure over the labels that have it."""
    known = [each[figure] for each in per_label.values() if each[figure] is not None]
    return float(np.mean(known)) if known else None


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probabilities (N, K), float64, of logits (N, K)."""
    from scipy.special import expit

    return np.asarray(expit(np.asarray(logits, np.float64)))


def columns_of(probabilities: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """The labels found, joined, and the probability of each."""
    return {
        "prediction": join_labels(names, probabilities > 0.5),
        **{f"probability_{name}": probabilities[:, k] for k, name in enumerate(names)},
    }


def predictions(outputs: np.ndarray, spec: DataSpec) -> dict[str, Any]:
    """Columns for `fmkit predict`, of logits (N, K)."""
    return columns_of(sigmoid(outputs), spec.names)
