"""Calibration: how far confidence is from accuracy, and the temperature that brings them together.

The expected calibration error of Guo et al. 2017, arXiv:1706.04599, with 15 equal bins of the
highest probability. The temperature is fitted on validation. It needs no logits: the softmax of
log probabilities is that of the logits they came from.

N examples, C classes, L labels with a yes or no each, R resamples, K bins.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, logit, softmax

from fmkit.core.bootstrap import COUNT, ExampleSums, Sums
from fmkit.tasks import temperature as temperature_scaling

BINS = 15


def parts(confidence: np.ndarray, is_right: np.ndarray) -> dict[str, Any]:
    """What each example adds to its bin, sparse matrices (N, K) for `bootstrap.ExampleSums`.

    Args:
        confidence: the highest probability, (N,) float64; a bin includes its upper bound.
        is_right: 1 where the prediction is right, else 0, (N,).
    """
    from scipy import sparse

    count = len(confidence)
    bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)

    def in_bin(values: np.ndarray) -> Any:
        return sparse.csr_array((values, (np.arange(count), bins)), shape=(count, BINS))

    return {
        "bin_confidence": in_bin(confidence),
        "bin_hits": in_bin(is_right),
        "bin_count": in_bin(np.ones(count)),
    }


def expected_calibration_error(sums: Sums) -> np.ndarray:
    """The mean over examples of the distance of their bin's confidence and accuracy, (R,)."""
    gaps = np.abs(sums["bin_confidence"] - sums["bin_hits"])
    return np.asarray(gaps.sum(axis=1) / sums[COUNT][:, 0])


def reliability(sums: Sums) -> list[dict[str, Any]]:
    """Each bin's bounds, examples, mean confidence and accuracy, for a reliability diagram."""
    counts, confidence, hits = (
        sums[name][0] for name in ("bin_count", "bin_confidence", "bin_hits")
    )
    return [
        {
            "lower": index / BINS,
            "upper": (index + 1) / BINS,
            "count": int(counts[index]),
            "confidence": confidence[index] / counts[index] if counts[index] else None,
            "accuracy": hits[index] / counts[index] if counts[index] else None,
        }
        for index in range(BINS)
    ]


_TINY = 1e-300
"""Probabilities are clipped at it before their logarithm is taken."""
_SPREAD = 0.2
"""Scale of the Laplace distribution that logarithms of temperatures are expected to have."""
_CLOSEST = 1e-16
"""Of a yes or no: the distance from 0 and 1 at which probabilities are clipped."""


def fit_classes(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature that suits labels (N,) and probabilities (N, C) best; see `_fit`."""
    rows = np.arange(len(labels))

    def loss(logits: np.ndarray) -> float:
        return float(-log_softmax(logits, axis=1)[rows, labels].mean())

    return _fit(loss, np.log(np.maximum(probabilities, _TINY)), len(labels))


def fit_labels(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The same of a yes or no for each label, (N, L): one temperature for all labels."""
    signs = np.where(labels, -1.0, 1.0)

    def loss(logits: np.ndarray) -> float:
        return float(np.logaddexp(0.0, signs * logits).mean())

    return _fit(loss, _logits(probabilities), labels.size)


def _fit(loss: Callable[[np.ndarray], float], logits: np.ndarray, count: int) -> float:
    """The most probable temperature; 1 where few examples do not tell it from 1.

    The one with the lowest loss would be too far from 1 with few examples, and without end where
    all of them are right. So the logarithm has a Laplace prior around 0: with many examples it
    changes little, and where the loss falls too slowly next to 1 the temperature is exactly 1.

    Args:
        loss: the mean loss of logits, in nats.
        logits: of the examples.
        count: that the loss is the mean of.
    """

    def penalised(logarithm: float) -> float:
        return loss(logits / np.exp(logarithm)) + abs(logarithm) / (_SPREAD * count)

    # The loss is convex in the inverse of the temperature, so the answer is between 1 and this.
    farthest = float(np.log(temperature_scaling.fit(loss, logits)[0]))
    result = minimize_scalar(penalised, bounds=sorted((0.0, farthest)), method="bounded")
    return float(np.exp(result.x)) if result.fun < loss(logits) else 1.0


def scale_classes(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (N, C) after their logits were divided by a temperature."""
    return np.asarray(softmax(np.log(np.maximum(probabilities, _TINY)) / temperature, axis=1))


def scale_labels(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """The same of a yes or no for each label, (N, L)."""
    return np.asarray(expit(_logits(probabilities) / temperature))


def _logits(probabilities: np.ndarray) -> np.ndarray:
    return np.asarray(logit(np.clip(probabilities, _CLOSEST, 1 - _CLOSEST)))


def error_and_bins(
    confidence: np.ndarray, is_right: np.ndarray
) -> tuple[float, list[dict[str, Any]]]:
    """The expected calibration error, and the bins of a reliability diagram; see `parts`."""
    totals = ExampleSums(parts(confidence, np.asarray(is_right, np.float64))).totals()
    return float(expected_calibration_error(totals)[0]), reliability(totals)
