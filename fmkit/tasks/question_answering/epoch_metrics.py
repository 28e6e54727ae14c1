"""Exact match and F1 of the answers to validation questions, after each epoch of training."""

from __future__ import annotations

from typing import Any

import numpy as np

from fmkit.core.errors import NonFiniteError
from fmkit.data.loaders.text_loader import Encoded
from fmkit.data.stratify import sample_by_id
from fmkit.tasks.question_answering import span_search, squad_metrics
from fmkit.tasks.question_answering.span_search import BestAnswers
from fmkit.tasks.question_answering.squad_metrics import Scores

NAMES = ("exact_match", "f1")


def score_answers(answers: BestAnswers, content: Encoded) -> Scores:
    """Compare predicted answers with those that the examples accept."""
    return squad_metrics.score(
        answers.texts, span_search.accepted_answers(content, answers.positions)
    )


class SquadEvaluator:
    """Computes `exact_match` and `f1`; see `fmkit.tasks.base.EpochEvaluator`.

    With unanswerable questions, each is computed at its own best threshold, found on the same
    questions. The ids alone decide which questions are used, so that epochs and runs compare.

    Args:
        network: from tokens to scores.
        loader: batches of the rows.
        content: the rows.
        indices: rows of the validation split.
        max_questions: how many questions are used at most.
        max_words: of an answer.
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
        scores = score_answers(answers, self._content)
        exact, f1 = float(scores.exact.mean()), float(scores.f1.mean())
        if scores.has_unanswerable:
            exact, _ = squad_metrics.best_threshold(scores, scores.exact, answers.null_scores)
            f1, _ = squad_metrics.best_threshold(scores, scores.f1, answers.null_scores)
        return dict(zip(NAMES, (exact, f1), strict=True))
