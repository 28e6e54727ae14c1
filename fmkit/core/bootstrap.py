"""95% bootstrap intervals, one implementation for all figures.

Every metric here is a function of sums over examples, so that one resample is one row of weights:
how often each example counts.

N examples, R resamples, W columns of a sum.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

COUNT = "n"
"""The number of examples among the sums, (R, 1)."""

FIRST, SECOND = "first:", "second:"
"""Before the names of the sums of two models."""

SHARES = frozenset(
    (
        *("accuracy", "top5", "balanced_accuracy", "subset_accuracy", "hamming_loss"),
        *("exact_match", "f1", "micro_f1", "macro_f1", "precision", "recall"),
    )
)
"""Metrics from 0 to 1 whose interval does not end at the edge that all examples have reached."""

_CHUNK = 64  # resamples at once: 64 x 100,000 examples x 8 bytes is 51 MB

Sums = dict[str, np.ndarray]
"""Sums over examples by name, (R, W) each."""

Metrics = Callable[[Sums], dict[str, np.ndarray]]
"""Computes metrics (R,) from sums; NaN where a metric is undefined."""


class ExampleSums:
    """What each example adds to the sums that metrics are computed from.

    Args:
        parts: by name, a dense or sparse matrix (N, W).
    """

    def __init__(self, parts: Mapping[str, Any]) -> None:
        self._parts = dict(parts)
        self._count: int = next(iter(self._parts.values())).shape[0]

    def take(self, rows: np.ndarray) -> "ExampleSums":
        """Those of some examples: their positions, or whether each is one of them, (N,) bool."""
        return ExampleSums({name: part[rows] for name, part in self._parts.items()})

    def beside(self, other: "ExampleSums") -> "ExampleSums":
        """Those of two models on the same examples, for `differences`."""
        pairs = ((FIRST, self._parts), (SECOND, other._parts))
        return ExampleSums({p + name: part for p, parts in pairs for name, part in parts.items()})

    def totals(self) -> Sums:
        """The sums over all examples, each once, (1, W)."""
        sums = {
            name: np.asarray(part.sum(axis=0), np.float64).reshape(1, -1)
            for name, part in self._parts.items()
        }
        return {COUNT: np.array([[float(self._count)]]), **sums}

    def intervals(
        self,
        metrics: Metrics,
        names: Sequence[str],
        resamples: int,
        seed: int,
        lowest: float = 0.0,
    ) -> dict[str, list[float] | None]:
        """Percentile intervals by bootstrap over examples (Efron and Tibshirani 1993).

        With few examples they are too narrow. Of a share that is the same in every resample, as
        where no example is wrong, they are those of `unanimous_interval`.

        Args:
            metrics: computes the metrics from sums.
            names: the metrics that get an interval; None where a resample leaves one undefined.
            resamples: R; 0 makes every interval None.
            seed: of the resamples.
            lowest: a share can be: -1 for differences of two.
        """
        if resamples < 1:
            return dict.fromkeys(names)
        random = np.random.default_rng(seed)
        chunks: list[dict[str, np.ndarray]] = []
        for start in range(0, resamples, _CHUNK):
            weights = np.empty((min(_CHUNK, resamples - start), self._count))
            for row in weights:
                sampled = random.integers(0, self._count, self._count)
                row[:] = np.bincount(sampled, minlength=self._count)
            columns = np.ascontiguousarray(weights.T)  # SciPy would copy it for each sparse part
            sums = {name: np.asarray(part.T @ columns).T for name, part in self._parts.items()}
            chunks.append(metrics({COUNT: weights.sum(axis=1, keepdims=True), **sums}))
        intervals: dict[str, list[float] | None] = {}
        for name in names:
            values = np.concatenate([np.asarray(chunk[name], np.float64) for chunk in chunks])
            if not np.isfinite(values).all():
                intervals[name] = None
            elif name in SHARES and values.min() == values.max() and values[0] in (0.0, 1.0):
                intervals[name] = unanimous_interval(float(values[0]), self._count, lowest)
            else:
                intervals[name] = np.percentile(values, (2.5, 97.5)).tolist()
        return intervals


def unanimous_interval(value: float, count: int, lowest: float = 0.0) -> list[float]:
    """The 95% interval of a mean of which every example has the same value.

    By the exact binomial bound (Clopper and Pearson 1934) at least 0.025^(1/N) of all examples are
    like these; the others may be anywhere from `lowest` to 1.

    Args:
        value: of each example.
        count: examples N.
        lowest: that an example can have.
    """
    others = 1 - 0.025 ** (1 / count)
    return [value - others * (value - lowest), value + others * (1 - value)]


def differences(metrics: Metrics) -> Metrics:
    """Computes how far metrics of the second model are above the first's, of `beside`."""

    def second_minus_first(sums: Sums) -> dict[str, np.ndarray]:
        first, second = (
            metrics(
                {COUNT: sums[COUNT]}
                | {
                    name.removeprefix(prefix): values
                    for name, values in sums.items()
                    if name.startswith(prefix)
                }
            )
            for prefix in (FIRST, SECOND)
        )
        return {name: second[name] - first[name] for name in first}

    return second_minus_first


def mean_intervals(
    columns: Mapping[str, np.ndarray], resamples: int, seed: int
) -> dict[str, list[float] | None]:
    """Intervals of the means of columns (N,), which are resampled together."""
    values = ExampleSums({"columns": np.stack(list(columns.values()), axis=1)})

    def means(sums: Sums) -> dict[str, np.ndarray]:
        return dict(zip(columns, (sums["columns"] / sums[COUNT]).T, strict=True))

    return values.intervals(means, list(columns), resamples, seed)


def ratio(numerator: Any, denominator: Any, default: float = np.nan) -> np.ndarray:
    """Element by element; `default` where the denominator is 0."""
    shape = np.broadcast_shapes(np.shape(numerator), np.shape(denominator))
    missing = np.full(shape, default)
    return np.divide(numerator, denominator, out=missing, where=np.asarray(denominator) > 0)


def mean_of_defined(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is not NaN; NaN where all is."""
    defined = np.isfinite(values)
    return ratio(np.where(defined, values, 0.0).sum(axis=-1), defined.sum(axis=-1))
