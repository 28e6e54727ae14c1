"""Extractive question answering: the part of a text that answers a question.

As BERT for SQuAD (Devlin et al. 2018, arXiv:1810.04805, section 4.2 and 4.3): every token of the
text has a score as the first one of the answer and one as the last; a special token of the row
stands for no answer. Texts that are too long are read in windows that overlap.

B batch, T tokens of a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import QuestionAnsweringConfig
from fmkit.core.errors import ConfigError, NonFiniteError, plural
from fmkit.core.types import DataSpec, Tokenizer
from fmkit.data.content.answer_spans import AnswerSpans
from fmkit.data.examples import Examples
from fmkit.data.loaders.text_loader import Encoded
from fmkit.data.stratify import sample_by_id
from fmkit.models.backbone import Backbone
from fmkit.models.keras_internals import scale_loss_for_distribution
from fmkit.tasks.base import Batch, Rows, Task
from fmkit.tasks.language import token_losses
from fmkit.tasks.question_answering import rows, span_search, squad_metrics
from fmkit.tasks.question_answering.rows import END, IN_TEXT, START

NAMES = ("exact_match", "f1")
"""Metrics of an epoch."""

_MASKED = -1e9
"""The score of tokens that cannot be in an answer."""


class QuestionAnswering(Task):
    """First and last token of an answer are predicted.

    Rows are those of `rows`. Targets are marks (B, T), outputs are scores (B, T, 2).

    Raises:
        ConfigError: the data has no answers.
    """

    name = "question_answering"
    input_format = "rows"
    epoch_metrics = NAMES
    unreachable: np.ndarray
    """Positions of the questions that no prediction can hit; set by `encode_rows`."""

    def __init__(self, config: QuestionAnsweringConfig, spec: DataSpec) -> None:
        if spec.annotations != AnswerSpans.kind:
            raise ConfigError(
                f"task.name={config.name} finds answers in texts, and the data has none.",
                "Take data=squad.",
            )
        if config.monitor.removeprefix("val_") in NAMES and not config.watch_examples:
            raise ConfigError(
                f"task.monitor={config.monitor} is computed on task.watch_examples questions, and "
                "task.watch_examples is 0.",
                "Take task.monitor=val_loss, or set task.watch_examples.",
            )
        super().__init__(config, spec)
        self.max_answer_words = config.max_answer
        self._is_causal: bool | None = None

    def encode_rows(self, examples: Examples, tokenizer: Tokenizer, max_length: int) -> Rows:
        """Questions with windows of their texts; see `rows.encode`."""
        if self._is_causal is None:
            raise RuntimeError("call `head` first: it knows the backbone")
        made, self.unreachable = rows.encode(
            examples, tokenizer, self._is_causal, max_length, self.config
        )
        self.row_findings = _describe_unreachable(examples, self.unreachable)
        return made

    def prepare_batch(self, tokens: np.ndarray, random: np.random.Generator) -> Batch:
        """Rows (B, T, 5) -> ((tokens (B, T),), marks (B, T) int32)."""
        columns = (np.ascontiguousarray(tokens[:, :, column]) for column in (rows.TOKEN, rows.MARK))
        first, marks = columns
        return (first,), marks

    def head(self, backbone: Backbone, config: ModelConfig) -> Any:
        """Dropout and a dense layer at each token: scores (B, T, 2), float32.

        Raises:
            ConfigError: the backbone does not read texts, or its tokenizer has no separator.
        """
        token_losses.require_text(self.config.name, backbone)
        tokenizer = backbone.tokenizer
        if tokenizer is None or not tokenizer.special_tokens[1]:
            raise ConfigError(
                f"task.name={self.name}: the tokenizer of model.name={backbone.name} has no token "
                "that separates a question from a text.",
                "Take another model, such as model=minilm or model=small_bert.",
            )
        self._is_causal = backbone.is_causal
        x = backbone.model.output
        if config.dropout:
            x = keras.layers.Dropout(config.dropout, name="head_dropout")(x)
        dense = keras.layers.Dense(2, kernel_initializer="zeros", dtype="float32", name="logits")
        return dense(x)

    def loss(self, targets: Any, outputs: Any, weights: Any, training: bool) -> Any:
        """Mean over the rows of the cross-entropy of the first and of the last token, in nats."""
        log_probabilities = ops.log_softmax(_mask_scores(targets, outputs), axis=1)
        right = _one_hot(targets)
        sums = ops.sum(ops.where(right, log_probabilities, 0.0), axis=(1, 2))  # (B,)
        return scale_loss_for_distribution(-ops.mean(sums) / 2.0)

    def metrics(self) -> list[Any]:
        """Accuracy: the share of rows whose first and last token are both right."""
        return [SpanAccuracy(name="accuracy")]

    def epoch_evaluator(
        self, network: Any, loader: Any, examples: Any, splits: Mapping[str, np.ndarray]
    ) -> SquadEvaluator | None:
        """Exact match and F1 of up to `task.watch_examples` validation questions."""
        indices, max_questions = np.asarray(splits.get("val", ())), self.config.watch_examples
        if not max_questions or not len(indices):
            return None
        return SquadEvaluator(
            network, loader, examples.content, indices, max_questions, self.max_answer_words
        )

    def inference(self, outputs: Any) -> Any:
        """Scores of each token as the first one of the answer, and as the last: (B, T, 2)."""
        return keras.layers.Activation("linear", dtype="float32", name="scores")(outputs)


def _describe_unreachable(examples: Examples, unreachable: np.ndarray) -> tuple[str, ...]:
    """How many questions no prediction can answer exactly, or nothing."""
    content: Any = examples.content
    annotations = examples.annotations
    if not len(unreachable) or not isinstance(annotations, AnswerSpans):
        return ()
    first = int(unreachable[0])
    begin, end = annotations.spans[first][0]
    text = content.pairs[first][begin : min(end, begin + 40)]
    answered = sum(bool(spans) for spans in annotations.spans)
    return (
        f"{len(unreachable):,} of {plural(answered, 'question')} with an answer cannot be answered "
        f"exactly: the answer ends inside a token of this model or is longer than a window or "
        f"task.max_answer; the first is {text!r} of {examples.ids[first]}",
    )


def _mask_scores(targets: Any, outputs: Any) -> Any:
    """Scores (B, T, 2), far below others where a token cannot be in an answer."""
    is_candidate = ops.expand_dims(ops.greater_equal(targets, IN_TEXT), -1)
    return ops.where(is_candidate, ops.cast(outputs, "float32"), _MASKED)


def _one_hot(targets: Any) -> Any:
    """Where the first and the last token of an answer are, (B, T, 2) bool."""
    is_start = ops.logical_or(ops.equal(targets, START), ops.equal(targets, START + END))
    return ops.stack([is_start, ops.greater_equal(targets, END)], axis=-1)


class SpanAccuracy(keras.metrics.Mean):
    """The share of rows whose first and last token have the highest scores."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch of marks (B, T) and scores (B, T, 2)."""
        predicted = ops.argmax(_mask_scores(y_true, y_pred), axis=1)  # (B, 2)
        right = ops.argmax(ops.cast(_one_hot(y_true), "int32"), axis=1)
        super().update_state(ops.cast(ops.all(ops.equal(predicted, right), axis=-1), "float32"))


class SquadEvaluator:
    """Computes `exact_match` and `f1`; see `fmkit.tasks.base.EpochEvaluator`.

    With unanswerable questions, each is computed at its own best threshold on the same questions.
    The ids alone decide which `max_questions` are used, so that epochs and runs compare.
    """

    def __init__(
        self,
        network: Any,
        loader: Any,
        content: Encoded,
        indices: np.ndarray,
        max_questions: int,
        max_words: int,
    ) -> None:
        # Built once: a scorer for each epoch would be traced and compiled anew.
        self._scorer = span_search.build_scorer(network, content)
        self._loader, self._content, self._max_words = loader, content, max_words
        origin = content.origin[indices]
        ids = content.source.ids
        questions = sample_by_id(ids, np.unique(origin), max_questions, "answers")
        self._rows = indices[np.isin(origin, questions)]

    def __call__(self, jit_compile: Any) -> dict[str, float]:
        """Both metrics with the weights as they are now; NaN where the scores are not finite."""
        self._scorer.jit_compile = jit_compile
        try:
            answers = span_search.find_answers(
                self._scorer, self._loader, self._content, self._rows, self._max_words
            )
        except NonFiniteError:  # the run reports it with the other metrics of the epoch
            return dict.fromkeys(NAMES, float("nan"))
        scores = squad_metrics.score(
            answers.texts, span_search.accepted_answers(self._content, answers.positions)
        )
        exact, f1 = float(scores.exact.mean()), float(scores.f1.mean())
        if scores.has_unanswerable:
            exact, _ = squad_metrics.best_threshold(scores, scores.exact, answers.null_scores)
            f1, _ = squad_metrics.best_threshold(scores, scores.f1, answers.null_scores)
        return dict(zip(NAMES, (exact, f1), strict=True))
