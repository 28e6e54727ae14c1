"""Votes of the nearest neighbours, counted again in NumPy."""

import numpy as np
import pytest

from fmkit.data.stratify import sample_by_id
from fmkit.tasks.self_supervised import knn_accuracy


def counted(features, labels, queries, truth):
    """Each neighbour's vote, one by one."""
    right = 0
    for query, label in zip(queries, truth, strict=True):
        norms = np.linalg.norm(features, axis=1) * np.linalg.norm(query)
        similar = features @ query / norms
        votes = np.zeros(labels.max() + 1)
        for each in np.argsort(-similar)[: knn_accuracy.NEIGHBOURS]:
            votes[labels[each]] += np.exp(similar[each] / knn_accuracy.TEMPERATURE)
        right += votes.argmax() == label
    return right / len(queries)


@pytest.mark.parametrize("count", [7, 300])
def test_the_accuracy_is_that_of_weighted_votes(count):
    noise = np.random.default_rng(0)
    centres = noise.normal(0, 1, (4, 6))
    labels, truth = np.arange(count) % 4, np.arange(80) % 4
    features = centres[labels] + noise.normal(0, 1.2, (count, 6))
    queries = centres[truth] + noise.normal(0, 1.2, (80, 6))
    expected = counted(features, labels, queries, truth)
    assert 0.25 < expected < 1
    assert knn_accuracy.accuracy(features, labels, queries, truth) == pytest.approx(expected)


def test_who_votes_depends_on_ids_alone():
    ids = [f"photo-{each}" for each in range(100)]
    chosen = sample_by_id(tuple(ids), np.arange(100), 20, "neighbours")
    assert len(chosen) == 20
    turned = sample_by_id(tuple(ids[::-1]), np.arange(100), 20, "neighbours")
    assert sorted(99 - turned) == chosen.tolist()
    assert sample_by_id(tuple(ids), np.arange(5, 9), 20, "neighbours").tolist() == [5, 6, 7, 8]
