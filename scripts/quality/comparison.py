"""Paired comparisons over seeds, and ranks over data sets.

How methods are compared over several data sets follows Demsar (2006, Statistical Comparisons of
Classifiers over Multiple Data Sets, jmlr.org/papers/v7/demsar06a.html).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

_CLOSE = 1e-12  # below this, differences are rounding errors


@dataclass(frozen=True)
class Difference:
    """A method's advantage over the reference on one data set, over seeds.

    Attributes:
        count: seeds that both have.
        mean: of the differences; above 0 the method is better.
        low, high: 95% interval of the mean, by Student's t; infinite with one seed.
        p: of the paired t-test, two-sided; None with one seed.
    """

    count: int
    mean: float
    low: float
    high: float
    p: float | None

    def verdict(self, noise: float) -> str:
        """`better` or `worse` where the interval excludes 0 and the mean exceeds the noise."""
        if self.p is None or abs(self.mean) <= noise or self.low <= 0 <= self.high:
            return "same"
        return "better" if self.mean > 0 else "worse"


def paired(method: Mapping[int, float], reference: Mapping[int, float]) -> Difference | None:
    """The difference over the seeds that both have, values by seed; None where there is none."""
    seeds = sorted(method.keys() & reference.keys())
    if not seeds:
        return None
    ours, theirs = (np.array([values[seed] for seed in seeds]) for values in (method, reference))
    differences, count = ours - theirs, len(seeds)
    mean = float(differences.mean())
    if count == 1:
        return Difference(1, mean, -math.inf, math.inf, None)
    error = float(differences.std(ddof=1)) / math.sqrt(count)
    if error < _CLOSE:
        return _of_equal(count, mean)
    half = float(stats.t.ppf(0.975, count - 1)) * error
    p = float(stats.ttest_rel(ours, theirs).pvalue)
    return Difference(count, mean, mean - half, mean + half, p)


def _of_equal(count: int, mean: float) -> Difference:
    """The difference where all seeds have the same one, which is chance in few test examples.

    Student's t would call it certain, so it goes by the sign test.
    """
    if abs(mean) < _CLOSE:
        return Difference(count, mean, mean, mean, 1.0)
    p = 2.0 ** (1 - count)
    width = 0.0 if p < 0.05 else math.inf
    return Difference(count, mean, mean - width, mean + width, p)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for being several (Holm 1979), in the order given."""
    count, adjusted, largest = len(p_values), [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(count), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (count - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def over_sets(differences: Sequence[float]) -> float | None:
    """P-value of Wilcoxon's signed-rank test on mean differences, one a data set, two-sided.

    None below five data sets with a difference, where it cannot be small.
    """
    counted = [value for value in differences if abs(value) > _CLOSE]
    return float(stats.wilcoxon(counted).pvalue) if len(counted) >= 5 else None


def mean_ranks(
    values: Mapping[str, Mapping[str, float]], methods: Sequence[str]
) -> tuple[dict[str, float], int]:
    """Each method's mean rank, 1 the best, over the data sets where all have a value; how many.

    Equal values share the average of their ranks. Nothing where no data set has all.

    Args:
        values: by data set and method, more is better.
    """
    rows = [
        [-round(row[method], 9) for method in methods]
        for row in values.values()
        if all(method in row for method in methods)
    ]
    if not rows:
        return {}, 0
    ranks = stats.rankdata(np.array(rows), axis=1).mean(axis=0)
    return dict(zip(methods, ranks.tolist(), strict=True)), len(rows)
