"""Classification agrees with scikit-learn and with a NumPy cross-entropy."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight

from fmkit.config.schema.task import ClassificationConfig
from fmkit.core.types import DataSpec
from fmkit.tasks import registry as task_registry
from fmkit.tasks.classification import Classification, balanced_weights


def spec(counts):
    names = tuple(f"class {number}" for number in range(len(counts)))
    by_name = dict(zip(names, counts, strict=True))
    return DataSpec("image", names, {"train": sum(counts)}, {"train": by_name})


@pytest.mark.parametrize("counts", [(10, 10), (1, 99), (7, 20, 300, 4, 4)])
def test_balanced_weights_are_those_of_scikit_learn(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    expected = compute_class_weight("balanced", classes=np.arange(len(counts)), y=labels)
    found = balanced_weights(spec(counts))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found[labels].mean() == pytest.approx(1)


def test_weights_are_there_only_where_they_are_asked_for():
    data = spec((3, 9))
    assert Classification(ClassificationConfig(), data).class_weights is None
    for word in ("balanced", "Balanced"):
        weights = Classification(ClassificationConfig(class_weights=word), data).class_weights
        np.testing.assert_array_equal(weights, balanced_weights(data))


@pytest.fixture
def batch():
    noise = np.random.default_rng(0)
    labels = noise.integers(0, 4, 32)
    return labels, np.eye(4, dtype=np.float32)[labels], noise.normal(0, 3, (32, 4)).astype("f4")


def test_the_loss_is_log_loss_and_smoothing_is_for_training(batch):
    labels, targets, logits = batch
    task = task_registry.build(ClassificationConfig(label_smoothing=0.2), spec((5, 5, 5, 5)))
    assert task.num_classes == 4
    plain = log_loss(labels, softmax(logits.astype(np.float64), axis=1))
    assert float(task.loss(targets, logits, None, False)) == pytest.approx(plain, rel=1e-5)
    smoothed = 0.8 * targets + 0.2 / 4
    expected = -(smoothed * log_softmax(logits, axis=1)).sum(axis=1)
    assert float(task.loss(targets, logits, None, True)) == pytest.approx(expected.mean(), rel=1e-5)
    weights = np.linspace(0, 2, 32, dtype=np.float32)
    found = float(task.loss(targets, logits, weights, True))
    assert found == pytest.approx((weights * expected).mean(), rel=1e-5)


def test_mixed_targets_mix_the_losses(batch):
    _, targets, logits = batch
    task = Classification(ClassificationConfig(), spec((5, 5, 5, 5)))
    other = np.roll(targets, 1, axis=0)
    one, two, mixed = (
        float(task.loss(each, logits, None, True))
        for each in (targets, other, 0.3 * targets + 0.7 * other)
    )
    assert mixed == pytest.approx(0.3 * one + 0.7 * two, rel=1e-5)


def test_accuracy_and_probabilities(batch):
    labels, targets, logits = batch
    task = Classification(ClassificationConfig(), spec((5, 5, 5, 5)))
    (metric,) = task.metrics()
    metric.update_state(targets, logits)
    assert float(metric.result()) == pytest.approx((logits.argmax(axis=1) == labels).mean())
    (fresh,) = task.metrics()
    assert fresh is not metric
    found = np.asarray(task.inference(logits))
    np.testing.assert_allclose(found, softmax(logits, axis=1), atol=1e-6)
