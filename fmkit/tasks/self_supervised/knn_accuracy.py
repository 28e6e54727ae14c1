"""k-NN accuracy of features: the nearest neighbours of an image vote on its class.

The usual evaluation of features that were learned without labels (Wu et al. 2018, arxiv.org/abs/
1805.01978): cosine similarity, the 20 nearest, each with a weight of exp(similarity / 0.07).

N examples, D features.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from fmkit.data.stratify import sample_by_id

NEIGHBOURS = 20
TEMPERATURE = 0.07
NAME = "knn_accuracy"


def accuracy(
    features: np.ndarray, labels: np.ndarray, queries: np.ndarray, truth: np.ndarray
) -> float:
    """Share of the queries whose class wins the vote of the nearest neighbours.

    Args:
        features: of the examples that vote, (N, D).
        labels: classes of the examples that vote, (N,).
        queries: features of the examples that are classified, (M, D).
        truth: classes of the queries, (M,).
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


class KnnEvaluator:
    """Computes `knn_accuracy`; see `fmkit.tasks.base.EpochEvaluator`.

    The ids alone decide which examples vote and which are classified, so that epochs and runs
    compare.

    Args:
        embedder: images to pooled features (B, D); it shares its layers with what is trained.
        loader: its `unaugmented` gives batches of images as they are.
        examples: the data set, with classes.
        splits: positions of the examples; `train` votes on `val`.
        max_voters: training examples that vote at most; a fifth as many are classified.
    """

    def __init__(
        self,
        embedder: keras.Model,
        loader: Any,
        examples: Any,
        splits: Mapping[str, np.ndarray],
        max_voters: int,
    ) -> None:
        self._embedder, self._loader = embedder, loader
        self._labels = np.asarray(examples.labels)
        ids, num_queries = examples.ids, max(1, max_voters // 5)
        self._voters = sample_by_id(ids, splits["train"], max_voters, "neighbours")
        self._queries = sample_by_id(ids, splits["val"], num_queries, "neighbours")

    def __call__(self, jit_compile: Any) -> dict[str, float]:
        """The metric with the weights as they are now; NaN where the features are not finite."""
        self._embedder.jit_compile = jit_compile
        voters, queries = self._features(self._voters), self._features(self._queries)
        if not (np.isfinite(voters).all() and np.isfinite(queries).all()):
            return {NAME: float("nan")}  # the run reports it with the other metrics of the epoch
        labels = self._labels
        return {NAME: accuracy(voters, labels[self._voters], queries, labels[self._queries])}

    def _features(self, indices: np.ndarray) -> np.ndarray:
        features = self._embedder.predict(self._loader.unaugmented(indices), verbose=0)
        return np.asarray(features, np.float32)
