"""The solver's head is the one that scikit-learn's pipeline finds, folded into plain weights."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fmkit.tasks import linear_probe


@pytest.mark.parametrize("classes", [2, 10])
def test_it_agrees_with_scikit_learn(classes):
    pixels, labels = load_digits(return_X_y=True)
    chosen = labels < classes
    x, y = pixels[chosen].astype("f4") * 3 - 5, labels[chosen]
    half = len(x) // 2
    weights = np.where(y[:half] == 1, 2.0, 1.0)
    found, record = linear_probe.fit(x[:half], y[:half], weights, (x[half:], y[half:]), classes)
    kernel, bias = found["logits"]
    strength, losses = record["C"], record["validation_loss_by_C"]
    assert kernel.shape == (64, classes)
    assert losses[strength] == min(losses.values())
    reference = make_pipeline(
        StandardScaler(), LogisticRegression(C=strength, max_iter=10_000, tol=1e-6)
    )
    reference.fit(x[:half], y[:half], logisticregression__sample_weight=weights)
    logits = x[half:] @ kernel + bias
    ours = np.exp(logits - logits.max(axis=1, keepdims=True))
    ours /= ours.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(ours, reference.predict_proba(x[half:]), atol=0.01)
    assert log_loss(y[half:], ours) == pytest.approx(losses[strength], rel=1e-2, abs=1e-3)


def test_a_feature_that_never_changes_does_no_harm():
    x = np.random.default_rng(0).normal(size=(60, 3)).astype("f4")
    x[:, 1] = 7
    y = (x[:, 0] > 0).astype(int)
    found, _ = linear_probe.fit(x[:40], y[:40], None, (x[40:], y[40:]), 2)
    kernel, bias = found["logits"]
    assert np.isfinite(kernel).all()
    assert ((x @ kernel + bias).argmax(axis=1) == y).mean() > 0.9


def test_a_dead_feature_gets_no_weight():
    x = np.random.default_rng(0).normal(size=(60, 3)).astype("f4")
    x[:, 1] *= 1e-31
    y = (x[:, 0] > 0).astype(int)
    found, _ = linear_probe.fit(x[:40], y[:40], None, (x[40:], y[40:]), 2)
    kernel, bias = found["logits"]
    assert np.abs(kernel).max() < 100
    assert ((x @ kernel + bias).argmax(axis=1) == y).mean() > 0.9
