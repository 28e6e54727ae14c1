"""From the scores of tokens to the best answer of each question, over all windows of its text.

As BERT's code does it for SQuAD (Devlin et al. 2018, run_squad): an answer scores the sum of its
first and its last token, where the last is not before the first and the answer not too long; no
answer scores as the token that stands for it, in the window where that is lowest. All spans of a
text are searched, not only those of the n best tokens.

M rows, Q questions, n tokens of a row, m of them in the text.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from scipy.special import logsumexp

from fmkit.core.errors import NonFiniteError
from fmkit.data.content.answer_spans import AnswerSpans
from fmkit.data.content.texts import Texts
from fmkit.data.loaders.text_loader import Encoded
from fmkit.tasks.question_answering.rows import FROM, MARK, TO, WORD

_LENGTH_STEP = 64
"""Batches are padded to a multiple of this many tokens."""
_EMPTY_TEXT_MARGIN = 1e6
"""By how much no answer wins where a text has no tokens: more than scores differ."""


@dataclass(frozen=True)
class BestAnswers:
    """The best answer of each question, whether it is given or not.

    Attributes:
        positions: of the questions among the examples, (Q,).
        spans: begin and end in characters of the text, (Q, 2).
        texts: of the answers.
        scores: of the answers, (Q,).
        no_answer_scores: (Q,).
        confidence: probability of first and last token in the answer's window, (Q,).
        no_answer_confidence: probability of no answer, in the window where its score is lowest,
            (Q,).
        losses: of each row, (M,), in nats.
    """

    positions: np.ndarray
    spans: np.ndarray
    texts: list[str]
    scores: np.ndarray
    no_answer_scores: np.ndarray
    confidence: np.ndarray
    no_answer_confidence: np.ndarray
    losses: np.ndarray

    @property
    def null_scores(self) -> np.ndarray:
        """How much higher no answer scores than the best one, (Q,); SQuAD 2.0's null odds."""
        return self.no_answer_scores - self.scores


class _PadScores(keras.layers.Layer):
    """Scores (B, T, 2) padded with zeros to (B, L, 2), so that batches can be joined.

    Args:
        length: L, at least every T.
    """

    def __init__(self, length: int) -> None:
        super().__init__(dtype="float32", name="widened")
        self._length = length

    def call(self, inputs: Any) -> Any:
        """Append zeros."""
        rows, length, width = ops.shape(inputs)
        padding = ops.zeros((rows, self._length - length, width), inputs.dtype)
        return ops.concatenate([inputs, padding], axis=1)

    def compute_output_spec(self, inputs: Any) -> Any:
        """(B, L, 2)."""
        return keras.KerasTensor((inputs.shape[0], self._length, 2), dtype="float32")


def build_scorer(network: Any, content: Encoded) -> keras.Model:
    """A model that shares a network's layers and gives scores (B, L, 2), L the same for all rows.

    One graph serves batches of all lengths.
    """
    length = math.ceil(content.rows.lengths.max() / _LENGTH_STEP) * _LENGTH_STEP
    scorer = keras.Model(network.input, _PadScores(length)(network.output), name="scorer")
    scorer.jit_compile = network.jit_compile
    return scorer


def find_answers(
    scorer: Any,
    loader: Any,
    content: Encoded,
    indices: np.ndarray,
    max_words: int,
    callbacks: Sequence[Any] = (),
) -> BestAnswers:
    """The best answer of each question that has rows at `indices`.

    Args:
        scorer: from `build_scorer`.
        loader: batches of the rows.
        content: the rows, with the questions behind them.
        indices: which rows; all of each question.
        max_words: of an answer.
        callbacks: of Keras, called with each batch.

    Raises:
        NonFiniteError: scores are NaN or infinite.
    """
    indices = np.asarray(indices, np.int64)
    outputs = scorer.predict(loader.ordered(indices), verbose=0, callbacks=[*callbacks])
    windows = [
        _best_of_window(row, scores[: len(row)].astype(np.float64), max_words)
        for row, scores in zip(content.rows.read(indices), outputs, strict=True)
    ]
    columns = np.array(windows, np.float64).reshape(-1, 7).T
    first, last, scores, confidence, null_scores, null_confidence, losses = columns
    broken = int((~np.isfinite(losses)).sum())
    if broken:
        raise NonFiniteError(
            f"The model's scores are NaN or infinite for {broken:,} of {len(losses):,} windows of "
            "texts.",
            "Lower the learning rate or use runtime.precision=float32.",
        )
    origin = content.origin[indices]
    best, null = _lowest_by_group(origin, -scores), _lowest_by_group(origin, null_scores)
    positions, texts = origin[best], questions_and_texts(content)[1]
    spans = np.maximum(np.stack([first[best], last[best]], axis=1), 0).astype(np.int64)
    answers = [
        texts[index][begin:end] for index, (begin, end) in zip(positions, spans, strict=True)
    ]
    return BestAnswers(
        positions, spans, answers, scores[best], null_scores[null], confidence[best],
        null_confidence[null], losses,
    )  # fmt: skip


def _lowest_by_group(groups: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Where the lowest value of each group is, the first of equals, in the groups' order."""
    order = np.lexsort((values, groups))
    return np.asarray(order[np.unique(groups[order], return_index=True)[1]])


def questions_and_texts(content: Encoded) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The questions behind rows, and the text of each."""
    texts = content.source.content
    if not isinstance(texts, Texts) or texts.pairs is None:
        raise TypeError("questions and their texts are expected")
    return texts.texts, texts.pairs


def accepted_answers(content: Encoded, positions: np.ndarray) -> list[list[str]]:
    """The accepted answers of the questions at `positions`."""
    annotations, (_, texts) = content.source.annotations, questions_and_texts(content)
    if not isinstance(annotations, AnswerSpans):
        raise TypeError("the examples have no answers to compare with")
    return [
        [texts[position][begin:end] for begin, end in annotations.spans[position]]
        for position in positions
    ]


def _best_of_window(row: np.ndarray, scores: np.ndarray, max_words: int) -> tuple[Any, ...]:
    """The best answer of one window: its begin and end in characters, or -1 where the window has no
    text; score and confidence of the answer, those of no answer, and the loss.

    Args:
        row: from `rows.encode`, (n, 5).
        scores: (n, 2).
        max_words: of an answer.
    """
    words, marks = row[:, WORD], row[:, MARK]
    is_candidate = marks >= 0
    log_probabilities = scores - logsumexp(scores[is_candidate], axis=0)
    starts, ends = np.isin(marks, (1, 3)), marks >= 2
    loss = -(log_probabilities[starts, 0].sum() + log_probabilities[ends, 1].sum()) / 2
    no_answer = int(np.flatnonzero(is_candidate & (words < 0))[0])
    null_score = scores[no_answer].sum()
    rest = null_score, np.exp(log_probabilities[no_answer].sum()), loss
    in_text = np.flatnonzero(words >= 0)
    if not len(in_text):
        return -1, -1, null_score - _EMPTY_TEXT_MARGIN, 0.0, *rest
    start_scores, end_scores, word = scores[in_text, 0], scores[in_text, 1], words[in_text]
    limit = np.searchsorted(word, word + max_words, side="left") - 1
    best_end = _argmax_up_to(end_scores, limit)
    first = int(np.argmax(start_scores + end_scores[best_end]))
    last = best_end[first]
    confidence = log_probabilities[in_text[first], 0] + log_probabilities[in_text[last], 1]
    score = start_scores[first] + end_scores[last]
    begin, end = row[in_text[first], FROM], row[in_text[last], TO]
    return begin, end, score, np.exp(confidence), *rest


def _argmax_up_to(values: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Where values are highest from each position up to `last` of it, (m,); the first of equals.

    By a table of the highest of each 1, 2, 4, ... positions, two of which cover any range (Bender
    and Farach-Colton 2000, The LCA Problem Revisited).
    """
    count = len(values)
    table = [np.arange(count)]
    while 2 ** len(table) <= count:
        half = 2 ** (len(table) - 1)
        left, right = table[-1][:-half], table[-1][half:]
        table.append(np.where(values[left] >= values[right], left, right))
    positions = np.arange(count)
    level = np.log2(last - positions + 1).astype(np.int64)
    best = np.empty(count, np.int64)
    for number in np.unique(level):
        chosen = positions[level == number]
        left = table[number][chosen]
        right = table[number][last[chosen] + 1 - 2**number]
        best[chosen] = np.where(values[left] >= values[right], left, right)
    return best
