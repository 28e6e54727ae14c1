"""Evaluation of extractive question answering: the SQuAD score, and tables of answers.

Q questions.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fmkit.core import files
from fmkit.core.bootstrap import mean_intervals
from fmkit.evaluation.evaluator import EvaluationInputs, EvaluationResult
from fmkit.tasks.question_answering import span_search, squad_metrics
from fmkit.tasks.question_answering.span_search import BestAnswers

_EVEN = 0.0
"""The threshold at which no answer has to score higher than the best one: BERT's own."""


def evaluate(inputs: EvaluationInputs) -> EvaluationResult:
    """Exact match and F1 by SQuAD's rules, and a row for each question.

    With unanswerable questions, one is left without an answer where its null score is above a
    threshold: the one that gave validation its best F1, or 0 where none is known. The best that a
    threshold could reach on these questions is reported beside it, as SQuAD 2.0's script does.
    `unreachable` counts those that no prediction can answer exactly: see `rows.encode`.
    """
    content: Any = inputs.examples.content
    answers = _find_answers(inputs)
    accepted = span_search.accepted_answers(content, answers.positions)
    scores = squad_metrics.score(answers.texts, accepted)
    threshold = null_threshold(inputs.validation)
    best: dict[str, dict[str, float]] = {}
    if scores.has_unanswerable:
        for name, values in (("exact_match", scores.exact), ("f1", scores.f1)):
            value, own = squad_metrics.best_threshold(scores, values, answers.null_scores)
            best[name] = {"value": value, "null_threshold": own}
        if not inputs.validation:
            is_validation = inputs.validation is None
            threshold = best["f1"]["null_threshold"] if is_validation else _EVEN
    is_null = _is_null(answers, threshold)
    columns = {
        "exact_match": squad_metrics.scores_at_threshold(scores, scores.exact, is_null),
        "f1": squad_metrics.scores_at_threshold(scores, scores.f1, is_null),
    }
    metrics: dict[str, Any] = {
        "n": len(answers.positions),
        "loss": float(answers.losses.mean()),
        **_means(columns),
        "intervals": mean_intervals(columns, inputs.bootstrap, inputs.seed),
        "null_threshold": threshold,
        "unreachable": int(np.isin(answers.positions, inputs.task.unreachable).sum()),
    }
    if best:
        metrics |= {"best": best, "parts": _parts(columns, scores.has_answer)}
    positions = answers.positions.tolist()
    questions, _ = span_search.questions_and_texts(content)
    return files.nonfinite_to_none(metrics), {
        "id": [content.source.ids[position] for position in positions],
        "question": [questions[position] for position in positions],
        "answers": accepted,
        **prediction_columns(answers, threshold),
        **columns,
    }


def _means(columns: Mapping[str, np.ndarray]) -> dict[str, float]:
    means = np.stack(list(columns.values()), axis=1).mean(axis=0)
    return dict(zip(columns, means.tolist(), strict=True))


def _parts(columns: Mapping[str, np.ndarray], has_answer: np.ndarray) -> dict[str, Any]:
    """The metrics of questions with an answer, and of those without."""
    parts = {"with an answer": has_answer, "without": ~has_answer}
    return {
        part: {"n": int(used.sum()), **_means({key: columns[key][used] for key in columns})}
        for part, used in parts.items()
        if used.any()
    }


def predict(inputs: EvaluationInputs) -> dict[str, Any]:
    """Columns of the answers to questions without labels, in the order of the examples."""
    content: Any = inputs.examples.content
    answers, (questions, _) = _find_answers(inputs), span_search.questions_and_texts(content)
    return {
        "question": [questions[position] for position in answers.positions],
        **prediction_columns(answers, null_threshold(inputs.validation)),
    }


def prediction_columns(answers: BestAnswers, threshold: float | None) -> dict[str, Any]:
    """Each answer, its span in characters of the text, its confidence and its scores.

    Args:
        answers: the best answer of each question.
        threshold: of null scores, above which no answer is given: the span is -1 then. None: all
            are given.
    """
    is_null = _is_null(answers, threshold)
    texts = ["" if null else text for null, text in zip(is_null, answers.texts, strict=True)]
    return {
        "prediction": texts,
        "begin": np.where(is_null, -1, answers.spans[:, 0]),
        "end": np.where(is_null, -1, answers.spans[:, 1]),
        "confidence": np.where(is_null, answers.no_answer_confidence, answers.confidence),
        "score": answers.scores,
        "null_score": answers.null_scores,
    }


def null_threshold(validation: Mapping[str, Any] | None) -> float | None:
    """The threshold of null scores that validation found; None where every question has an answer,
    or validation reports none.

    Args:
        validation: its metrics.
    """
    threshold: Any = (validation or {}).get("null_threshold")
    is_number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
    return float(threshold) if is_number and math.isfinite(threshold) else None


def by_id(columns: Mapping[str, Any]) -> dict[str, str]:
    """Predictions by the question's id, as SQuAD's own scripts read them."""
    return dict(zip(columns["id"], columns["prediction"], strict=True))


def _is_null(answers: BestAnswers, threshold: float | None) -> np.ndarray:
    if threshold is None:
        return np.zeros(len(answers.positions), bool)
    return np.asarray(answers.null_scores > threshold)


def _find_answers(inputs: EvaluationInputs) -> BestAnswers:
    content: Any = inputs.examples.content
    scorer = span_search.build_scorer(inputs.model, content)
    return span_search.find_answers(
        scorer, inputs.loader, content, inputs.indices, inputs.task.max_answer_words,
        inputs.callbacks,
    )  # fmt: skip
