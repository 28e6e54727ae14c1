"""Figures of sets of labels agree with scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as sk

from fmkit.core.errors import DataError, NonFiniteError
from fmkit.core.types import DataSpec
from fmkit.evaluation.multi_label import compute_metrics, predictions

NAMES = ("common", "even", "rare", "never", "always")


@pytest.fixture
def judged():
    draw = np.random.default_rng(0)
    truth = draw.uniform(size=(120, 5)) < [0.8, 0.5, 0.05, 0, 1]
    return truth, np.clip(0.35 + 0.3 * truth + draw.normal(0, 0.2, truth.shape), 0.01, 0.99)


def test_all_figures_agree_with_scikit_learn(judged):
    truth, probabilities = judged
    told, found = compute_metrics(truth, probabilities, NAMES, bootstrap=0), probabilities > 0.5
    for average in ("micro", "macro"):
        for name, function in (
            ("f1", sk.f1_score), ("precision", sk.precision_score), ("recall", sk.recall_score),
        ):  # fmt: skip
            expected = function(truth, found, average=average, zero_division=0)
            assert told[f"{average}_{name}"] == pytest.approx(expected), (average, name)
    assert told["subset_accuracy"] == pytest.approx(sk.accuracy_score(truth, found))
    assert told["hamming_loss"] == pytest.approx(sk.hamming_loss(truth, found))
    losses = [sk.log_loss(truth[:, k], probabilities[:, k], labels=[False, True]) for k in range(5)]
    assert told["loss"] == pytest.approx(np.mean(losses))
    there = [0, 1, 2, 4]
    precisions = [sk.average_precision_score(truth[:, k], probabilities[:, k]) for k in there]
    assert told["mean_average_precision"] == pytest.approx(np.mean(precisions))
    areas = [sk.roc_auc_score(truth[:, k], probabilities[:, k]) for k in range(3)]
    assert told["macro_roc_auc"] == pytest.approx(np.mean(areas))
    per_label = told["per_label"]
    for k, name in enumerate(NAMES):
        assert per_label[name]["loss"] == pytest.approx(losses[k])
        assert per_label[name]["support"] == truth[:, k].sum()
    assert [per_label["never"][each] for each in ("average_precision", "roc_auc")] == [None, None]
    assert per_label["always"]["roc_auc"] is None
    assert per_label["always"]["average_precision"] == pytest.approx(1)


def test_intervals_are_those_of_a_bootstrap(judged):
    truth, probabilities = judged
    told = compute_metrics(truth, probabilities, NAMES, bootstrap=300, seed=5)
    drawn, rng = [], np.random.default_rng(5)
    for _ in range(300):
        at = rng.integers(0, 120, 120)
        found = probabilities[at] > 0.5
        drawn.append(sk.f1_score(truth[at], found, average="macro", zero_division=0))
    np.testing.assert_allclose(told["intervals"]["macro_f1"], np.percentile(drawn, (2.5, 97.5)))


def test_what_cannot_be_judged_is_told(judged):
    truth, probabilities = judged
    with pytest.raises(DataError, match="no example"):
        compute_metrics(truth[:0], probabilities[:0], NAMES)
    with pytest.raises(DataError, match="the shape"):
        compute_metrics(truth, probabilities, NAMES[:3])
    probabilities[3, 0] = np.nan
    with pytest.raises(NonFiniteError, match="number 3"):
        compute_metrics(truth, probabilities, NAMES)


def test_predicted_sets_are_joined_names():
    spec = DataSpec("image", (), {}, annotations="sets", names=("a", "b"))
    found = predictions(np.array([[2.0, 1.0], [-1.0, -3.0], [-200.0, 800.0]]), spec)
    assert found["prediction"] == ["a|b", "", "b"]
    np.testing.assert_allclose(found["probability_b"][1:], [1 / (1 + np.e**3), 1], rtol=1e-6)
