"""Figures of tags and entities, against `conlleval` word by word, scikit-learn and seqeval."""

import numpy as np
import pytest
from conlleval import counts, f1
from sklearn.metrics import accuracy_score, f1_score

from fmkit.data.content import tags
from fmkit.evaluation.entity_metrics import compute_metrics

NAMES = tags.order_tags(
    ["O", *(f"{prefix}-{kind}" for kind in ("LOC", "PER") for prefix in "BIES")]
)
SPEECH = ("ADJ", "NOUN", "VERB")


def drawn(names, sentences=120, seed=0):
    chance = np.random.default_rng(seed)
    lengths = chance.integers(0, 12, sentences)
    truth = chance.integers(0, len(names), lengths.sum())
    guess = np.where(chance.random(len(truth)) < 0.8, truth,
                     chance.integers(0, len(names), len(truth)))  # fmt: skip
    return truth, guess, chance.uniform(0.05, 1, len(truth)), lengths


def names_of(values, lengths, names=NAMES):
    flat = [names[each] for each in values]
    ends = np.cumsum(lengths)
    return [flat[end - n : end] for end, n in zip(ends, lengths, strict=True)]


def test_entities_are_counted_as_by_conlleval():
    truth, guess, chances, lengths = drawn(NAMES)
    found = compute_metrics(truth, guess, chances, lengths, NAMES, bootstrap=0)
    reference = counts(names_of(truth, lengths), names_of(guess, lengths))
    for kind, row in reference.items():
        mine = found["per_entity"][kind]
        assert mine["support"] == row["there"]
        assert mine["precision"] == pytest.approx(row["right"] / row["found"])
        assert mine["recall"] == pytest.approx(row["right"] / row["there"])
        assert mine["f1"] == pytest.approx(f1(**row))
    total = {
        key: sum(row[key] for row in reference.values()) for key in ("right", "found", "there")
    }
    assert found["f1"] == pytest.approx(f1(**total))
    assert found["precision"] == pytest.approx(total["right"] / total["found"])
    assert found["recall"] == pytest.approx(total["right"] / total["there"])
    assert found["macro_f1"] == pytest.approx(np.mean([f1(**each) for each in reference.values()]))
    assert found["n"] == 120


def test_seqeval_says_the_same():
    seqeval = pytest.importorskip("seqeval.metrics")
    truth, guess, chances, lengths = drawn(NAMES, seed=1)
    found = compute_metrics(truth, guess, chances, lengths, NAMES, bootstrap=0)
    pair = names_of(truth, lengths), names_of(guess, lengths)
    assert found["f1"] == pytest.approx(seqeval.f1_score(*pair))
    assert found["macro_f1"] == pytest.approx(seqeval.f1_score(*pair, average="macro"))
    assert found["precision"] == pytest.approx(seqeval.precision_score(*pair))


@pytest.mark.parametrize("names", [NAMES, SPEECH])
def test_words_are_counted_as_by_scikit_learn(names):
    truth, guess, chances, lengths = drawn(names, seed=2)
    found = compute_metrics(truth, guess, chances, lengths, names, bootstrap=0)
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, guess))
    assert found["token_macro_f1"] == pytest.approx(f1_score(truth, guess, average="macro"))
    assert found["loss"] == pytest.approx(-np.log(chances).mean())
    assert found["words"] == len(truth)
    assert ("f1" in found) == ("per_entity" in found) == (names is NAMES)
    assert set(found["per_tag"]) == set(names)


def test_intervals_are_those_of_sentences_drawn_again():
    truth, guess, chances, lengths = drawn(NAMES, sentences=40)
    found = compute_metrics(truth, guess, chances, lengths, NAMES, bootstrap=300, seed=5)
    true, mine = names_of(truth, lengths), names_of(guess, lengths)
    values, chance = [], np.random.default_rng(5)
    for _ in range(300):
        chosen = chance.integers(0, 40, 40)
        row = counts([true[each] for each in chosen], [mine[each] for each in chosen]).values()
        values.append(f1(*(sum(each[key] for each in row) for key in ("right", "found", "there"))))
    assert found["intervals"]["f1"] == pytest.approx(np.percentile(values, [2.5, 97.5]).tolist())
    low, high = found["intervals"]["accuracy"]
    assert low < found["accuracy"] < high


def test_words_that_nothing_was_found_of_are_wrong_and_have_no_loss():
    truth, guess = np.array([0, 1, 2]), np.array([0, 1, -1])
    chances = np.array([0.5, 0.25, np.nan])
    found = compute_metrics(truth, guess, chances, np.array([3]), SPEECH, bootstrap=0)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["loss"] == pytest.approx(np.log([2, 4]).mean())
    assert found["per_tag"]["VERB"] == {
        "precision": 0.0,
        "recall": 0.0,
        "f1": 0.0,
        "support": 1,
        "predicted": 0,
    }


def test_without_any_entity_figures_are_0_and_not_missing():
    none = np.zeros(4, np.int64)
    found = compute_metrics(none, none, np.ones(4), np.array([4]), NAMES, bootstrap=10)
    assert (found["f1"], found["macro_f1"], found["accuracy"]) == (0.0, 0.0, 1.0)
    assert found["intervals"]["f1"] == [0.0, 0.975]  # exact, for a single sentence
