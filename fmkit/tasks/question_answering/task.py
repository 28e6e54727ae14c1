"""Extractive question answering: the part of a text that answers a question.

As BERT for SQuAD (Devlin et al. 2018, arXiv:1810.04805, section 4.2 and 4.3): every token of the
text has a score as the first one of the answer and one as the last; a mark of the row stands for no
answer. Texts that are too long are read in windows that overlap.

B batch, T tokens of a row, n of them before it is filled up, D features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import QuestionAnsweringConfig
from fmkit.core.errors import ConfigError, DataError, received
from fmkit.core.types import DataSpec, Tokenizer
from fmkit.data.content.answer_spans import AnswerSpans, Span
from fmkit.data.content.texts import Texts
from fmkit.data.examples import Examples
from fmkit.models.backbone import Backbone
from fmkit.models.keras_internals import scale_loss_for_distribution
from fmkit.models.tokenizers import word_alignment
from fmkit.tasks.base import Task
from fmkit.tasks.question_answering.epoch_metrics import NAMES, SquadEvaluator

ELSEWHERE, PLAIN, START, END = -1, 0, 1, 2
"""What stands beside a token: no place for an answer; a place; its first one; its last. 3: both."""

_FAR = -1e9
"""The score of tokens that are no place for an answer."""
_AT_ONCE = 1024  # texts that are tokenised together


class QuestionAnswering(Task):
    """First and last token of an answer are to be found.

    A row is `[marks] question [marks] text [marks]`; a token sees those before it only in some
    models, whose rows have one more mark at the end, which then stands for no answer. Else the
    first token does. Targets are marks (B, T), outputs are scores (B, T, 2).

    Args:
        config: how texts are cut.
        spec: the data set.

    Raises:
        ConfigError: the data has no answers.
    """

    name = "question_answering"
    input_format = "rows"
    epoch_metrics = NAMES

    def __init__(self, config: QuestionAnsweringConfig, spec: DataSpec) -> None:
        if spec.annotations != AnswerSpans.kind:
            raise ConfigError(
                f"task.name={config.name} finds answers in texts, and the data has none.",
                "Take data=squad.",
            )
        if config.monitor.removeprefix("val_") in NAMES and not config.watch_examples:
            raise ConfigError(
                f"task.monitor={config.monitor} is taken of task.watch_examples questions, and "
                "these are 0.",
                "Take task.monitor=val_loss.",
            )
        self.most_words = config.max_answer
        self._config = config
        self._is_causal: bool | None = None

    def encode_rows(
        self, examples: Examples, tokenizer: Tokenizer, max_length: int
    ) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        """Questions with windows of their texts.

        Args:
            examples: pairs of texts; without annotations there is nothing to be found.
            tokenizer: the model's.
            max_length: most tokens of a row.

        Returns:
            M rows of tokens with their words in the text, -1 elsewhere, and their marks, (n, 3);
            which example each is of, (M,); and how many tokens it has with its whole question.

        Raises:
            ConfigError: no window of a text has room beside a question.
            DataError: the examples are no pairs.
        """
        if self._is_causal is None:
            raise RuntimeError("the head comes first: it knows the backbone")
        content = examples.content
        if not isinstance(content, Texts) or content.pairs is None:
            raise DataError("questions need a text each, and the data has none.")
        frame = _Frame(tokenizer, self._is_causal, max_length, self._config)
        contexts = _read(tokenizer, content.pairs)
        found = examples.annotations
        spans = found.spans if isinstance(found, AnswerSpans) else ((),) * len(examples)
        rows: list[np.ndarray] = []
        origin: list[int] = []
        uncut: list[int] = []
        for start in range(0, len(examples), _AT_ONCE):
            questions = tokenizer.tokens(content.texts[start : start + _AT_ONCE])
            for place, question in enumerate(questions, start):
                context = contexts[content.pairs[place]]
                made = frame.rows(question, context, context.tokens_of(spans[place]))
                rows += made
                origin += [place] * len(made)
                cut = max(0, len(question) - self._config.max_question)
                uncut += [len(each) + cut for each in made]
        return rows, np.array(origin, np.int64), np.array(uncut, np.int64)

    def prepare_batch(
        self, tokens: np.ndarray, random: np.random.Generator
    ) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """Rows (B, T, 3) -> ((tokens (B, T),), marks (B, T) int32)."""
        return (np.ascontiguousarray(tokens[:, :, 0]),), np.ascontiguousarray(tokens[:, :, 2])

    def head(self, backbone: Backbone, config: ModelConfig) -> Any:
        """Dropout and a dense layer at each token: scores (B, T, 2), float32.

        Raises:
            ConfigError: the backbone reads no texts, or its tokenizer has no marks.
        """
        tokenizer = backbone.tokenizer
        if tokenizer is None:
            raise ConfigError(
                f"task.name={self.name} needs a model of texts; {backbone.name} is none."
            )
        if not tokenizer.marks[1]:
            raise ConfigError(
                f"task.name={self.name}: the tokenizer of model.name={backbone.name} has no mark "
                "to put between a question and a text."
            )
        self._is_causal = backbone.is_causal
        x = backbone.model.output
        if config.dropout:
            x = keras.layers.Dropout(config.dropout, name="head_dropout")(x)
        dense = keras.layers.Dense(2, kernel_initializer="zeros", dtype="float32", name="logits")
        return dense(x)

    def loss(self, targets: Any, outputs: Any, weights: Any, training: bool) -> Any:
        """Mean over the rows of the cross-entropy of the first and of the last token, in nats."""
        chances = ops.log_softmax(_among_places(targets, outputs), axis=1)
        right = _one_hot(targets)
        found = ops.sum(ops.where(right, chances, 0.0), axis=(1, 2))  # (B,)
        return scale_loss_for_distribution(-ops.mean(found) / 2.0)

    def metrics(self) -> list[Any]:
        """Accuracy: the share of rows whose first and last token are both found."""
        return [SpanAccuracy(name="accuracy")]

    def epoch_evaluator(
        self, network: Any, loader: Any, examples: Any, splits: Mapping[str, np.ndarray]
    ) -> SquadEvaluator | None:
        """Exact match and F1 of up to `task.watch_examples` validation questions."""
        indices, max_questions = np.asarray(splits.get("val", ())), self._config.watch_examples
        if not max_questions or not len(indices):
            return None
        return SquadEvaluator(
            network, loader, examples.content, indices, max_questions, self.most_words
        )

    def inference(self, outputs: Any) -> Any:
        """Scores of each token as the first one of the answer, and as the last: (B, T, 2)."""
        return keras.layers.Activation("linear", dtype="float32", name="scores")(outputs)


def _among_places(targets: Any, outputs: Any) -> Any:
    """The scores of what may be in an answer, (B, T, 2); others are far below."""
    may_be = ops.expand_dims(ops.greater_equal(targets, PLAIN), -1)
    return ops.where(may_be, ops.cast(outputs, "float32"), _FAR)


def _one_hot(targets: Any) -> Any:
    """Where the first and the last token of an answer are, (B, T, 2) bool."""
    is_start = ops.logical_or(ops.equal(targets, START), ops.equal(targets, START + END))
    return ops.stack([is_start, ops.greater_equal(targets, END)], axis=-1)


class SpanAccuracy(keras.metrics.Mean):
    """The share of rows whose first and last token have the highest scores."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch of marks (B, T) and scores (B, T, 2)."""
        best = ops.argmax(_among_places(y_true, y_pred), axis=1)  # (B, 2)
        wanted = ops.argmax(ops.cast(_one_hot(y_true), "int32"), axis=1)
        super().update_state(ops.cast(ops.all(ops.equal(best, wanted), axis=-1), "float32"))


@dataclass(frozen=True)
class _Context:
    """A text as tokens.

    Attributes:
        spans: begin and end of each word in characters, (W, 2).
        tokens: (n,) int32.
        words: which word each token is of, (n,), not falling.
    """

    spans: np.ndarray
    tokens: np.ndarray
    words: np.ndarray

    def tokens_of(self, answers: Sequence[Span]) -> Span | None:
        """First and last token of the fewest words that hold the first answer.

        None without an answer, or where none of its words has a token.
        """
        if not answers:
            return None
        begin, end = answers[0]
        first = int(np.searchsorted(self.spans[:, 1], begin, side="right"))
        last = int(np.searchsorted(self.spans[:, 0], end, side="left")) - 1
        start = int(np.searchsorted(self.words, first, side="left"))
        stop = int(np.searchsorted(self.words, last, side="right")) - 1
        return (start, stop) if start <= stop else None


def _read(tokenizer: Tokenizer, texts: Sequence[str]) -> dict[str, _Context]:
    """Each different text once."""
    different = list(dict.fromkeys(texts))
    found: dict[str, _Context] = {}
    for start in range(0, len(different), _AT_ONCE):
        part = different[start : start + _AT_ONCE]
        spans = [word_alignment.split(each) for each in part]
        words = [word_alignment.spaced(*each) for each in zip(part, spans, strict=True)]
        for text, places, made in zip(
            part, spans, word_alignment.of_words(tokenizer, words), strict=True
        ):
            array = np.array(places, np.int64).reshape(-1, 2)
            found[text] = _Context(array, made.tokens, made.words)
    return found


class _Frame:
    """What stands around a window of a text.

    Args:
        tokenizer: the model's.
        is_causal: whether a token sees those before it only.
        max_length: most tokens of a row.
        config: how texts and questions are cut.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        is_causal: bool,
        max_length: int,
        config: QuestionAnsweringConfig,
    ) -> None:
        before, between, after = tokenizer.marks
        self._before, self._between = list(before), list(between)
        self._after = [*after, between[-1]] if is_causal else list(after)
        self._is_causal, self._length, self._config = is_causal, max_length, config

    def rows(
        self, question: np.ndarray, context: _Context, answer: Span | None
    ) -> list[np.ndarray]:
        """A question with each window of its text, (n, 3) int32 each.

        Args:
            question: its tokens.
            context: the text.
            answer: first and last token of the answer in the text.

        Raises:
            ConfigError: a window has no room.
        """
        ahead = [*self._before, *question[: self._config.max_question], *self._between]
        room = self._length - len(ahead) - len(self._after)
        if room < 1:
            least = self._length - room + 1
            raise ConfigError(
                received("model.max_length", self._length, f"{least} tokens or more"),
                f"A question alone has up to task.max_question={self._config.max_question}.",
            )
        step, rows, start = min(self._config.stride, room), [], 0
        while True:
            stop = min(start + room, len(context.tokens))
            rows.append(self._row(ahead, context, start, stop, answer))
            if stop == len(context.tokens):
                return rows
            start += step

    def _row(
        self, ahead: list[int], context: _Context, start: int, stop: int, answer: Span | None
    ) -> np.ndarray:
        row = np.full((len(ahead) + stop - start + len(self._after), 3), ELSEWHERE, np.int32)
        text = slice(len(ahead), len(ahead) + stop - start)
        row[: text.start, 0] = ahead
        row[text.stop :, 0] = self._after
        row[text, 0] = context.tokens[start:stop]
        row[text, 1] = context.words[start:stop]
        row[text, 2] = PLAIN
        nothing = len(row) - 1 if self._is_causal else 0
        row[nothing, 2] = PLAIN
        first, last = nothing, nothing
        if answer is not None and start <= answer[0] and answer[1] < stop:
            first, last = (text.start + each - start for each in answer)
        row[first, 2] += START
        row[last, 2] += END
        return row
