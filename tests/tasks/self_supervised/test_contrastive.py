"""NT-Xent and VICReg agree with NumPy written from the papers, for batches of any size."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import SimclrConfig, VicregConfig
from fmkit.core.errors import ConfigError
from fmkit.core.types import DataSpec
from fmkit.models.vision.small import small_cnn
from fmkit.tasks import registry as task_registry
from fmkit.tasks.self_supervised.contrastive import nt_xent, vicreg

PHOTOS = DataSpec("image", (), {})


def projections(count, width=5, seed=0):
    return np.random.default_rng(seed).normal(0, 2, (2 * count, width)).astype(np.float32)


def nt_xent_of_paper(z, temperature):
    """Equation 1, pair by pair, in the paper's order: all first views, then all second ones."""
    z = np.concatenate([z[0::2], z[1::2]]).astype(np.float64)
    count = len(z) // 2

    def similarity(i, k):
        return z[i] @ z[k] / np.linalg.norm(z[i]) / np.linalg.norm(z[k])

    def loss(i, j):
        others = [np.exp(similarity(i, k) / temperature) for k in range(2 * count) if k != i]
        return -np.log(np.exp(similarity(i, j) / temperature) / np.sum(others))

    both = [loss(k, k + count) + loss(k + count, k) for k in range(count)]
    return np.sum(both) / (2 * count)


@pytest.mark.parametrize(("count", "temperature"), [(2, 0.5), (7, 0.1), (16, 1.0)])
def test_nt_xent_is_the_papers(count, temperature):
    z = projections(count)
    expected = nt_xent_of_paper(z, temperature)
    assert float(nt_xent(z, temperature)) == pytest.approx(expected, rel=1e-5)
    assert float(nt_xent(3 * z, temperature)) == pytest.approx(expected, rel=1e-5)


def vicreg_of_paper(z, invariance, variance, covariance):
    one, other = z[0::2].astype(np.float64), z[1::2].astype(np.float64)
    width = z.shape[1]
    total = invariance * ((one - other) ** 2).mean()
    for view in (one, other):
        deviation = np.sqrt(view.var(axis=0, ddof=1) + 1e-4)
        total += variance * np.maximum(0, 1 - deviation).mean() / 2
        together = np.cov(view, rowvar=False)
        total += covariance * (together[~np.eye(width, dtype=bool)] ** 2).sum() / width
    return total


@pytest.mark.parametrize("scale", [0.01, 0.4, 3])
def test_vicreg_is_the_papers(scale):
    z = scale * projections(9)
    for weights in ((25, 25, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1)):
        expected = vicreg_of_paper(z, *weights)
        assert float(vicreg(z, *weights)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("loss", [lambda z: nt_xent(z, 0.1), lambda z: vicreg(z, 25.0, 25.0, 1.0)])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_small_batches_and_collapsed_projections_have_finite_losses_and_gradients(
    loss, count, spread
):
    z = tf.Variable(spread * projections(count))
    with tf.GradientTape() as tape:
        value = loss(z)
    assert np.isfinite(float(value))
    assert np.isfinite(tape.gradient(value, z)).all()


def test_it_is_the_same_compiled():
    compiled = tf.function(
        lambda z: (nt_xent(z, 0.1), vicreg(z, 25.0, 25.0, 1.0)), jit_compile=True
    )
    for count in (5, 3):
        z = projections(count)
        expected = (nt_xent(z, 0.1), vicreg(z, 25.0, 25.0, 1.0))
        np.testing.assert_allclose(compiled(z), expected, rtol=1e-4)


def test_with_one_image_there_is_nothing_to_tell_apart():
    assert float(nt_xent(projections(1), 0.1)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("config", [SimclrConfig(projection=7), VicregConfig(projection=7)])
def test_the_loss_is_taken_in_float32_and_features_are_what_is_shown(config):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = ModelConfig(name="small_cnn", weights="none", image_size=8)
        backbone, task = small_cnn(model), task_registry.build(config, PHOTOS)
        outputs = task.head(backbone, model)
    finally:
        keras.config.set_dtype_policy("float32")
    assert (outputs.dtype, outputs.shape) == ("float32", (None, 7))
    assert (task.features.dtype, task.features.shape) == ("float32", (None, 96))
    coarse = keras.ops.cast(projections(4, 7), "bfloat16")
    assert keras.ops.dtype(task.loss(None, coarse, None, True)) == "float32"
    network = keras.Model(backbone.model.input, outputs)
    dense = [each for each in network.layers if isinstance(each, keras.layers.Dense)]
    assert len(dense) == config.projection_layers
    assert all(each.name.startswith("head_") for each in dense)


def test_what_cannot_be_learned_so_is_refused():
    with pytest.raises(ConfigError, match="learns from images, but the data are texts"):
        task_registry.build(SimclrConfig(), DataSpec("text", ("a", "b"), {}))
    config = SimclrConfig(monitor="val_knn_accuracy")
    with pytest.raises(ConfigError, match="the data has no labels"):
        task_registry.build(config, PHOTOS)
    config = SimclrConfig(monitor="val_knn_accuracy", knn_examples=0)
    with pytest.raises(ConfigError, match="knn_examples is 0"):
        task_registry.build(config, DataSpec("image", ("a", "b"), {}))
