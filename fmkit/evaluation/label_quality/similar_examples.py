"""Near duplicates across splits by features: copies that pixels or words do not show.

Copies that were cropped, mirrored or rewritten in part stay neighbours in the features of a
pretrained backbone. Two examples of two splits are near duplicates where all of this holds:

- each is the nearest of the other split to the other,
- the cosine similarity of their centred features is at least `MIN_SIMILARITY`,
- their distance, 1 - similarity, is below `MAX_RATIO` of that to the sixth nearest example of the
  other split, on both sides: the ratio test of Lowe, "Distinctive Image Features from
  Scale-Invariant Keypoints", IJCV 2004, with room for some more copies.

A similarity alone will not do: half the solar cells have a neighbour above .91, while most crops of
a drawing are below. The figures behind the thresholds are in the guide's label-errors.md.

D features.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

MIN_SIMILARITY = 0.85
MAX_RATIO = 0.2

_NEIGHBOURS = 6
_MIN_EXAMPLES = 20
"""Examples of a split below which nobody can say what a usual distance is."""

_BLOCK_VALUES = 2**24  # similarities that are held at once


class SimilarPair(NamedTuple):
    """Two examples that are nearly the same: positions, the names of their splits, the cosine."""

    first: int
    second: int
    splits: tuple[str, str]
    similarity: float


def near_duplicates(features: np.ndarray, splits: Mapping[str, np.ndarray]) -> list[SimilarPair]:
    """Near duplicates of examples in two different splits, the most similar pairs first.

    Args:
        features: (N, D).
        splits: by name, positions of its examples.
    """
    used = {name: rows for name, rows in splits.items() if len(rows) >= _MIN_EXAMPLES}
    if len(used) < 2:
        return []
    directions = _directions(features, np.concatenate([*used.values()]))
    pairs = [
        SimilarPair(int(used[one][i]), int(used[other][j]), (one, other), similarity)
        for one, other in itertools.combinations(used, 2)
        for i, j, similarity in _mutual_pairs(directions[used[one]], directions[used[other]])
    ]
    return sorted(pairs, key=lambda pair: -pair.similarity)


def _directions(features: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Features around the mean of the examples at `rows`, at length 1, (N, D) float32."""
    centred = features - features[rows].mean(axis=0, dtype=np.float64)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.maximum(lengths, 1e-12), np.float32)


def _mutual_pairs(first: np.ndarray, second: np.ndarray) -> Iterator[tuple[int, int, float]]:
    """Rows of the two sides that pass all three tests, with their similarity."""
    nearest, similarities, limits = _nearest(first, second)
    nearest_back, _, limits_back = _nearest(second, first)
    rows = np.arange(len(first))
    limit = np.minimum(limits, limits_back[nearest])
    is_pair = (nearest_back[nearest] == rows) & (similarities >= MIN_SIMILARITY)
    is_pair &= 1.0 - similarities < MAX_RATIO * limit
    for row in np.flatnonzero(is_pair):
        yield int(row), int(nearest[row]), float(similarities[row])


def _nearest(queries: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each query the nearest other, their similarity, and the distance to the sixth, (Q,)."""
    size = max(1, _BLOCK_VALUES // len(others))
    parts = []
    for start in range(0, len(queries), size):
        similarities = queries[start : start + size] @ others.T
        sixth = np.partition(similarities, -_NEIGHBOURS, axis=1)[:, -_NEIGHBOURS]
        parts.append((similarities.argmax(axis=1), similarities.max(axis=1), 1.0 - sixth))
    nearest, most, distances = zip(*parts, strict=True)
    return np.concatenate(nearest), np.concatenate(most), np.concatenate(distances)
