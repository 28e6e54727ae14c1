"""Scores of answers, against the rules of SQuAD's scripts written out another way."""

import collections
import itertools
import string

import numpy as np
import pytest

from fmkit.tasks.question_answering import squad_metrics

TRICKY = [
    "", " ", "the", "The.", "a an the", "the cat", "cat", "CAT!", "cat's", "cats", "the  Cat\tsat",
    "cat sat", "sat cat cat", "$5", "5", "5.0", "50", "theatre", "another", "a-b", "A.B.", "ab",
    "«cat»", "Café", "cafe", "İstanbul", "in the end", "in end", "a\u00a0cat", "an  apple a day",
]  # fmt: skip


def plain(text):
    """Lower case; no ASCII punctuation; articles that are whole words go; single spaces."""
    letters = "".join(each for each in text.lower() if each not in set(string.punctuation))
    words, word = [], ""
    for each in [*letters, " "]:
        if each.isalnum() or each == "_":
            word += each
            continue
        words.append(" " if word in ("a", "an", "the") else word)
        words.append(each)
        word = ""
    return " ".join("".join(words).split())


def f1_of(one, other, version):
    left, right = plain(one).split(), plain(other).split()
    if version == 2 and (not left or not right):
        return int(left == right)
    rest, common = collections.Counter(right), 0
    for each in left:
        if rest[each]:
            rest[each] -= 1
            common += 1
    if not common:
        return 0.0
    precision, recall = common / len(left), common / len(right)
    return 2 * precision * recall / (precision + recall)


def reference(answer, accepted, version):
    if version == 2:
        accepted = [each for each in accepted if plain(each)] or [""]
    return (
        max(float(plain(answer) == plain(each)) for each in accepted),
        max(f1_of(answer, each, version) for each in accepted),
    )


def test_every_pair_scores_as_in_squad_1_1():
    pairs = [(one, other) for one in TRICKY for other in TRICKY if other.strip()]
    found = squad_metrics.score([one for one, _ in pairs], [[other] for _, other in pairs])
    wanted = np.array([reference(one, [other], 1) for one, other in pairs])
    np.testing.assert_allclose(found.exact, wanted[:, 0])
    np.testing.assert_allclose(found.f1, wanted[:, 1])
    assert not found.has_unanswerable


def test_every_pair_scores_as_in_squad_2_0():
    pairs = [*itertools.product(TRICKY, TRICKY)]
    accepted = [[each for each in (other, "an apple") if each.strip()] for _, other in pairs]
    accepted = [each if number % 3 else [] for number, each in enumerate(accepted)]
    found = squad_metrics.score([one for one, _ in pairs], accepted)
    wanted = np.array(
        [reference(one, two, 2) for (one, _), two in zip(pairs, accepted, strict=True)]
    )
    np.testing.assert_allclose(found.exact, wanted[:, 0])
    np.testing.assert_allclose(found.f1, wanted[:, 1])


def test_the_best_of_several_answers_counts():
    found = squad_metrics.score(["the cat sat"], [["dog", "cat", "cat sat"]])
    assert (found.exact[0], found.f1[0]) == (1.0, 1.0)


def by_trying(values, has_answer, given, nulls):
    """The best mean, every threshold tried."""
    best = -1.0
    for threshold in [nulls.min() - 1, *nulls]:
        scores = np.where(nulls > threshold, ~has_answer, np.where(has_answer, values, ~given))
        best = max(best, float(scores.mean()))
    return best


@pytest.mark.parametrize("seed", range(8))
def test_no_threshold_is_better_than_the_best(seed):
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 40))
    has_answer, given = random.random(count) < 0.6, random.random(count) < 0.9
    f1 = np.where(has_answer, random.random(count).round(1), ~given)
    nulls = random.normal(size=count).round(int(random.integers(0, 3)))  # some of them equal
    scores = squad_metrics.Scores(f1 == 1, f1, has_answer, given)
    best, threshold = squad_metrics.best_threshold(scores, f1, nulls)
    assert best == pytest.approx(by_trying(f1, has_answer, given, nulls))
    decided = squad_metrics.scores_at_threshold(scores, f1, nulls > threshold)
    assert decided.mean() == pytest.approx(best)


def test_nothing_is_answered_where_that_is_best():
    scores = squad_metrics.score(["x", "y"], [[], ["z"]])
    best, threshold = squad_metrics.best_threshold(scores, scores.f1, np.array([3.0, 1.0]))
    assert best == 0.5
    assert threshold < 1.0
