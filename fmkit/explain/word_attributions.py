"""What each word of a text adds to an answer: integrated gradients, and leaving words out.

n tokens of a text, D features, S points of a path, W words, K outputs of a network.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from fmkit.explain.text_words import SPECIAL, TextWords
from fmkit.models.keras_internals import call_operation, graph_nodes, run_graph
from fmkit.train import devices

Score = Callable[[Any], Any]
"""From outputs of the network (N, K) to the number that is explained, (N,), by operations of
Keras."""

STEPS, MOST_STEPS = 16, 256
"""Points of a path, at first and at most."""
_AT_ONCE = 8  # points of a path in a batch
TOLERANCE = 0.02
"""Most that the attributions may add up to something else, as a share of the sum of their sizes."""


@dataclass(frozen=True)
class Attributions:
    """What each word adds.

    Attributes:
        scores: of the words, (W,) float64; positive ones speak for the answer.
        total: what they should add up to; None where they need not (`occlusion`).
        steps: points of the path, or texts without a word.
    """

    scores: np.ndarray
    total: float | None
    steps: int

    @property
    def error(self) -> float | None:
        """How far their sum is from `total`, as a share of the sum of their sizes."""
        if self.total is None:
            return None
        size = max(float(np.abs(self.scores).sum()), abs(self.total))
        return abs(float(self.scores.sum()) - self.total) / size if size else 0.0


def embedding_problem(network: keras.Model) -> str:
    """Why a network has no layer that turns tokens into vectors, as a sentence; empty if it has."""
    if _embeddings(network):
        return ""
    return "the model has no keras.layers.Embedding of tokens among its layers."


def token_embedding(network: keras.Model) -> keras.layers.Embedding:
    """The layer that turns tokens into vectors, of a network without an `embedding_problem`."""
    # Segments have an embedding of two rows, tokens the largest one.
    return max(_embeddings(network), key=lambda layer: layer.input_dim)


def _embeddings(network: keras.Model) -> list[keras.layers.Embedding]:
    operations = (node.operation for node in graph_nodes(network))
    return [layer for layer in operations if isinstance(layer, keras.layers.Embedding)]


def integrated_gradients(
    network: keras.Model, tokens: np.ndarray, owners: np.ndarray, words: int, score: Score,
    steps: int = STEPS, most_steps: int = MOST_STEPS,
) -> Attributions:  # fmt: skip
    """Attributions of the words of a text: Sundararajan et al. 2017, arxiv.org/abs/1703.01365.

    The path leads from a text of zero vectors, which is the paper's baseline for texts, to the
    vectors of the tokens; special tokens are there all along. A word has the sum of its tokens. The
    integral is a Gauss-Legendre sum, over more and more points until the attributions add up to
    what the score changes by along the path (completeness).

    Args:
        network: from tokens (B, n) to outputs (B, K).
        tokens: of the text, (n,) int32.
        owners: the word of each token, -1 for special ones, (n,).
        words: W.
        score: what is explained.
        steps: points of the path at first, which double.
        most_steps: points after which the attributions stay as they are.
    """
    path = _Path(network, token_embedding(network), tokens, owners == SPECIAL, score)
    total, is_word = path.change(), owners != SPECIAL
    while True:
        values = path.attributions(steps)
        scores = np.bincount(owners[is_word], values[is_word], minlength=words)
        result = Attributions(scores, total, steps)
        if (result.error or 0.0) <= TOLERANCE or steps >= most_steps:
            return result
        steps *= 2


class _Path:
    """The straight line from a text of zero vectors to the vectors of a text.

    Args:
        fixed: tokens whose vectors are the same all along, (n,) bool.
    """

    def __init__(
        self, network: keras.Model, embedding: keras.Layer, tokens: np.ndarray, fixed: np.ndarray,
        score: Score,
    ) -> None:  # fmt: skip
        self._network, self._embedding, self._score = network, embedding, score
        self._tokens = np.asarray(tokens, np.int32)[None]
        vectors = np.asarray(ops.convert_to_numpy(embedding(self._tokens)), np.float32)  # (1, n, D)
        self._start = np.where(fixed[None, :, None], vectors, 0.0)
        self._way = vectors - self._start

    def _outputs(self, vectors: Any, count: int) -> Any:
        """Scores (count,) of texts whose tokens have other vectors, (count, n, D)."""

        def call(operation: Any) -> Callable[..., Any]:
            if operation is self._embedding:
                return lambda *arguments, **options: ops.cast(
                    vectors, self._embedding.compute_dtype
                )
            return call_operation(operation, training=False)

        tokens = ops.convert_to_tensor(np.repeat(self._tokens, count, axis=0))
        return ops.cast(self._score(run_graph(self._network, [tokens], call)), "float32")

    def change(self) -> float:
        """What the score changes by from the start to the end."""
        ends = np.concatenate([self._start, self._start + self._way])
        first, last = ops.convert_to_numpy(self._outputs(ops.convert_to_tensor(ends), 2))
        return float(last) - float(first)

    def attributions(self, steps: int) -> np.ndarray:
        """Attributions of the tokens, (n,) float64, of a sum over so many points."""
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        points, weights = (nodes + 1) / 2, weights / 2  # from -1 to 1, and from 0 to 1
        mean = np.zeros(self._way.shape[1:], np.float64)
        for first in range(0, steps, _AT_ONCE):
            part = points[first : first + _AT_ONCE, None, None].astype(np.float32)
            variable = keras.Variable(self._start + part * self._way, dtype="float32")

            def total(variable: keras.Variable = variable, count: int = len(part)) -> Any:
                return ops.sum(self._outputs(ops.convert_to_tensor(variable), count))

            (gradient,) = devices.gradients(total, [variable])
            rows = np.asarray(ops.convert_to_numpy(gradient), np.float64)
            mean += np.tensordot(weights[first : first + _AT_ONCE], rows, axes=1)
        return np.asarray((mean * self._way[0]).sum(axis=-1))


def occlusion(
    words: TextWords,
    is_read: np.ndarray,
    predict: Callable[[Sequence[tuple[str, ...]]], np.ndarray],
    score: Score,
) -> Attributions:
    """What the score loses without each word: erasure, Li et al. 2016, arxiv.org/abs/1612.08220.

    The word is left out of the text, which is tokenised anew.

    Args:
        words: of a text or a pair.
        is_read: which of them the model reads, (W,) bool; the others have 0.
        predict: from texts, or pairs, to outputs (N, K).
        score: what is explained.
    """
    positions, words = np.flatnonzero(is_read), words.cut(is_read)
    texts = [words.texts, *(words.without([position]) for position in positions.tolist())]
    values = np.asarray(ops.convert_to_numpy(score(predict(texts))), np.float64)
    scores = np.zeros(len(words))
    scores[positions] = values[0] - values[1:]
    return Attributions(scores, None, len(positions))
