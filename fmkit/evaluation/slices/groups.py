"""Values of a column as groups of examples."""

import itertools
from collections import Counter
from collections.abc import Sequence

import numpy as np

MIN_EXAMPLES = 20
"""A group with fewer is shown and not tested, and so is one with fewer outside of it."""
SIGNIFICANCE = 0.05
"""Corrected p-values up to this are reported: the chance that any report is a false one."""
VALUES, _BINS = 20, 4
OTHERS, MISSING = "(others)", "(none)"


def groups_of(values: Sequence[str]) -> list[str]:
    """Values as groups: numbers in quarters, and of many names the most frequent.

    Args:
        values: texts of a column; empty where there is none.
    """
    names = [str(value) for value in values]
    filled = [name for name in names if name]
    numbers = _numbers(filled)
    if numbers is not None and len({*filled}) > VALUES // 2:
        edges = np.unique(np.quantile(numbers, np.linspace(0, 1, _BINS + 1)))
        labels = [f"{low:.4g} to {high:.4g}" for low, high in itertools.pairwise(edges)]
        bins = np.clip(np.searchsorted(edges, numbers, side="left") - 1, 0, len(labels) - 1)
        by_number = iter(labels[index] for index in bins)
        return [next(by_number) if name else MISSING for name in names]
    counts = Counter(names)
    frequent = counts.most_common(None if len(counts) <= VALUES else VALUES - 1)
    kept = {name for name, _ in frequent}
    return [(name or MISSING) if name in kept else OTHERS for name in names]


def _numbers(texts: Sequence[str]) -> np.ndarray | None:
    try:
        numbers = np.array([float(text) for text in texts])
    except ValueError:
        return None
    return numbers if len(numbers) and np.isfinite(numbers).all() else None
