"""How well features tell classes apart: the nearest neighbours of an image vote on its class.

The usual check of features that were learned without labels (Wu et al. 2018, arxiv.org/abs/
1805.01978): cosine similarity, the 20 nearest, each with a weight of exp(similarity / 0.07).

N examples, D features.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from fmkit.data.stratify import hash_ranks

NEIGHBOURS = 20
TEMPERATURE = 0.07
FIGURE = "val_knn_accuracy"
"""The name of the figure among those of an epoch."""


def accuracy(
    features: np.ndarray, labels: np.ndarray, queries: np.ndarray, truth: np.ndarray
) -> float:
    """Share of the queries whose class the nearest neighbours name.

    Args:
        features: of the examples that vote, (N, D).
        labels: their classes, (N,).
        queries: features of those that are asked for, (M, D).
        truth: their classes, (M,).
    """
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(
        n_neighbors=min(NEIGHBOURS, len(features)),
        weights=lambda distances: np.exp((1.0 - distances) / TEMPERATURE),
        metric="cosine",
        algorithm="brute",
    )
    model.fit(features.astype(np.float64), labels)
    return float((model.predict(queries.astype(np.float64)) == truth).mean())


class NeighbourAccuracy(keras.callbacks.Callback):
    """Adds `val_knn_accuracy` to an epoch's figures, where it is validated.

    The features are those that validation judges: with `optimizer.ema`, of the averaged weights.
    Which examples vote is decided by their ids alone, so that epochs and runs compare.

    Args:
        embedder: images to pooled features (B, D); it shares its layers with what is trained.
        loader: its `unaugmented` gives batches of images as they are.
        ids: of all examples.
        labels: of all examples, (N,).
        splits: positions of the examples; `train` votes on `val`.
        most: training examples that vote; a fifth as many are asked for.
    """

    def __init__(
        self,
        embedder: keras.Model,
        loader: Any,
        ids: tuple[str, ...],
        labels: np.ndarray,
        splits: Any,
        most: int,
    ) -> None:
        super().__init__()
        self._embedder, self._loader, self._labels = embedder, loader, np.asarray(labels)
        self._voters = _chosen(ids, splits["train"], most)
        self._asked = _chosen(ids, splits["val"], max(1, most // 5))
        self._found: float | None = None

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Vote while the weights are those that are judged."""
        self._embedder.jit_compile = self.model.jit_compile
        voters, asked = self._features(self._voters), self._features(self._asked)
        labels = self._labels
        if not (np.isfinite(voters).all() and np.isfinite(asked).all()):
            self._found = float("nan")  # told with the rest of the epoch's figures
            return
        self._found = accuracy(voters, labels[self._voters], asked, labels[self._asked])

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Hand the figure over."""
        if self._found is not None and logs is not None:
            logs[FIGURE] = self._found
        self._found = None

    def _features(self, indices: np.ndarray) -> np.ndarray:
        found = self._embedder.predict(self._loader.unaugmented(indices), verbose=0)
        return np.asarray(found, np.float32)


def _chosen(ids: tuple[str, ...], indices: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the positions, sorted; which ones is decided by the examples' ids."""
    indices = np.asarray(indices, np.int64)
    if len(indices) <= most:
        return indices
    rank = hash_ranks((ids[each] for each in indices), "neighbours")
    return np.sort(indices[np.argsort(rank, kind="stable")[:most]])
