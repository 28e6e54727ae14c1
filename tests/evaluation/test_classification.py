import json

import numpy as np
import pytest
from sklearn import metrics as reference

from fmkit.core.errors import DataError, NonFiniteError
from fmkit.evaluation.classification import compute_metrics


def guesses(count, classes, skill=1.5, seed=0):
    """Labels of an unbalanced problem and the probabilities of a model with some skill."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(classes, size=count, p=np.arange(1, classes + 1) / sum(range(classes + 1)))
    scores = rng.normal(size=(count, classes))
    scores[np.arange(count), labels] += skill
    probabilities = np.exp(scores)
    return labels, (probabilities / probabilities.sum(axis=1, keepdims=True)).astype("float32")


def names(count):
    return [f"class {index}" for index in range(count)]


@pytest.mark.parametrize("classes", [2, 3, 8])
def test_agrees_with_scikit_learn(classes):
    labels, probabilities = guesses(500, classes)
    found = compute_metrics(labels, probabilities, names(classes), bootstrap=0)
    predictions = probabilities.argmax(axis=1)
    exact = probabilities.astype("float64")
    exact /= exact.sum(axis=1, keepdims=True)
    assert found["n"] == 500
    assert found["loss"] == pytest.approx(reference.log_loss(labels, exact), rel=1e-5)
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(labels, predictions))
    assert found["macro_f1"] == pytest.approx(
        reference.f1_score(labels, predictions, average="macro")
    )
    assert found["balanced_accuracy"] == pytest.approx(
        reference.balanced_accuracy_score(labels, predictions)
    )
    assert found["confusion"] == reference.confusion_matrix(labels, predictions).tolist()
    assert found["confusion_classes"] == names(classes)
    if classes > 5:
        assert found["top5"] == pytest.approx(
            reference.top_k_accuracy_score(labels, probabilities, k=5)
        )
    else:
        assert found["top5"] is None
    by_class = reference.precision_recall_fscore_support(labels, predictions)
    for index, row in enumerate(zip(*by_class, strict=True)):
        of_class = found["per_class"][names(classes)[index]]
        assert of_class.pop("predicted") == (predictions == index).sum()
        assert tuple(of_class.values()) == pytest.approx(row)


def test_brier_agrees_with_scikit_learn():
    labels, probabilities = guesses(300, 2)
    found = compute_metrics(labels, probabilities, names(2), bootstrap=0)["brier"]
    # scikit-learn's binary score looks at one class; over both it is twice that.
    expected = 2 * reference.brier_score_loss(labels, probabilities[:, 1])
    assert found == pytest.approx(expected, rel=1e-5)


def test_calibration_error_in_closed_form():
    # 10 examples at .8 of which 5 are right, and 10 at .6 of which 9 are: (.3 + .3) / 2.
    labels = np.array([0] * 5 + [1] * 5 + [0] * 9 + [1])
    probabilities = np.array([[0.79, 0.21]] * 10 + [[0.61, 0.39]] * 10)
    found = compute_metrics(labels, probabilities, names(2), bootstrap=0)
    expected = (10 * abs(0.79 - 0.5) + 10 * abs(0.61 - 0.9)) / 20
    assert found["expected_calibration_error"] == pytest.approx(expected)
    filled = [each for each in found["reliability"] if each["count"]]
    assert [each["count"] for each in filled] == [10, 10]
    assert [each["accuracy"] for each in filled] == pytest.approx([0.9, 0.5])
    assert [each["confidence"] for each in filled] == pytest.approx([0.61, 0.79])
    assert all(each["lower"] < each["confidence"] <= each["upper"] for each in filled)
    assert len(found["reliability"]) == 15
    assert sum(each["count"] for each in found["reliability"]) == found["n"]


def test_a_calibrated_model_has_a_small_error_and_an_overconfident_one_has_not():
    rng = np.random.default_rng(0)
    true = rng.dirichlet(np.ones(4), size=20_000)
    labels = (true.cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    sharp = true**3 / (true**3).sum(axis=1, keepdims=True)
    calibrated = compute_metrics(labels, true, names(4), bootstrap=0)
    overconfident = compute_metrics(labels, sharp, names(4), bootstrap=0)
    assert calibrated["expected_calibration_error"] < 0.015
    assert overconfident["expected_calibration_error"] > 0.15
    assert calibrated["loss"] < overconfident["loss"]


def test_intervals_agree_with_the_closed_form_of_a_mean():
    labels, probabilities = guesses(2000, 3)
    found = compute_metrics(labels, probabilities, names(3), bootstrap=1000)
    losses = -np.log(probabilities[np.arange(2000), labels])
    for name, error in (
        ("accuracy", np.sqrt(found["accuracy"] * (1 - found["accuracy"]) / 2000)),
        ("loss", losses.std() / np.sqrt(2000)),
    ):
        low, high = found["intervals"][name]
        assert low < found[name] < high
        assert high - low == pytest.approx(2 * 1.96 * error, rel=0.12)


def test_intervals_are_percentiles_of_scikit_learn_on_resamples():
    labels, probabilities = guesses(60, 4)
    found = compute_metrics(labels, probabilities, names(4), bootstrap=200, seed=3)["intervals"]
    predictions = probabilities.argmax(axis=1)
    rng = np.random.default_rng(3)
    scores = []
    for _ in range(200):
        drawn = rng.integers(0, 60, 60)
        scores.append(
            reference.f1_score(
                labels[drawn], predictions[drawn], average="macro", zero_division=0.0
            )
        )
    assert found["macro_f1"] == pytest.approx(np.percentile(scores, [2.5, 97.5]).tolist())


def test_intervals_are_repeatable_and_follow_the_seed():
    labels, probabilities = guesses(200, 3)
    first, again, other = (
        compute_metrics(labels, probabilities, names(3), bootstrap=100, seed=seed)
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first["intervals"] != other["intervals"]
    assert first["accuracy"] == other["accuracy"]


def test_every_interval_is_there_and_holds_the_figure():
    labels, probabilities = guesses(400, 7)
    found = compute_metrics(labels, probabilities, names(7), bootstrap=300)
    assert set(found["intervals"]) == {
        "loss",
        "accuracy",
        "top5",
        "macro_f1",
        "balanced_accuracy",
        "expected_calibration_error",
    }
    for name in ("loss", "accuracy", "top5", "macro_f1", "balanced_accuracy"):
        low, high = found["intervals"][name]
        assert low <= found[name] <= high


def test_is_ready_for_json():
    labels, probabilities = guesses(50, 3)
    found = compute_metrics(labels, probabilities, names(3), bootstrap=10)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_perfect_predictions():
    labels = np.array([0, 1, 2, 0])
    found = compute_metrics(labels, np.eye(3)[labels], names(3), bootstrap=50)
    assert (found["loss"], found["accuracy"], found["macro_f1"]) == (0, 1, 1)
    assert (found["brier"], found["expected_calibration_error"]) == (0, 0)
    np.testing.assert_allclose(found["intervals"]["accuracy"], [0.025 ** (1 / len(labels)), 1])


def test_a_certain_mistake_costs_a_finite_loss():
    found = compute_metrics(np.array([0]), np.array([[0.0, 1.0]]), names(2), bootstrap=20)
    assert found["loss"] == pytest.approx(-np.log(1e-7))
    assert found["brier"] == 2


def test_a_single_example():
    found = compute_metrics(np.array([1]), np.array([[0.2, 0.8]]), names(2), bootstrap=20)
    assert found["n"] == 1
    assert found["accuracy"] == found["balanced_accuracy"] == found["macro_f1"] == 1
    np.testing.assert_allclose(found["intervals"]["accuracy"], [0.025, 1])  # exact, for 1 of 1


def test_a_class_without_examples_has_no_recall_and_spoils_no_mean():
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1]])
    found = compute_metrics(labels, probabilities, names(3), bootstrap=20)
    absent = found["per_class"]["class 2"]
    assert absent == {"precision": 0, "recall": 0, "f1": 0, "support": 0, "predicted": 0}
    predictions = probabilities.argmax(axis=1)
    assert found["macro_f1"] == pytest.approx(
        reference.f1_score(labels, predictions, average="macro")
    )
    assert found["balanced_accuracy"] == pytest.approx(0.75)
    assert [len(row) for row in found["confusion"]] == [3, 3, 3]


def test_a_class_that_is_only_predicted_counts_against_f1():
    labels = np.array([0, 1])
    probabilities = np.array([[0.1, 0.1, 0.8], [0.1, 0.8, 0.1]])
    found = compute_metrics(labels, probabilities, names(3), bootstrap=0)
    assert found["macro_f1"] == pytest.approx(
        reference.f1_score(labels, probabilities.argmax(axis=1), average="macro")
    )
    assert found["per_class"]["class 0"] == {
        "precision": 0,
        "recall": 0,
        "f1": 0,
        "support": 1,
        "predicted": 0,
    }
    assert found["per_class"]["class 2"]["predicted"] == 1


def test_ties_go_to_the_first_classes():
    labels = np.arange(10)
    found = compute_metrics(labels, np.full((10, 10), 0.1), names(10), bootstrap=0)
    assert (found["accuracy"], found["top5"]) == (0.1, 0.5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_refuses_probabilities_that_are_no_numbers(value):
    labels, probabilities = guesses(10, 3)
    probabilities[4, 1] = value
    with pytest.raises(NonFiniteError, match="1 of 10 examples; the first is number 4"):
        compute_metrics(labels, probabilities, names(3))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda labels, p: (labels[:5], p, names(3)), r"received \(10, 3\)"),
        (lambda labels, p: (labels, p, names(4)), r"shape \(10, 4\)"),
        (lambda labels, p: (labels.astype(float), p, names(3)), "float64"),
        (lambda labels, p: (labels + 1, p, names(3)), "0 to 2"),
        (lambda labels, p: (labels - 3, p, names(3)), "0 to 2"),
        (lambda labels, p: (labels, p * 10, names(3)), "sum to 1"),
        (lambda labels, p: (labels, p - 1 / 3, names(3)), "sum to 1"),
        (lambda labels, p: (labels, p, ["a", "b", "a"]), "different names"),
        (lambda labels, p: (labels[:0], p[:0], names(3)), "no example"),
        (lambda labels, p: (labels[0], p, names(3)), "shape"),
    ],
)
def test_refuses_arrays_that_do_not_fit(change, named):
    labels, probabilities = guesses(10, 3, seed=1)
    labels[0] = 2  # so that every shift leaves the range
    with pytest.raises(DataError, match=named):
        compute_metrics(*change(labels, probabilities))


def test_takes_the_rounded_probabilities_of_a_half_precision_model():
    labels, probabilities = guesses(50, 100)
    rounded = probabilities.astype("float16")
    found = compute_metrics(labels, rounded, names(100), bootstrap=0)
    exact = compute_metrics(labels, probabilities, names(100), bootstrap=0)
    assert found["loss"] == pytest.approx(exact["loss"], rel=1e-2)
