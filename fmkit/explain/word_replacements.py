"""Words that may take the place of a word of a text: those of the training data that speak for
another answer, the nearest to the word in the model's own embedding first.

How much a word speaks for an output is the z-score of the logarithm of its odds ratio: the share of
the training texts with the output that have the word, against that of the others (Monroe et al.
2008, Fightin' words, Political Analysis 16:4, with half a text added to each count).

N training texts, K outputs, V words of a vocabulary, D features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.core.errors import FmkitError
from fmkit.data.examples import Examples
from fmkit.data.targets import LabelSets
from fmkit.evaluation import run_data
from fmkit.evaluation.load_run import LoadedRun
from fmkit.explain import word_attributions
from fmkit.explain.nearest import similarities
from fmkit.explain.text_network import TextNetwork

_TEXTS = 20_000
"""Most training texts that words are counted in, evenly spaced."""
_WORD = r"\b[^\W\d_]{2,}\b"
_LEAST = 3  # texts that have a word
_LEAST_SCORE = 2.0  # standard deviations
_POOL = 200
"""Words of an answer, those that speak for it most, that may be put into a text."""
NEAREST, STRONGEST = 6, 4
"""Of these, how many are tried in the place of a word: the nearest to it, and the strongest."""


@dataclass(frozen=True)
class Replacement:
    """A word in the place of another one, and how like it is: the cosine of their embeddings."""

    word: str
    similarity: float


@dataclass(frozen=True)
class Vocabulary:
    """Words of the training data.

    Attributes:
        words: in lower case, (V,).
        scores: how much each speaks for each output, (K, V); see above.
        vectors: their embeddings, (V, D) float32, without columns where the model has none.
        embed: from words to their embeddings.
    """

    words: Sequence[str]
    scores: np.ndarray
    vectors: np.ndarray
    embed: _Embedding

    def replacements(self, word: str, wanted: Sequence[tuple[int, int]]) -> list[Replacement]:
        """What may take the place of a word.

        Args:
            word: of a text.
            wanted: outputs with 1 where words are to speak for them, and -1 for against them.
        """
        strength = np.max([sign * self.scores[output] for output, sign in wanted], axis=0)
        pool = np.argsort(-strength, kind="stable")[:_POOL]
        pool = pool[strength[pool] >= _LEAST_SCORE]
        pool = np.array([k for k in pool if self.words[k] != word.lower()], np.int64)
        if not len(pool):
            return []
        cosines = np.zeros(len(pool))
        if self.vectors.shape[1]:
            cosines = similarities(self.embed([word]), self.vectors[pool])[0]
        by_likeness = np.argsort(-cosines, kind="stable")[:NEAREST]
        chosen = dict.fromkeys([*by_likeness.tolist(), *range(min(STRONGEST, len(pool)))])
        return [Replacement(_cased(self.words[pool[k]], word), float(cosines[k])) for k in chosen]


class _Embedding:
    """The mean of the input embeddings of a word's tokens; no columns without such a layer."""

    def __init__(self, network: TextNetwork) -> None:
        self._tokenizer = network.tokenizer
        self._table = np.zeros((1, 0), np.float32)
        if not word_attributions.embedding_problem(network.model):
            layer = word_attributions.token_embedding(network.model)
            self._table = np.asarray(ops.convert_to_numpy(layer.embeddings), np.float32)

    def __call__(self, words: Sequence[str]) -> np.ndarray:
        """(W, D) float32."""
        vectors = np.zeros((len(words), self._table.shape[1]), np.float32)
        if self._table.shape[1]:
            for number, tokens in enumerate(self._tokenizer.tokens(list(words))):
                if len(tokens):
                    vectors[number] = self._table[np.asarray(tokens)].mean(axis=0)
        return vectors


def vocabulary(
    trained: LoadedRun, network: TextNetwork, runtime: RuntimeConfig
) -> Vocabulary | str:
    """The words of the data that a run was trained on; a string says why there are none."""
    try:
        split = run_data.read_own_split(trained.run, runtime, "train")
    except FmkitError as error:
        return f"the training data cannot be read: {error.message}"
    examples = split.data.examples.take(split.data.splits[split.split])
    if len(examples) > _TEXTS:
        examples = examples.take(np.linspace(0, len(examples) - 1, _TEXTS).astype(np.int64))
    labels = _indicators(examples, trained)
    if labels is None:
        return "the training data has no labels"
    content: Any = examples.content  # of texts, as the run reads them
    return count_words(content.texts, labels, network)


def count_words(texts: Sequence[str], labels: np.ndarray, network: TextNetwork) -> Vocabulary | str:
    """The words of texts, with their scores by labels (N, K) bool."""
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(binary=True, min_df=_LEAST, token_pattern=_WORD)
    try:
        present = counter.fit_transform(texts)
    except ValueError:  # as it says, no word is left
        return f"no word is in {_LEAST} training texts"
    words = counter.get_feature_names_out().tolist()
    scores = np.stack([log_odds(present, labels[:, k]) for k in range(labels.shape[1])])
    embed = _Embedding(network)
    return Vocabulary(words, scores, embed(words), embed)


def log_odds(present: np.ndarray, label: np.ndarray) -> np.ndarray:
    """z-scores of words (V,), by the texts that have them, (N, V), and have a label, (N,) bool."""
    own = np.asarray(present[label].sum(axis=0), np.float64).ravel() + 0.5
    other = np.asarray(present[~label].sum(axis=0), np.float64).ravel() + 0.5
    own_rest, other_rest = label.sum() + 1 - own, (~label).sum() + 1 - other
    ratio = np.log(own) - np.log(own_rest) - np.log(other) + np.log(other_rest)
    return np.asarray(ratio / np.sqrt(1 / own + 1 / own_rest + 1 / other + 1 / other_rest))


def _indicators(examples: Examples, trained: LoadedRun) -> np.ndarray | None:
    """Whether each example has each class or label of a run, (N, K) bool; None: neither."""
    if examples.classes:
        names = list(trained.spec.classes)
        places = np.array([names.index(name) if name in names else -1 for name in examples.classes])
        return np.asarray(places[examples.labels][:, None] == np.arange(len(names)))
    if examples.annotations is None:
        return None
    annotations = examples.annotations.align(trained.spec.names)
    return annotations.indicators if isinstance(annotations, LabelSets) else None


def _cased(word: str, like: str) -> str:
    """A word with a capital letter where another one has it."""
    return word.capitalize() if like[:1].isupper() else word
