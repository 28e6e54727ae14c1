"""Exact match and F1 of answers after each epoch of training."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from fmkit.core.errors import NonFiniteError
from fmkit.data.loaders.token_rows import Encoded
from fmkit.data.stratify import hash_ranks
from fmkit.tasks.question_answering import span_search, squad_metrics
from fmkit.tasks.question_answering.span_search import BestAnswers
from fmkit.tasks.question_answering.squad_metrics import Scores

FIGURES = ("val_exact_match", "val_f1")
"""The names of the figures among those of an epoch."""


def scores_of(found: BestAnswers, content: Encoded) -> Scores:
    """How good answers are, by those that the examples have."""
    return squad_metrics.score(found.texts, span_search.accepted(content, found.places))


class AnswerFigures(keras.callbacks.Callback):
    """Adds `val_exact_match` and `val_f1` to an epoch's figures, where it is validated.

    With questions that have no answer, each is that of its own best threshold, found on the same
    questions. The weights are those that validation judges. Which questions are asked is decided by
    their ids alone, so that epochs and runs compare.

    Args:
        learner: from tokens to scores.
        loader: batches of the rows.
        content: the rows.
        indices: rows of the validation split.
        most: questions that are asked.
        most_words: of an answer.
    """

    def __init__(
        self,
        learner: Any,
        loader: Any,
        content: Encoded,
        indices: np.ndarray,
        most: int,
        most_words: int,
    ) -> None:
        super().__init__()
        self._scorer = span_search.scorer(learner, content)
        self._loader, self._content = loader, content
        self._most_words = most_words
        origin = content.origin[indices]
        asked = np.unique(origin)
        if len(asked) > most:
            rank = hash_ranks((content.source.ids[each] for each in asked), "answers")
            asked = asked[np.argsort(rank, kind="stable")[:most]]
        self._rows = indices[np.isin(origin, asked)]
        self._found: tuple[float, float] | None = None

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Ask while the weights are those that are judged."""
        self._scorer.jit_compile = self.model.jit_compile
        try:
            found = span_search.find(
                self._scorer, self._loader, self._content, self._rows, self._most_words
            )
        except NonFiniteError:
            self._found = (float("nan"), float("nan"))  # told with the rest of the epoch's figures
            return
        scores = scores_of(found, self._content)
        exact, f1 = float(scores.exact.mean()), float(scores.f1.mean())
        if scores.has_unanswerable:
            exact, _ = squad_metrics.best_threshold(scores, scores.exact, found.null_scores)
            f1, _ = squad_metrics.best_threshold(scores, scores.f1, found.null_scores)
        self._found = (exact, f1)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Hand the figures over."""
        if self._found is not None and logs is not None:
            logs.update(zip(FIGURES, self._found, strict=True))
        self._found = None
