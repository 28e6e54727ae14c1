"""Sets of labels agree with Keras, scikit-learn and a NumPy cross-entropy."""

import keras
import numpy as np
import pytest
from scipy.special import expit
from sklearn import metrics as sk
from sklearn.utils.class_weight import compute_class_weight

from fmkit.config.schema.task import MultiLabelConfig
from fmkit.core.errors import ConfigError
from fmkit.core.types import DataSpec
from fmkit.tasks import registry as task_registry
from fmkit.tasks.multi_label import MultiLabel, balanced_weights, base_rates


def spec(counts=(30, 5, 60), total=100):
    names = tuple(f"label {number}" for number in range(len(counts)))
    by_name = {"train": dict(zip(names, counts, strict=True))}
    return DataSpec("image", (), {"train": total}, by_name, annotations="sets", names=names)


@pytest.fixture
def batch():
    draw = np.random.default_rng(0)
    truth = (draw.uniform(size=(24, 3)) < 0.4).astype(np.float32)
    return truth, draw.normal(0, 2, (24, 3)).astype(np.float32)


def test_the_loss_is_binary_cross_entropy_and_smoothing_is_for_training(batch):
    truth, logits = batch
    task = task_registry.build(MultiLabelConfig(label_smoothing=0.2), spec())
    expected = np.mean([sk.log_loss(truth[:, k], expit(logits[:, k])) for k in range(3)])
    assert float(task.loss(truth, logits, None, False)) == pytest.approx(expected, rel=1e-5)
    keras_loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.2)
    found = float(task.loss(truth, logits, None, True))
    assert found == pytest.approx(float(keras_loss(truth, logits)), rel=1e-5)
    extreme = np.array([[1e4, -1e4, 1e4]], np.float32)
    assert float(task.loss(np.array([[1.0, 0, 0]]), extreme, None, False)) == pytest.approx(1e4 / 3)


def test_balanced_weights_are_those_of_scikit_learn_but_for_one_more_on_each_side(batch):
    weights = balanced_weights(base_rates(spec((9, 49), 98)))
    for k, count in enumerate((10, 50)):
        labels = np.repeat([1, 0], [count, 100 - count])
        expected = compute_class_weight("balanced", classes=np.array([1, 0]), y=labels)
        np.testing.assert_allclose(weights[:, k], expected, rtol=1e-6)
    truth, logits = batch
    task = MultiLabel(MultiLabelConfig(class_weights="balanced"), spec())
    own = balanced_weights(base_rates(spec()))
    each = np.where(truth > 0, own[0] * -np.log(expit(logits)), own[1] * -np.log(expit(-logits)))
    assert float(task.loss(truth, logits, None, True)) == pytest.approx(each.mean(), rel=1e-5)
    plain = MultiLabel(MultiLabelConfig(), spec())
    assert float(task.loss(truth, logits, None, False)) == float(
        plain.loss(truth, logits, None, False)
    )


def test_figures_of_an_epoch_agree_with_scikit_learn(batch):
    truth, logits = batch
    for metric in MultiLabel(MultiLabelConfig(), spec()).metrics():
        for part in (slice(0, 10), slice(10, 24)):
            metric.update_state(truth[part], logits[part])
        expected = {
            "micro_f1": sk.f1_score(truth, logits > 0, average="micro"),
            "subset_accuracy": sk.accuracy_score(truth, logits > 0),
        }[metric.name]
        assert float(metric.result()) == pytest.approx(expected)
    found = np.asarray(MultiLabel(MultiLabelConfig(), spec()).inference(logits))
    np.testing.assert_allclose(found, expit(logits), rtol=1e-5)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (DataSpec("image", ("a", "b"), {}), "has classes"),
        (DataSpec("image", (), {}), "has no labels"),
        (DataSpec("image", (), {}, annotations="sets"), "has sets without names"),
        (DataSpec("image", (), {}, annotations="numbers", names=("x",)), "has numbers"),
    ],
)
def test_other_data_is_refused(data, told):
    with pytest.raises(ConfigError, match=told):
        MultiLabel(MultiLabelConfig(), data)
