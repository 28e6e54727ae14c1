"""Answers to questions on texts: how good they are, and tables of them.

Q questions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fmkit.core import files
from fmkit.data.loaders.token_rows import Encoded
from fmkit.evaluation.bootstrap import mean_intervals
from fmkit.evaluation.evaluator import EvaluationInputs, EvaluationResult
from fmkit.tasks.question_answering import span_search, squad_metrics
from fmkit.tasks.question_answering.epoch_metrics import score_answers
from fmkit.tasks.question_answering.span_search import BestAnswers

_EVEN = 0.0
"""The threshold at which no answer has to score higher than the best one: BERT's own."""


def evaluate(question: EvaluationInputs) -> EvaluationResult:
    """Exact match and F1 by SQuAD's rules, and a row a question.

    With questions that have no answer, one is left without where its null score is above a
    threshold: the one that gave validation its best F1, or 0 where nothing is known of one. What
    could at best be had here is told beside it, as SQuAD 2.0's script does.
    """
    content, found = _encoded(question), _found(question)
    scores = score_answers(found, content)
    figures: dict[str, Any] = {"n": len(found.places), "loss": float(found.losses.mean())}
    best = {}
    if scores.has_unanswerable:
        for name, values in (("exact_match", scores.exact), ("f1", scores.f1)):
            value, at = squad_metrics.best_threshold(scores, values, found.null_scores)
            best[name] = {"value": value, "null_threshold": at}
    threshold = null_threshold(question.validation)
    if best and not question.validation:
        is_validation = question.validation is None
        threshold = best["f1"]["null_threshold"] if is_validation else _EVEN
    is_null = _is_null(found, threshold)
    columns = np.stack(
        [
            squad_metrics.scores_at_threshold(scores, each, is_null)
            for each in (scores.exact, scores.f1)
        ],
        axis=1,
    )
    names = ("exact_match", "f1")
    figures |= dict(zip(names, map(float, columns.mean(axis=0)), strict=True))
    figures["intervals"] = mean_intervals(
        dict(zip(names, columns.T, strict=True)), question.bootstrap, question.seed
    )
    figures["null_threshold"] = threshold
    if best:
        figures["best"] = best
        kinds = {"with an answer": scores.has_answer, "without": ~scores.has_answer}
        figures["parts"] = {
            kind: {"n": int(chosen.sum()),
                   **dict(zip(names, map(float, columns[chosen].mean(axis=0)), strict=True))}
            for kind, chosen in kinds.items() if chosen.any()
        }  # fmt: skip
    places, (questions, _) = found.places.tolist(), span_search.asked(content)
    return files.nonfinite_to_none(figures), {
        "id": [content.source.ids[each] for each in places],
        "question": [questions[each] for each in places],
        "answers": span_search.accepted(content, found.places),
        **columns_of(found, threshold),
        "exact_match": columns[:, 0],
        "f1": columns[:, 1],
    }


def predict(question: EvaluationInputs) -> dict[str, Any]:
    """Columns of the answers to questions of which none is known, in the order of the examples."""
    found, (questions, _) = _found(question), span_search.asked(_encoded(question))
    asked = [questions[each] for each in found.places]
    return {"question": asked, **columns_of(found, null_threshold(question.validation))}


def columns_of(found: BestAnswers, threshold: float | None) -> dict[str, Any]:
    """What a table says of each answer; `begin` and `end`, in characters of the text, are -1 where
    none is given.

    Args:
        found: the answers.
        threshold: of null scores, above which none is given; None: all are.
    """
    is_null = _is_null(found, threshold)
    texts = ["" if null else text for null, text in zip(is_null, found.texts, strict=True)]
    return {
        "prediction": texts,
        "begin": np.where(is_null, -1, found.spans[:, 0]),
        "end": np.where(is_null, -1, found.spans[:, 1]),
        "confidence": np.where(is_null, found.null_confidence, found.confidence),
        "score": found.scores,
        "null_score": found.null_scores,
    }


def null_threshold(validation: Mapping[str, Any] | None) -> float | None:
    """The threshold of null scores that a validation found; None where every question has an
    answer, or nothing is known.

    Args:
        validation: its figures.
    """
    found: Any = (validation or {}).get("null_threshold")
    is_number = isinstance(found, int | float) and not isinstance(found, bool)
    return float(found) if is_number and math.isfinite(found) else None


def by_id(columns: Mapping[str, Any]) -> dict[str, str]:
    """Predictions by the question's id, as SQuAD's own scripts read them."""
    return dict(zip(columns["id"], columns["prediction"], strict=True))


def _is_null(found: BestAnswers, threshold: float | None) -> np.ndarray:
    if threshold is None:
        return np.zeros(len(found.places), bool)
    return np.asarray(found.null_scores > threshold)


def _encoded(question: EvaluationInputs) -> Encoded:
    content = question.examples.content
    if not isinstance(content, Encoded):
        raise TypeError("rows of questions are expected")
    return content


def _found(question: EvaluationInputs) -> BestAnswers:
    content = _encoded(question)
    return span_search.find(
        span_search.scorer(question.learner, content),
        question.loader,
        content,
        question.indices,
        question.task.most_words,
    )
