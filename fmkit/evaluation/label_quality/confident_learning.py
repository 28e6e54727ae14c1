"""Confident learning: which given labels are likely wrong, by probabilities out of fold.

The method is that of Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in
Dataset Labels", JAIR 70 (2021), equations 1 and 2. The probability of an example's classes has to
come from a model that has not seen the example.

N examples, C classes.
"""

from __future__ import annotations

import numpy as np


def thresholds(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The mean probability of each class over the examples that are given it, (C,).

    It is infinite for a class that no example is given: nothing is confidently of that class.

    Args:
        labels: given classes, (N,) whole numbers below C.
        probabilities: out of fold, (N, C).
    """
    classes = probabilities.shape[1]
    counts = np.bincount(labels, minlength=classes)
    own = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
    sums = np.bincount(labels, weights=own, minlength=classes)
    return np.divide(sums, counts, out=np.full(classes, np.inf), where=counts > 0)


def confident_classes(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The class that each example is confidently of, (N,); -1 where it is of none.

    That is the most probable one of the classes whose probability reaches their threshold.

    Args:
        labels: given classes, (N,).
        probabilities: out of fold, (N, C).
    """
    is_confident = probabilities >= thresholds(labels, probabilities)
    best = np.where(is_confident, probabilities, -np.inf).argmax(axis=1)
    return np.where(is_confident.any(axis=1), best, -1)


def confident_joint(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """How many examples that are given class i are confidently of class j, (C, C) whole numbers."""
    classes = probabilities.shape[1]
    confident = confident_classes(labels, probabilities)
    is_counted = confident >= 0
    cells = labels[is_counted] * classes + confident[is_counted]
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def estimated_errors(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The estimated number of wrong labels, those that no single example shows included.

    It is N times what the joint distribution of given and true classes has off its diagonal, where
    each row of the confident joint is scaled to the number of examples that are given the class.
    """
    joint = confident_joint(labels, probabilities).astype(np.float64)
    counts = np.bincount(labels, minlength=len(joint))
    totals = joint.sum(axis=1)
    scale = np.divide(counts, totals, out=np.zeros(len(joint)), where=totals > 0)
    return float(((totals - np.diagonal(joint)) * scale).sum())


def label_error_scores(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The probability that the given label is wrong, (N,): 1 - self-confidence.

    Of the scores of Kuan and Mueller, "Model-agnostic label quality scoring to detect real-world
    label errors", ICML DataPerf 2022, this one found planted errors best: on mnist5k with 5% of the
    labels flipped its average precision was .94, that of the normalised margin .93, that of the
    confidence-weighted entropy .90. Of two classes all three give one order.
    """
    own = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
    return np.asarray(1.0 - own)
