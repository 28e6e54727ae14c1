"""95% intervals of figures that are functions of sums over examples, by bootstrap.

N examples, R resamples, S sums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

_CHUNK = 64  # resamples at once: 64 x 100,000 examples x 8 bytes is 51 MB

Figures = Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]
"""From sums (R, S), and how many examples each is of, (R,), to figures (R,); NaN: undefined."""


def intervals(
    rows: Any,
    figures: Figures,
    names: Sequence[str],
    resamples: int,
    seed: int,
) -> dict[str, list[float] | None]:
    """Percentile intervals by bootstrap over examples (Efron and Tibshirani 1993).

    With few examples, or one, they are too narrow.

    Args:
        rows: what each example adds to the sums, (N, S) float64, an array or a sparse one.
        figures: what follows from sums.
        names: the figures that get an interval; one that some resample does not have gets None.
        resamples: R; 0 makes every interval None.
        seed: of the resamples.
    """
    if resamples < 1:
        return dict.fromkeys(names)
    rng, count = np.random.default_rng(seed), rows.shape[0]
    drawn: list[dict[str, np.ndarray]] = []
    for start in range(0, resamples, _CHUNK):
        weights = np.empty((min(_CHUNK, resamples - start), count))
        for row in weights:
            row[:] = np.bincount(rng.integers(0, count, count), minlength=count)
        sums = np.asarray(rows.T @ weights.T).T
        drawn.append(figures(sums, np.full(len(weights), count)))
    found: dict[str, Any] = {}
    for name in names:
        values = np.concatenate([np.asarray(each[name], np.float64) for each in drawn])
        is_known = bool(np.isfinite(values).all())
        found[name] = np.percentile(values, (2.5, 97.5)).tolist() if is_known else None
    return found


def ratio(numerator: np.ndarray, denominator: np.ndarray, otherwise: float) -> np.ndarray:
    """Element by element; `otherwise` where the denominator is 0."""
    shape = np.broadcast_shapes(np.shape(numerator), np.shape(denominator))
    missing = np.full(shape, otherwise)
    return np.divide(numerator, denominator, out=missing, where=np.asarray(denominator) > 0)


def mean_of_known(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is not NaN; NaN where all is."""
    known = np.isfinite(values)
    return ratio(np.where(known, values, 0.0).sum(axis=-1), known.sum(axis=-1), np.nan)
