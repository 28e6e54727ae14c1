"""Curves and areas agree with scikit-learn and with plain loops."""

import numpy as np
import pytest
from sklearn import metrics as sk

from fmkit.evaluation.diagnostics import curves
from fmkit.evaluation.diagnostics.curves import RiskCoverage, ThresholdCounts


@pytest.fixture(params=["all different", "many equal"])
def scored(request):
    rng = np.random.default_rng(1)
    is_positive = rng.random(700) < 0.3
    scores = np.clip(rng.normal(0.4, 0.2, 700) + 0.2 * is_positive, 0, 1)
    return is_positive, scores if request.param == "all different" else np.round(scores, 1)


def test_areas_agree_with_scikit_learn(scored):
    counts = ThresholdCounts.of(*scored)
    assert counts.roc_auc == pytest.approx(sk.roc_auc_score(*scored))
    assert counts.average_precision == pytest.approx(sk.average_precision_score(*scored))


def test_points_agree_with_scikit_learn(scored, monkeypatch):
    monkeypatch.setattr(curves, "POINTS", 10_000)
    counts = ThresholdCounts.of(*scored)
    false_rate, true_rate, thresholds = sk.roc_curve(*scored, drop_intermediate=False)
    roc = counts.roc()
    np.testing.assert_allclose(roc["false_positive_rate"], false_rate)
    np.testing.assert_allclose(roc["true_positive_rate"], true_rate)
    np.testing.assert_allclose(roc["threshold"][1:], thresholds[1:])
    precision, recall, thresholds = sk.precision_recall_curve(*scored)
    curve = counts.precision_recall()
    np.testing.assert_allclose(curve["precision"], precision[:-1][::-1])
    np.testing.assert_allclose(curve["recall"], recall[:-1][::-1])
    np.testing.assert_allclose(curve["threshold"], thresholds[::-1])


def test_a_long_curve_is_thinned_and_keeps_its_ends_and_its_shape():
    rng = np.random.default_rng(2)
    is_positive = rng.random(20_000) < 0.01
    counts = ThresholdCounts.of(is_positive, rng.normal(size=20_000) + 2 * is_positive)
    roc = counts.roc()
    assert len(roc["threshold"]) <= curves.POINTS
    x, y = roc["false_positive_rate"], roc["true_positive_rate"]
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(y, x) == pytest.approx(counts.roc_auc, abs=0.005)
    curve = counts.precision_recall()
    assert len(curve["threshold"]) <= curves.POINTS
    assert curve["recall"][-1] == 1


def test_thresholds_by_a_plain_loop(scored):
    is_positive, scores = scored
    counts = ThresholdCounts.of(is_positive, scores)

    def at(threshold):
        selected = scores >= threshold
        hits = (selected & is_positive).sum()
        return hits / selected.sum(), hits / is_positive.sum()

    for wanted in (0.3, 0.5, 0.6, 0.95):
        enough = [t for t in np.unique(scores) if at(t)[0] >= wanted]
        found = counts.threshold_for_precision(wanted)
        assert (np.isnan(found) and not enough) or found == min(enough)
        enough = [t for t in np.unique(scores) if at(t)[1] >= wanted]
        found = counts.threshold_for_recall(wanted)
        assert at(found)[0] == max(at(t)[0] for t in enough)
        assert at(found)[1] >= wanted


def test_one_kind_of_examples_only():
    for is_positive in (np.ones(5, bool), np.zeros(5, bool)):
        counts = ThresholdCounts.of(is_positive, np.arange(5.0))
        assert np.isnan(counts.roc_auc)
        assert np.isnan(counts.average_precision) == (not is_positive.any())


def test_risk_and_coverage_by_a_plain_loop(scored):
    is_right, confidence = scored
    curve = RiskCoverage.of(is_right, confidence)
    risks = []
    for example in confidence:
        selected = confidence >= example
        risks.append((selected & ~is_right).sum() / selected.sum())
    assert curve.area == pytest.approx(np.mean(risks))
    assert curve.coverage[-1] == 1
    assert curve.risk[-1] == pytest.approx(1 - is_right.mean())
    middle = len(curve.thresholds) // 2
    selected = confidence >= curve.thresholds[middle]
    assert curve.coverage[middle] == pytest.approx(selected.mean())
    assert curve.risk[middle] == pytest.approx(1 - is_right[selected].mean())
