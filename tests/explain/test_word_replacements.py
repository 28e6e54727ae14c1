"""Words that take the place of others: scores against plain counts, and what is offered."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest

from fmkit.explain import text_changes, word_replacements
from fmkit.explain.answers import Answers
from fmkit.explain.marked_words import MarkedText, as_html
from fmkit.explain.smallest_change import search
from fmkit.explain.text_words import find_words
from fmkit.explain.word_replacements import Vocabulary

GOOD, BAD = "a good fine film", "a bad dull film"


class OneVectorAWord:
    """A network's embedding, in which `great` is near `bad` alone."""

    table = {"great": [1, 0.2], "good": [1, 0], "fine": [1, 0], "bad": [0.9, 0.1]}  # noqa: RUF012

    def __call__(self, words):
        return np.array([self.table.get(word.lower(), [0, 1]) for word in words], np.float32)


@pytest.fixture
def words(monkeypatch):
    monkeypatch.setattr(word_replacements, "_Embedding", lambda network: OneVectorAWord())
    texts = [GOOD] * 8 + [BAD] * 8 + ["a rare film"]
    labels = np.array([[True, False]] * 8 + [[False, True]] * 9)
    return word_replacements.count_words(texts, labels, None)


def test_scores_are_those_of_plain_counts(words):
    assert words.words == ["bad", "dull", "film", "fine", "good"]  # not what is in fewer than three
    with_word, without, others_with, others_without = 8.5, 0.5, 0.5, 9.5  # `good`, of 8 and of 9
    odds = math.log(with_word / without) - math.log(others_with / others_without)
    error = math.sqrt(sum(1 / n for n in (with_word, without, others_with, others_without)))
    assert words.scores[0][4] == pytest.approx(odds / error)
    assert words.scores[1] == pytest.approx(-words.scores[0])  # of two labels
    assert abs(words.scores[0][2]) < 2  # `film` says nothing


def test_words_of_the_other_answer_are_offered_the_nearest_first(words):
    offered = words.replacements("Great", [(1, 1), (0, -1)])
    assert [one.word for one in offered] == ["Bad", "Dull"]
    assert offered[0].similarity == pytest.approx(0.92 / math.hypot(1, 0.2) / math.hypot(0.9, 0.1))
    assert [one.word for one in words.replacements("bad", [(1, 1)])] == ["dull"]
    nothing = Vocabulary([], np.zeros((2, 0)), np.zeros((0, 2)), OneVectorAWord())
    assert nothing.replacements("great", [(1, 1)]) == []


def test_texts_without_a_word_often_enough_have_no_vocabulary():
    labels = np.array([[True], [False]])
    assert "no word" in word_replacements.count_words(["one", "two"], labels, None)


def test_edits_replace_and_leave_out():
    words = find_words(("I loved it, but no.", "Really good"))
    changed = words.edited({1: "hated", 4: None, 8: "bad"})
    assert changed == ("I hated it, no.", "Really bad")
    assert words.edited({4: None}) == words.without([4])
    text = MarkedText("x", "about", words, np.zeros(len(words)), [1, 4], replaced={1: "<hated>"})
    assert "[-loved-]{+<hated>+} it, [-but-] no." in text.as_rich().plain
    assert "<del>loved</del> <ins>&lt;hated&gt;</ins> it" in as_html(text.pieces())


@pytest.mark.parametrize("seed", range(6))
def test_of_changes_that_exclude_each_other_the_fewest_and_cheapest_are_found(seed):
    """Of a linear model, against all sets; three changes for each of five words."""
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(5), 3)
    gains, costs = random.uniform(0, 1, 15), random.uniform(0, 1, 15)

    def margins(sets):
        return np.array([1.3 - gains[sorted(one)].sum() for one in sets])

    change = search(15, margins, 5, groups.tolist(), costs.tolist())
    assert change.turned
    assert len(set(groups[list(change.parts)])) == len(change.parts)
    for size in range(1, 6):
        turning = [
            chosen
            for chosen in itertools.combinations(range(15), size)
            if len(set(groups[list(chosen)])) == size and margins([chosen])[0] < 0
        ]
        if turning:
            break
    assert len(change.parts) == size
    # A single change that turns it: the cheapest of all.
    doubled = search(15, lambda sets: margins(sets) - 0.8, 5, groups.tolist(), costs.tolist())
    alone = [k for k in range(15) if gains[k] > 0.5]
    assert doubled.parts == (min(alone, key=costs.__getitem__),)


class CountsWords:
    """A network of two classes: `good` speaks for the first, `bad` one and a half times as much."""

    def outputs(self, texts):
        counts = [[text.split().count(word) for word in ("good", "bad")] for (text,) in texts]
        return np.array(counts) * [1.0, 1.5]


def test_an_answer_that_no_removal_turns_is_turned_by_other_words(words, monkeypatch):
    answers = Answers(None, "classes", ("good", "bad"))
    names = ("good", "bad")
    monkeypatch.setattr(
        Answers, "in_words", lambda self, outputs: [names[k] for k in np.argmax(outputs, axis=1)]
    )
    text = find_words(["good good good"])
    outputs = text_changes._Outputs(CountsWords(), text)
    removals = [text_changes.Edit(position) for position in range(3)]
    chosen, figures = text_changes._fewest(answers, outputs, removals, 10, None)
    assert not figures["turned"]
    request = SimpleNamespace(target=None)
    order = [list(words.words).index(word) for word in names]
    assert order == [4, 0]
    others = text_changes._replacements(request, answers, outputs, removals, text, words)
    assert {edit.new for edit in others} == {"bad", "dull"}
    chosen, figures = text_changes._fewest(answers, outputs, [*removals, *others], 10, None)
    assert (figures["turned"], figures["becomes"]) == (True, "bad")
    assert text_changes._in_words(text, chosen) == "with 'bad' for 'good', without 'good'"
