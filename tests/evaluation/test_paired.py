"""Two runs on the same examples: intervals, McNemar's test and disagreements."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import f1_score

from fmkit.core.errors import DataError
from fmkit.evaluation import classification, paired, regression
from fmkit.evaluation.scores import of_answers, of_classes, of_numbers, of_tags

NAMES = ["a", "b", "c"]


def class_tables(count=300, seed=0):
    """Tables of two classifiers of which the second is better, and their labels and predictions."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    shared = rng.normal(size=(count, 3))
    tables, predicted = [], []
    for skill in (0.8, 1.6):
        logits = shared + 0.5 * rng.normal(size=(count, 3))
        logits[np.arange(count), labels] += skill
        weights = np.exp(logits)
        columns = classification.prediction_columns(weights / weights.sum(1, keepdims=True), NAMES)
        ids = [f"row-{number}" for number in range(count)]
        tables.append({"id": ids, "label": [NAMES[label] for label in labels], **columns})
        predicted.append(logits.argmax(axis=1))
    return *tables, labels, predicted


def test_differences_and_their_intervals_by_a_plain_loop():
    first, second, labels, predicted = class_tables()
    result = paired.compare(of_classes, first, second, seed=5)
    rows = {row["key"]: row for row in result["metrics"]}

    def f1(side, rows):
        return f1_score(labels[rows], predicted[side][rows], average="macro")

    everything = np.arange(300)
    assert rows["macro_f1"]["second"] == pytest.approx(f1(1, everything))
    expected = f1(1, everything) - f1(0, everything)
    assert rows["macro_f1"]["difference"] == pytest.approx(expected)
    rng, drawn = np.random.default_rng(5), []
    for _ in range(paired.RESAMPLES):
        sampled = rng.integers(0, 300, 300)
        is_right = [predicted[side][sampled] == labels[sampled] for side in (0, 1)]
        drawn.append(is_right[1].mean() - is_right[0].mean())
    np.testing.assert_allclose(rows["accuracy"]["interval"], np.percentile(drawn, (2.5, 97.5)))
    assert rows["accuracy"]["interval"][0] > 0


def test_mcnemar_agrees_with_scipy():
    rng = np.random.default_rng(1)
    for count in (1, 30, 400):
        first, second = rng.random((2, count)) < [[0.6], [0.75]]
        result = paired.mcnemar(first, second)
        only = result["only_first_right"], result["only_second_right"]
        assert only == ((first & ~second).sum(), (~first & second).sum())
        if sum(only):
            expected = binomtest(only[0], sum(only)).pvalue
            assert result["p_value"] == pytest.approx(expected)
    assert paired.mcnemar(first, first)["p_value"] == 1


def test_only_shared_examples_count_in_whatever_order():
    first, second, labels, predicted = class_tables()
    order = np.random.default_rng(2).permutation(300)[:200]
    second = {name: [values[row] for row in order] for name, values in second.items()}
    result = paired.compare(of_classes, first, second)
    assert [result[key] for key in ("n", "only_first", "only_second")] == [200, 100, 0]
    accuracy = result["metrics"][0]
    assert accuracy["first"] == pytest.approx((predicted[0] == labels)[order].mean())
    assert accuracy["second"] == pytest.approx((predicted[1] == labels)[order].mean())


def test_disagreements_have_the_new_mistakes_first():
    first, second, labels, predicted = class_tables()
    rows = paired.compare(of_classes, first, second)["disagreements"]
    assert len(rows) == (predicted[0] != predicted[1]).sum()
    better = [row["better"] for row in rows]
    assert better == sorted(better, key=["first", "neither", "second"].index)
    number = int(rows[0]["id"].removeprefix("row-"))
    assert rows[0]["label"] == rows[0]["first"] == NAMES[labels[number]]
    assert rows[0]["second"] == NAMES[predicted[1][number]] != rows[0]["label"]


def test_ids_that_coincide_by_chance_are_not_compared():
    first, second, *_ = class_tables()
    second = {**second, "label": [NAMES[(NAMES.index(name) + 1) % 3] for name in second["label"]]}
    with pytest.raises(DataError, match="300 of 300 examples with the same id have another label"):
        paired.compare(of_classes, first, second)
    with pytest.raises(DataError, match="different examples"):
        paired.compare(of_classes, first, {**first, "id": [f"x{name}" for name in first["id"]]})


def test_a_class_that_only_one_run_knows():
    first, second, *_ = class_tables()
    second = {**second, "probability_d": np.zeros(300)}
    plain = paired.compare(of_classes, first, second)["metrics"]
    assert {row["key"]: row["difference"] for row in plain}["accuracy"] > 0


def test_numbers():
    rng = np.random.default_rng(3)
    truth = rng.normal(50, 10, (80, 2))
    ids = [str(number) for number in range(80)]
    tables = [
        {
            "id": ids,
            **regression._columns("label", truth, ("x", "y")),
            **regression._columns("prediction", truth + rng.normal(0, noise, (80, 2)), ("x", "y")),
        }
        for noise in (3.0, 1.0)
    ]
    result = paired.compare(of_numbers, *tables)
    mae = [
        np.mean([np.abs(table[f"label_{n}"] - table[f"prediction_{n}"]).mean() for n in "xy"])
        for table in tables
    ]
    row = result["metrics"][0]
    assert (row["key"], row["first"], row["second"]) == ("mae", *map(pytest.approx, mae))
    assert result["mcnemar"] is None


def test_tags_are_compared_by_sentence():
    table = {
        "id": ["s1", "s1", "s2", "s2", "s2"], "place": [0, 1, 0, 1, 2],
        "label": ["B-X", "O", "O", "B-X", "I-X"], "prediction": ["B-X", "O", "O", "B-X", "O"],
    }  # fmt: skip
    better = {**table, "prediction": table["label"]}
    result = paired.compare(of_tags, table, better)
    assert result["n"] == 2
    rows = {row["key"]: row for row in result["metrics"]}
    assert rows["f1"]["first"] == pytest.approx(0.5)
    assert rows["f1"]["second"] == 1
    assert rows["accuracy"]["first"] == pytest.approx(0.8)
    assert result["mcnemar"]["only_second_right"] == 1
    assert result["disagreements"][0] == {
        "id": "s2", "label": "O B-X I-X", "first": "O B-X O", "second": "O B-X I-X",
        "better": "second",
    }  # fmt: skip


def test_answers():
    table = {
        "id": ["q1", "q2"], "answers": [["a"], []], "prediction": ["a", "b"],
        "f1": [1.0, 0.0], "exact_match": [1.0, 0.0],
    }  # fmt: skip
    better = {**table, "prediction": ["a", ""], "f1": [1.0, 1.0], "exact_match": [1.0, 1.0]}
    result = paired.compare(of_answers, table, better)
    assert result["metrics"][0]["difference"] == pytest.approx(0.5)
    assert result["disagreements"][0]["label"] == "(none)"
