"""Curves over the threshold of a score: ROC, precision-recall, risk-coverage, and their areas.

One sort of a score gives both curves, both areas and the thresholds for a precision or a recall;
scikit-learn, with which the tests compare, would sort for each of them.

N examples, M different scores.
"""

from dataclasses import dataclass

import numpy as np

from fmkit.core.bootstrap import ratio

POINTS = 200
"""Of a curve in a file; areas are those of all its points."""


@dataclass(frozen=True)
class ThresholdCounts:
    """True and false positives where the examples with at least a threshold's score are selected.

    Attributes:
        thresholds: the scores that occur, descending, (M,).
        true_positives: positive examples selected, (M,) int64.
        false_positives: other examples selected, (M,) int64.
    """

    thresholds: np.ndarray
    true_positives: np.ndarray
    false_positives: np.ndarray

    @classmethod
    def of(cls, is_positive: np.ndarray, scores: np.ndarray) -> "ThresholdCounts":
        """Counts for scores (N,) of examples that are positive or not, (N,) bool."""
        order = np.argsort(-scores, kind="stable")
        descending = scores[order]
        last = np.flatnonzero(np.append(np.diff(descending) != 0, True))  # of equal scores
        true_positives = np.cumsum(is_positive[order], dtype=np.int64)[last]
        return cls(descending[last], true_positives, last + 1 - true_positives)

    @property
    def positives(self) -> int:
        """Positive examples."""
        return int(self.true_positives[-1])

    @property
    def negatives(self) -> int:
        """Other examples."""
        return int(self.false_positives[-1])

    @property
    def recall(self) -> np.ndarray:
        """Share of the positive examples that is selected, (M,); NaN where there are none."""
        return ratio(self.true_positives, self.positives)

    @property
    def precision(self) -> np.ndarray:
        """Share of the selected examples that is positive, (M,)."""
        return ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def roc_auc(self) -> float:
        """Area under the ROC curve; NaN where all examples are positive, or none."""
        true_positives = np.append(0, self.true_positives).astype(np.float64)
        area = np.trapezoid(true_positives, np.append(0, self.false_positives))
        return float(ratio(area, self.positives * self.negatives))

    @property
    def average_precision(self) -> float:
        """Precision at each threshold, weighted by the gain in recall; NaN without positives."""
        gains = np.diff(self.true_positives, prepend=0)
        return float(ratio((gains * self.precision).sum(), self.positives))

    def roc(self) -> dict[str, np.ndarray]:
        """Columns of the ROC curve from (0, 0) to (1, 1); the first point has no threshold."""
        false_rate = np.append(0.0, ratio(self.false_positives, self.negatives))
        true_rate = np.append(0.0, self.recall)
        rows = spread(false_rate + true_rate)
        return {
            "threshold": np.append(np.nan, self.thresholds)[rows],
            "false_positive_rate": false_rate[rows],
            "true_positive_rate": true_rate[rows],
        }

    def precision_recall(self) -> dict[str, np.ndarray]:
        """Columns of the precision-recall curve, by descending thresholds."""
        # Evenly by recall and by rank, so that a long tail of low precision has points, too.
        rows = spread(self.recall + np.linspace(0, 1, len(self.thresholds)))
        return {
            "threshold": self.thresholds[rows],
            "recall": self.recall[rows],
            "precision": self.precision[rows],
        }

    def threshold_for_precision(self, precision: float) -> float:
        """The lowest threshold with at least this precision; NaN: there is none."""
        rows = np.flatnonzero(self.precision >= precision)
        return float(self.thresholds[rows[-1]]) if len(rows) else float("nan")

    def threshold_for_recall(self, recall: float) -> float:
        """Of the thresholds with at least this recall the one with the highest precision."""
        rows = np.flatnonzero(self.recall >= recall)
        if not len(rows):
            return float("nan")
        return float(self.thresholds[rows[self.precision[rows].argmax()]])


def spread(along: np.ndarray) -> np.ndarray:
    """At most `POINTS` rows of a curve and both ends, evenly spaced by a rising coordinate (M,)."""
    if len(along) <= POINTS:
        return np.arange(len(along))
    positions = np.linspace(along[0], along[-1], POINTS)
    rows = np.searchsorted(along, positions)
    return np.unique(np.append(np.clip(rows, 0, len(along) - 1), [0, len(along) - 1]))


@dataclass(frozen=True)
class RiskCoverage:
    """Share of wrong predictions among those of at least some confidence.

    Geifman and El-Yaniv 2017, arXiv:1705.08500.

    Attributes:
        thresholds: the confidences that occur, descending, (M,).
        coverage: share of the examples that is at least as sure, (M,).
        risk: share of wrong predictions among these, (M,).
        area: the mean of the risk over coverages; equal confidences come together.
    """

    thresholds: np.ndarray
    coverage: np.ndarray
    risk: np.ndarray
    area: float

    @classmethod
    def of(cls, is_right: np.ndarray, confidence: np.ndarray) -> "RiskCoverage":
        """The curve of predictions that are right or not, (N,) bool, and their confidence (N,)."""
        counts = ThresholdCounts.of(np.asarray(is_right, bool), confidence)
        selected = counts.true_positives + counts.false_positives
        risk = counts.false_positives / selected
        sizes = np.diff(selected, prepend=0)
        area = float((sizes * risk).sum() / selected[-1])
        return cls(counts.thresholds, selected / selected[-1], risk, area)

    def columns(self) -> dict[str, np.ndarray]:
        """Columns of the curve, from the surest predictions to all."""
        rows = spread(self.coverage)
        return {
            "threshold": self.thresholds[rows],
            "coverage": self.coverage[rows],
            "risk": self.risk[rows],
        }
