"""Calibration error: how far the confidence of predictions is from their accuracy.

The expected calibration error of Guo et al. 2017, arXiv:1706.04599, with 15 equal bins of the
highest probability.

N examples, R resamples, K bins.
"""

from typing import Any

import numpy as np

from fmkit.core.bootstrap import COUNT, Sums

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
