"""The SQuAD score: exact match and F1 of predicted answers, by the rules of SQuAD's own scripts.

Rajpurkar et al. 2016 and 2018, arXiv:1606.05250 and arXiv:1806.03822: answers are compared in lower
case, without punctuation, articles and repeated white space. Exact match asks whether they are
equal, F1 how many words they share, and of several accepted answers the best one counts. A
question without an answer is right when nothing is predicted.

Q questions.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_REMOVE_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise_answer(text: str) -> str:
    """An answer as it is compared."""
    plain = text.lower().translate(_REMOVE_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", plain).split())


@dataclass(frozen=True)
class Scores:
    """How well each question was answered, if every question is given its answer.

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
    """Compare answers with the accepted ones.

    Where some question has no answer the rules of SQuAD 2.0 apply, else those of 1.1. They differ
    in answers of which nothing is left, such as "The": in 2.0 such an accepted answer does not
    count, and nothing shares all its words with nothing.

    Args:
        answers: one for each question.
        accepted: of each question; empty where it has no answer.
    """
    is_version_2 = any(not texts for texts in accepted)
    scores = np.zeros((len(answers), 2))
    for row, answer, texts in zip(scores, answers, accepted, strict=True):
        plain, references = normalise_answer(answer), list(map(normalise_answer, texts))
        if is_version_2:
            references = [text for text in references if text] or [""]
        row[0] = max(plain == text for text in references)
        row[1] = max(_word_f1(plain.split(), text.split(), is_version_2) for text in references)
    has_answer, is_given = (np.array(list(map(bool, texts)), bool) for texts in (accepted, answers))
    return Scores(scores[:, 0], scores[:, 1], has_answer, is_given)


def _word_f1(words: list[str], reference: list[str], is_version_2: bool) -> float:
    if is_version_2 and not (words and reference):
        return float(words == reference)
    shared = sum((Counter(words) & Counter(reference)).values())
    return 2 * shared / (len(words) + len(reference)) if shared else 0.0


def scores_at_threshold(scores: Scores, values: np.ndarray, is_null: np.ndarray) -> np.ndarray:
    """What questions score if some of them are left without an answer, (Q,).

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

    As in SQuAD 2.0's script, except that questions with the same null score are decided alike, as
    a threshold would.

    Args:
        scores: of the answers.
        values: `exact` or `f1` of them, whose mean is to be largest.
        null_scores: how much higher no answer scores, (Q,); finite.

    Returns:
        The mean, and the threshold; below all null scores where no answer is best for all.
    """
    order = np.argsort(null_scores, kind="stable")
    gains = np.where(scores.has_answer, values, -scores.is_given.astype(np.float64))[order]
    totals = (~scores.has_answer).sum() + np.concatenate([[0.0], np.cumsum(gains)])
    ranked = null_scores[order]
    may_end = np.concatenate([[True], ranked[1:] != ranked[:-1], [True]])
    best = int(np.argmax(np.where(may_end, totals, -np.inf)))
    threshold = ranked[best - 1] if best else ranked[0] - 1.0
    return float(totals[best] / len(order)), float(threshold)
