"""Labels that are likely wrong, and the hardest examples: what outputs out of fold say of labels.

Classes and each label of a set go through confident learning. Of numbers, the error out of fold is
compared with the errors of the others.

N examples, K outputs: classes, labels or numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import expit, log_softmax

from fmkit.data.examples import Examples
from fmkit.data.targets import LabelSets, Numbers, join_labels
from fmkit.evaluation.label_quality import confident_learning

COVERED = ("classes", "sets", "numbers")
"""Kinds of labels that are covered; tags of words, spans, boxes and texts are not."""

_MAX_ROBUST_Z = 3.5
"""Errors of numbers beyond this are outliers: Iglewicz and Hoaglin, "How to Detect and Handle
Outliers", 1993."""

_NORMAL_MAD = 0.6745  # median absolute deviation of a standard normal variable


@dataclass(frozen=True)
class Suspects:
    """What outputs out of fold say of the labels of N examples.

    Attributes:
        ids: of the examples.
        given: the labels as text, several joined by `|`.
        suggested: what they probably should be; the given ones where they seem right.
        probabilities: of what is suggested, out of fold, (N,); not a number for numbers.
        scores: (N,), higher where the label is more likely wrong.
        losses: out of fold, (N,): nats, or the absolute error of numbers in the user's units.
        is_likely: whether the label is likely wrong, (N,) bool.
        summary: counts and estimates over all, for a report.
    """

    ids: Sequence[str]
    given: list[str]
    suggested: list[str]
    probabilities: np.ndarray
    scores: np.ndarray
    losses: np.ndarray
    is_likely: np.ndarray
    summary: dict[str, Any] = field(default_factory=dict)

    def ranked(self) -> np.ndarray:
        """Positions of all examples, those that are likely wrong first, and by score, (N,)."""
        return np.lexsort((np.arange(len(self.scores)), -self.scores, ~self.is_likely))

    def likely(self) -> np.ndarray:
        """Positions of the examples whose label is likely wrong, by score."""
        return self.ranked()[: int(self.is_likely.sum())]

    def hardest(self, most: int) -> np.ndarray:
        """Positions of the examples with the highest loss whose labels seem right, (at most M,)."""
        order = np.argsort(-self.losses, kind="stable")
        return order[~self.is_likely[order]][:most]


def kind_of(examples: Examples) -> str:
    """`classes`, or the kind of the annotations; empty where examples have no labels."""
    if examples.annotations is not None:
        return examples.annotations.kind
    return "classes" if examples.classes else ""


def find(examples: Examples, outputs: np.ndarray) -> Suspects:
    """Find what is likely wrong.

    Args:
        examples: with labels of a covered kind.
        outputs: of heads that have not seen the example: logits, or numbers in the user's units,
            (N, K).
    """
    annotations = examples.annotations
    if isinstance(annotations, LabelSets):
        return _of_sets(examples.ids, annotations, outputs)
    if isinstance(annotations, Numbers):
        return _of_numbers(examples.ids, annotations, outputs)
    return _of_classes(examples, outputs)


def _of_classes(examples: Examples, outputs: np.ndarray) -> Suspects:
    log_probabilities = log_softmax(outputs.astype(np.float64), axis=1)
    probabilities, labels = np.exp(log_probabilities), examples.labels.astype(np.int64)
    confident = confident_learning.confident_classes(labels, probabilities)
    is_likely = (confident >= 0) & (confident != labels)
    suggested = np.where(is_likely, confident, labels)
    rows = np.arange(len(labels))
    names = examples.classes
    return Suspects(
        examples.ids,
        [names[label] for label in labels],
        [names[label] for label in suggested],
        probabilities[rows, suggested],
        confident_learning.label_error_scores(labels, probabilities),
        -log_probabilities[rows, labels],
        is_likely,
        _summary(is_likely, confident_learning.estimated_errors(labels, probabilities)),
    )


def _of_sets(ids: Sequence[str], annotations: LabelSets, outputs: np.ndarray) -> Suspects:
    """Each label is a question of its own, with two classes; an example is as bad as its worst."""
    given = annotations.indicators
    present = expit(outputs.astype(np.float64))
    is_likely, scores = np.zeros(given.shape, bool), np.zeros(given.shape)
    estimate = 0.0
    for k in range(given.shape[1]):
        labels = given[:, k].astype(np.int64)
        probabilities = np.stack([1.0 - present[:, k], present[:, k]], axis=1)
        confident = confident_learning.confident_classes(labels, probabilities)
        is_likely[:, k] = (confident >= 0) & (confident != labels)
        scores[:, k] = confident_learning.label_error_scores(labels, probabilities)
        estimate += confident_learning.estimated_errors(labels, probabilities)
    suggested, any_likely = given ^ is_likely, np.logical_or.reduce(is_likely, axis=1)
    of_suggested = np.where(suggested, present, 1.0 - present)
    changed = np.where(any_likely[:, None], is_likely, True)
    losses = np.logaddexp(0.0, np.where(given, -outputs, outputs)).mean(axis=1)
    return Suspects(
        ids,
        join_labels(annotations.names, given),
        join_labels(annotations.names, suggested),
        np.where(changed, of_suggested, 1.0).min(axis=1),
        scores.max(axis=1),
        losses,
        any_likely,
        {**_summary(any_likely, estimate), "likely_wrong_labels": int(is_likely.sum())},
    )


def _of_numbers(ids: Sequence[str], annotations: Numbers, outputs: np.ndarray) -> Suspects:
    """The score is the largest robust z-score of an example's errors; see `_MAX_ROBUST_Z`."""
    errors = annotations.values - outputs
    centred: np.ndarray = errors - np.median(errors, axis=0)
    deviations = np.median(np.abs(centred), axis=0) / _NORMAL_MAD
    scores = np.abs(centred) / np.where(deviations > 0, deviations, np.inf)
    is_wrong: np.ndarray = scores > _MAX_ROBUST_Z
    is_likely = np.logical_or.reduce(is_wrong, axis=1)
    suggested = np.where(is_wrong, outputs, annotations.values)
    return Suspects(
        ids,
        _texts(annotations.values),
        _texts(suggested),
        np.full(len(errors), np.nan),
        scores.max(axis=1),
        np.abs(errors).mean(axis=1),
        is_likely,
        _summary(is_likely, None),
    )


def _texts(values: np.ndarray) -> list[str]:
    return ["|".join(f"{value:.6g}" for value in row) for row in values]


def _summary(is_likely: np.ndarray, estimate: float | None) -> dict[str, Any]:
    return {
        "examples": len(is_likely),
        "likely_wrong": int(is_likely.sum()),
        "estimated_wrong": None if estimate is None else round(estimate, 1),
    }
