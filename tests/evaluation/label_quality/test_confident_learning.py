"""Confident learning against the definitions of its paper, written as plain loops."""

import numpy as np
import pytest

from fmkit.evaluation.label_quality import confident_learning


def drawn(seed, count=60, classes=4):
    draw = np.random.default_rng(seed)
    probabilities = draw.dirichlet(np.full(classes, 0.4), count)
    labels = np.array([draw.choice(classes, p=row) for row in probabilities])
    labels[labels == classes - 1] = 0 if seed == 2 else classes - 1  # a class without examples
    return labels, probabilities


def joint_by_loops(labels, probabilities):
    """Equations 1 and 2 of Northcutt et al. 2021."""
    classes = probabilities.shape[1]
    thresholds = []
    for j in range(classes):
        own = [row[j] for row, label in zip(probabilities, labels, strict=True) if label == j]
        thresholds.append(sum(own) / len(own) if own else float("inf"))
    joint = [[0] * classes for _ in range(classes)]
    for row, label in zip(probabilities, labels, strict=True):
        confident = [j for j in range(classes) if row[j] >= thresholds[j]]
        if confident:
            joint[label][max(confident, key=lambda j: row[j])] += 1
    return joint


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_confident_joint_is_that_of_the_paper(seed):
    labels, probabilities = drawn(seed)
    expected = joint_by_loops(labels, probabilities)
    joint = confident_learning.confident_joint(labels, probabilities)
    assert joint.tolist() == expected
    assert 0 < sum(map(sum, expected)) < len(labels)  # some are confidently of no class
    scaled = 0.0
    for i, row in enumerate(expected):
        if sum(row):
            scaled += (sum(row) - row[i]) / sum(row) * int((labels == i).sum())
    assert confident_learning.estimated_errors(labels, probabilities) == pytest.approx(scaled)


def test_a_small_matrix_by_hand():
    labels = np.array([0, 0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.4, 0.6]])
    assert confident_learning.thresholds(labels, probabilities) == pytest.approx([0.6, 0.65])
    confident = confident_learning.confident_classes(labels, probabilities)
    assert confident.tolist() == [0, 0, 1, 1, -1]
    assert confident_learning.confident_joint(labels, probabilities).tolist() == [[2, 1], [0, 1]]
    scores = confident_learning.label_error_scores(labels, probabilities)
    assert scores == pytest.approx([0.1, 0.2, 0.9, 0.3, 0.4])
