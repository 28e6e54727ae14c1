"""Numbers: losses in deviations, figures in the user's unit, the ridge of scikit-learn."""

import keras
import numpy as np
import pytest
from sklearn import metrics as sk

from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import RegressionConfig
from fmkit.core.errors import ConfigError
from fmkit.core.types import DataSpec
from fmkit.models.backbone import Backbone
from fmkit.tasks.regression import Regression

MOMENTS = {"year": (1990.0, 20.0), "share": (0.5, 0.01)}


def spec(moments=None):
    moments = MOMENTS if moments is None else moments
    return DataSpec(
        "image", (), {}, annotations="numbers", names=("year", "share"), moments=moments
    )


def built(config=None, moments=None):
    """A task with its head on a vector of 3 numbers, and the whole network."""
    task = Regression(config or RegressionConfig(), spec(moments))
    inputs = keras.Input((1, 1, 3))
    body = keras.Model(inputs, keras.layers.Flatten()(inputs))
    made = Backbone("body", body, 1, (), "vector")
    return task, keras.Model(inputs, task.head(made, ModelConfig(name="body", dropout=0)))


@pytest.fixture
def batch():
    draw = np.random.default_rng(0)
    truth = np.stack([draw.normal(1990, 20, 30), draw.normal(0.5, 0.01, 30)], axis=1)
    found = truth + np.stack([draw.normal(0, 9, 30), draw.normal(0, 0.02, 30)], axis=1)
    return truth.astype(np.float32), found.astype(np.float32)


@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_losses_are_of_errors_in_deviations(batch, loss):
    truth, found = batch
    task, _ = built(RegressionConfig(loss=loss, huber_delta=0.7))
    error = (found.astype(np.float64) - truth) / [20, 0.01]
    size = np.abs(error)
    each = {
        "mse": error**2,
        "mae": size,
        "huber": np.where(size < 0.7, error**2 / 2, 0.7 * size - 0.7**2 / 2),
    }[loss]
    for training in (True, False):
        value = float(task.loss(truth, found, None, training))
        assert value == pytest.approx(each.mean(), rel=1e-3)


def test_figures_of_an_epoch_are_in_the_users_unit(batch):
    truth, found = batch
    task, _ = built()
    expected = {
        "mae": sk.mean_absolute_error,
        "rmse": sk.root_mean_squared_error,
        "r2": sk.r2_score,
    }
    for metric in task.metrics():
        assert metric.variables  # there before the first batch, for a resume to fill
        for part in (slice(0, 11), slice(11, 30)):
            metric.update_state(truth[part], found[part])
        value = expected[metric.name](truth.astype(np.float64), found)
        assert float(metric.result()) == pytest.approx(value, rel=1e-3), metric.name


def test_the_head_begins_at_the_mean_and_its_units_never_train():
    task, network = built()
    network.trainable = True
    outputs = network.predict(np.random.default_rng(0).normal(size=(3, 1, 1, 3)), verbose=0)
    np.testing.assert_allclose(outputs, [[1990, 0.5]] * 3, rtol=1e-6)
    trained = [each.path for each in network.trainable_variables]
    assert sorted(trained) == ["logits/bias", "logits/kernel"]
    network.get_layer("logits").bias.assign([0.5, -1.0])
    shown = keras.Model(network.input, task.inference(task.inference_input))
    np.testing.assert_allclose(shown(np.zeros((1, 1, 1, 3))), [[2000, 0.49]], rtol=1e-6)
    np.testing.assert_allclose(network(np.zeros((1, 1, 1, 3))), [[2000, 0.49]], rtol=1e-6)


def test_a_number_that_never_changes_has_a_scale_of_one():
    task, network = built(moments={"year": (7.0, 0.0), "share": (0.1, 1e-17)})
    np.testing.assert_array_equal(np.asarray(network.get_layer("head_units").scale), [1, 1])
    truth = np.array([[7.0, 0.1]], np.float32)
    assert np.isfinite(float(task.loss(truth, truth + 1, None, True)))


def test_other_data_is_refused():
    with pytest.raises(ConfigError, match="has sets"):
        Regression(RegressionConfig(), DataSpec("text", (), {}, annotations="sets", names=("a",)))
