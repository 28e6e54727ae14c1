"""Clusters of features: a planted group is found, and shuffled errors show none."""

import numpy as np
import pytest
from scipy.stats import fisher_exact

from fmkit.core.errors import DataError
from fmkit.evaluation.scores import of_classes
from fmkit.evaluation.slices import clusters

NAMES = ["no", "yes"]
WIDTH = 24


def data_set(seed, count=1200, groups=6):
    """Features in groups, labels, which are wrong as often in all, and the groups."""
    random = np.random.default_rng(seed)
    group = random.integers(0, groups, count)
    centres = 4 * random.normal(size=(groups, WIDTH))
    features = centres[group] + random.normal(size=(count, WIDTH))
    return features, random.integers(0, 2, count), group, random


def class_scores(labels, is_wrong):
    predicted = np.where(is_wrong, 1 - labels, labels)
    probabilities = np.eye(2)[predicted] * 0.8 + 0.1
    columns = {f"probability_{name}": probabilities[:, k] for k, name in enumerate(NAMES)}
    ids = [f"row-{number}" for number in range(len(labels))]
    return of_classes({"id": ids, "label": [NAMES[label] for label in labels], **columns})


def test_a_planted_group_is_found_and_judged_on_the_other_half():
    features, labels, group, random = data_set(0)
    planted = group == 2
    scores = class_scores(labels, random.random(1200) < np.where(planted, 0.4, 0.1))
    result = clusters.diagnostics(scores, features, None, 50, 0)
    (worst,) = result.metrics["clusters"]["worse"]
    members = result.tables["cluster_members"]
    cluster = np.array(members["cluster"]) == worst["values"][0]
    tested = np.array(members["half"]) == "tested"
    assert members["id"] == scores.ids
    assert (cluster == planted).mean() > 0.99
    assert (worst["n"], tested.sum()) == ((cluster & tested).sum(), 600)
    wrong = ~scores.is_right
    assert worst["error"] == pytest.approx(wrong[cluster & tested].mean())
    counts = [[(wrong & tested & side).sum(), (~wrong & tested & side).sum()]
              for side in (cluster, ~cluster)]  # fmt: skip
    smallest = fisher_exact(counts, "greater").pvalue
    assert worst["p_value"] == pytest.approx(smallest * result.metrics["clusters"]["tested"])
    units = features / np.linalg.norm(features, axis=1)[:, None]
    centre = units[cluster].mean(axis=0)
    nearest = np.argsort(((units - centre) ** 2).sum(axis=1))[:30]
    assert {*worst["typical"].split("; ")} <= {scores.ids[row] for row in nearest}
    assert all(wrong[scores.ids.index(name)] for name in worst["typical_mistakes"].split("; "))


@pytest.mark.slow
def test_of_20_data_sets_without_such_a_group_at_most_one_shows_a_cluster():
    reported = 0
    for seed in range(20):
        features, labels, _, random = data_set(100 + seed, count=600)
        scores = class_scores(labels, random.random(600) < 0.2)
        result = clusters.diagnostics(scores, features, None, 0, seed)
        reported += bool(result.metrics["clusters"]["worse"])
    assert reported <= 1


def test_clusters_of_texts_are_named_by_their_words():
    features, labels, group, random = data_set(1, count=400, groups=2)
    subjects = np.array([["engine", "oil"], ["planet", "orbit"]])
    texts = [f"the {a} and the {b} of row {k}" for k, (a, b) in enumerate(subjects[group])]
    scores = class_scores(labels, random.random(400) < 0.2)
    table = clusters.diagnostics(scores, features, texts, 0, 0).tables["clusters"]
    named = {frozenset(words.split("; ")[:2]) for words in table["words"]}
    assert {frozenset(pair) for pair in subjects.tolist()} <= named or len(table["words"]) > 2
    assert all(set(words.split("; ")) & {*subjects.flat} for words in table["words"])
    counts = {"car": (6, 2), "the": (9, 9)}  # in the group, in the others
    rows = ["car the"] * 6 + ["the"] * 3 + ["car the"] * 2 + ["the"] * 7
    members = np.arange(len(rows)) < 9
    mean = (len(" ".join(rows).split())) / 2
    weights = {
        word: own * np.log(1 + mean / (own + other)) for word, (own, other) in counts.items()
    }
    assert clusters.telling_words(rows, members) == sorted(weights, key=weights.get, reverse=True)
    assert clusters.telling_words(["once"], np.array([True])) == []


def test_too_few_examples_are_refused():
    features, labels, _, _ = data_set(0, count=159)
    with pytest.raises(DataError, match="need 160 examples, and there are 159"):
        clusters.diagnostics(class_scores(labels, labels > 1), features, None, 0, 0)
