"""From scores of tokens to the answer of each question: the best part of its text over all windows.

As BERT's code does it for SQuAD (Devlin et al. 2018, run_squad): the sum of the scores of the first
and of the last token, where the last is not before the first and the answer not too long; no answer
scores as the token that stands for it, in the window where that is lowest. All parts of a text are
looked at, not the n best alone.

M rows, Q questions, n tokens of a row, m of them in the text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from keras import ops
from scipy.special import logsumexp

from fmkit.core.errors import NonFiniteError
from fmkit.data.content.answer_spans import AnswerSpans
from fmkit.data.content.texts import Texts
from fmkit.data.loaders.token_rows import Encoded
from fmkit.models.tokenizers import word_alignment

_STEP = 64
"""To a multiple of this many tokens batches are filled up at most."""
_NOTHING = 1e6
"""By how much no answer wins where a text has no tokens: more than scores differ."""


@dataclass(frozen=True)
class BestAnswers:
    """The best answer of each question, whether it is given or not.

    Attributes:
        places: positions of the questions among the examples, (Q,).
        spans: begin and end in characters of the text, (Q, 2).
        texts: what stands there.
        scores: of the answers, (Q,).
        nulls: of no answer, (Q,).
        confidence: probability of first and last token in the answer's window, (Q,).
        null_confidence: of no answer, in the window where that is lowest, (Q,).
        losses: of each row, (M,), in nats.
    """

    places: np.ndarray
    spans: np.ndarray
    texts: list[str]
    scores: np.ndarray
    nulls: np.ndarray
    confidence: np.ndarray
    null_confidence: np.ndarray
    losses: np.ndarray

    @property
    def null_scores(self) -> np.ndarray:
        """How much more speaks for no answer than for the best one, (Q,)."""
        return self.nulls - self.scores


class _Widened(keras.layers.Layer):
    """Scores (B, T, 2) with zeros behind them, (B, L, 2), so that batches can be joined.

    Args:
        length: L, at least every T.
    """

    def __init__(self, length: int) -> None:
        super().__init__(dtype="float32", name="widened")
        self._length = length

    def call(self, inputs: Any) -> Any:
        """Append zeros."""
        rows, there, width = ops.shape(inputs)
        more = ops.zeros((rows, self._length - there, width), inputs.dtype)
        return ops.concatenate([inputs, more], axis=1)

    def compute_output_spec(self, inputs: Any) -> Any:
        """(B, L, 2)."""
        return keras.KerasTensor((inputs.shape[0], self._length, 2), dtype="float32")


def scorer(learner: Any, content: Encoded) -> keras.Model:
    """A network of scores, (B, L, 2) for every batch of some rows, that shares a learner's layers.

    One graph serves batches of all lengths.
    """
    length = -(-int(content.rows.lengths.max()) // _STEP) * _STEP
    network = keras.Model(learner.input, _Widened(length)(learner.output), name="scorer")
    network.jit_compile = learner.jit_compile
    return network


def find(
    network: Any, loader: Any, content: Encoded, indices: np.ndarray, most_words: int
) -> BestAnswers:
    """The best answer of each question that has rows at `indices`.

    Args:
        network: the scores of each row, as of `scorer`.
        loader: batches of the rows.
        content: the rows, with the questions behind them.
        indices: which rows; all of each question.
        most_words: of an answer.

    Raises:
        NonFiniteError: scores are not finite.
    """
    indices = np.asarray(indices, np.int64)
    best: dict[int, _Best] = {}
    losses: list[float] = []
    outputs = network.predict(loader.ordered(indices), verbose=0)
    for row, scores, place in zip(
        content.rows.read(indices), outputs, content.origin[indices].tolist(), strict=True
    ):
        found = _of_row(row, scores[: len(row)].astype(np.float64), most_words)
        losses.append(found.loss)
        best[place] = found if place not in best else best[place].joined(found)
    if not np.isfinite(losses).all():
        raise NonFiniteError(
            f"The model's scores are not finite for {int((~np.isfinite(losses)).sum()):,} of "
            f"{len(losses):,} windows of texts.",
            "Lower the learning rate or use runtime.precision=float32.",
        )
    return _answers(best, asked(content)[1], np.array(losses))


def asked(content: Encoded) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The questions behind rows, and the text of each."""
    texts = content.source.content
    if not isinstance(texts, Texts) or texts.pairs is None:
        raise TypeError("questions and their texts are expected")
    return texts.texts, texts.pairs


def accepted(content: Encoded, places: np.ndarray) -> list[list[str]]:
    """The accepted answers of some of the questions behind rows."""
    known, (_, texts) = content.source.annotations, asked(content)
    if not isinstance(known, AnswerSpans):
        raise TypeError("the examples have no answers to compare with")
    return [[texts[place][begin:end] for begin, end in known.spans[place]] for place in places]


def _answers(best: dict[int, _Best], contexts: tuple[str, ...], losses: np.ndarray) -> BestAnswers:
    spans, known = np.zeros((len(best), 2), np.int64), ("", [(0, 0)])
    for number, (place, found) in enumerate(best.items()):
        if found.first < 0:
            continue
        if contexts[place] is not known[0]:
            known = (contexts[place], word_alignment.split(contexts[place]))
        spans[number] = known[1][found.first][0], known[1][found.last][1]
    return BestAnswers(
        np.array(list(best), np.int64),
        spans,
        [contexts[each][begin:end] for each, (begin, end) in zip(best, spans, strict=True)],
        np.array([each.score for each in best.values()]),
        np.array([each.null for each in best.values()]),
        np.array([each.confidence for each in best.values()]),
        np.array([each.null_confidence for each in best.values()]),
        losses,
    )


@dataclass(frozen=True)
class _Best:
    """The best answer of a window, or of several: its first and last word; -1: there is none."""

    first: int
    last: int
    score: float
    confidence: float
    null: float
    null_confidence: float
    loss: float

    def joined(self, other: _Best) -> _Best:
        """The better of two windows' answers, with the lower score of no answer."""
        best = self if self.score >= other.score else other
        low = self if self.null <= other.null else other
        return replace(best, null=low.null, null_confidence=low.null_confidence)


def _of_row(row: np.ndarray, scores: np.ndarray, most_words: int) -> _Best:
    """The best answer of one window.

    Args:
        row: tokens, their words and their marks, (n, 3).
        scores: (n, 2).
        most_words: of an answer.
    """
    words, marks = row[:, 1], row[:, 2]
    may_be = marks >= 0
    chances = scores - logsumexp(scores[may_be], axis=0)
    loss = -(chances[np.isin(marks, (1, 3)), 0].sum() + chances[marks >= 2, 1].sum()) / 2
    nothing = int(np.flatnonzero(may_be & (words < 0))[0])
    null, null_confidence = scores[nothing].sum(), np.exp(chances[nothing].sum())
    inside = np.flatnonzero(words >= 0)
    if not len(inside):
        return _Best(-1, -1, null - _NOTHING, 0.0, null, null_confidence, loss)
    begins, ends, of_word = scores[inside, 0], scores[inside, 1], words[inside]
    last = np.searchsorted(of_word, of_word + most_words, side="left") - 1
    end_of = _highest(ends, last)
    first = int(np.argmax(begins + ends[end_of]))
    end = int(end_of[first])
    return _Best(
        int(of_word[first]),
        int(of_word[end]),
        begins[first] + ends[end],
        np.exp(chances[inside[first], 0] + chances[inside[end], 1]),
        null,
        null_confidence,
        loss,
    )


def _highest(values: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Where values are highest from each place up to `last` of it, (m,); the first of equals.

    By a table of the highest of each 1, 2, 4, ... places, two of which cover any stretch (Bender
    and Farach-Colton 2000, The LCA Problem Revisited).
    """
    count = len(values)
    table = [np.arange(count)]
    while 2 ** len(table) <= count:
        half = 2 ** (len(table) - 1)
        left, right = table[-1][:-half], table[-1][half:]
        table.append(np.where(values[left] >= values[right], left, right))
    places = np.arange(count)
    level = np.log2(last - places + 1).astype(np.int64)
    best = np.empty(count, np.int64)
    for number in np.unique(level):
        chosen = places[level == number]
        left = table[number][chosen]
        right = table[number][last[chosen] + 1 - 2**number]
        best[chosen] = np.where(values[left] >= values[right], left, right)
    return best
