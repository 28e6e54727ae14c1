"""How good predicted answers are, by the rules of SQuAD's own scripts.

Rajpurkar et al. 2016 and 2018, arXiv:1606.05250 and arXiv:1806.03822: answers are compared in lower
case, without punctuation, articles and doubled white space; `exact match` asks whether they are
equal, `F1` how many words they share, and of several accepted answers the best one counts. A
question without an answer is right when nothing is predicted.

Q questions.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_MARKS = str.maketrans("", "", string.punctuation)


def normalise_answer(text: str) -> str:
    """An answer as it is compared."""
    plain = text.lower().translate(_NO_MARKS)
    return " ".join(_ARTICLES.sub(" ", plain).split())


@dataclass(frozen=True)
class Scores:
    """How well each question was answered, were every one answered.

    Attributes:
        exact: 1 where the answer is right, (Q,).
        f1: from 0 to 1, (Q,).
        has_answer: whether there is a right one, (Q,) bool.
        is_given: whether the answer has any characters, (Q,) bool.
    """

    exact: np.ndarray
    f1: np.ndarray
    has_answer: np.ndarray
    is_given: np.ndarray

    @property
    def has_unanswerable(self) -> bool:
        """Whether some question has no answer."""
        return not bool(self.has_answer.all())


def score(answers: Sequence[str], accepted: Sequence[Sequence[str]]) -> Scores:
    """Compare answers with those that are accepted.

    Where some question has no answer the rules of SQuAD 2.0 hold, else those of 1.1. They differ in
    answers of which nothing is left, such as "The": in 2.0 such an accepted one does not count, and
    nothing shares all its words with nothing.

    Args:
        answers: one a question.
        accepted: of each question; empty where it has no answer.
    """
    two = any(not each for each in accepted)
    found = np.array(
        [_one(answer, those, two) for answer, those in zip(answers, accepted, strict=True)],
        np.float64,
    ).reshape(-1, 2)
    return Scores(
        found[:, 0],
        found[:, 1],
        np.array([bool(each) for each in accepted], bool),
        np.array([bool(each) for each in answers], bool),
    )


def _one(answer: str, accepted: Sequence[str], two: bool) -> tuple[float, float]:
    plain = normalise_answer(answer)
    rights = [normalise_answer(each) for each in accepted]
    if two:
        rights = [each for each in rights if each] or [""]
    exact = max(float(plain == right) for right in rights)
    return exact, max(_shared(plain.split(), right.split(), two) for right in rights)


def _shared(words: list[str], right: list[str], two: bool) -> float:
    """F1 of the words of two answers."""
    if two and not (words and right):
        return float(words == right)
    same = sum((Counter(words) & Counter(right)).values())
    return 2 * same / (len(words) + len(right)) if same else 0.0


def scores_at_threshold(scores: Scores, values: np.ndarray, is_null: np.ndarray) -> np.ndarray:
    """What questions score once some of them are left without an answer, (Q,).

    Args:
        scores: of the answers.
        values: `exact` or `f1` of them.
        is_null: which questions are left without an answer, (Q,) bool.
    """
    return np.where(is_null, (~scores.has_answer).astype(np.float64), values)


def best_threshold(
    scores: Scores, values: np.ndarray, null_scores: np.ndarray
) -> tuple[float, float]:
    """The threshold of null scores above which questions are best left without an answer.

    As in SQuAD 2.0's script, but that questions with the same null score are decided alike, as they
    would be.

    Args:
        scores: of the answers.
        values: `exact` or `f1` of them, whose mean is to be largest.
        null_scores: how much speaks for no answer, (Q,); finite.

    Returns:
        The mean, and the threshold; below all null scores where nothing is best answered.
    """
    order = np.argsort(null_scores, kind="stable")
    gains = np.where(scores.has_answer, values, -scores.is_given.astype(np.float64))[order]
    totals = (~scores.has_answer).sum() + np.concatenate([[0.0], np.cumsum(gains)])
    ranked = null_scores[order]
    may_end = np.concatenate([[True], ranked[1:] != ranked[:-1], [True]])
    best = int(np.argmax(np.where(may_end, totals, -np.inf)))
    threshold = ranked[best - 1] if best else ranked[0] - 1.0
    return float(totals[best] / len(order)), float(threshold)
