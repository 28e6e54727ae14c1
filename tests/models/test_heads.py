from types import SimpleNamespace

import keras
import numpy as np
import pytest

from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ConfigError
from fmkit.models import heads
from fmkit.models.registry import build

RNG = np.random.default_rng(0)
MAP = RNG.normal(size=(2, 3, 3, 5)).astype("float32")
TOKENS = RNG.normal(size=(2, 7, 5)).astype("float32")


def pooled(values, pooling, has_class_token=False):
    inputs = keras.Input(values.shape[1:])
    model = keras.Model(inputs, inputs)
    backbone = SimpleNamespace(model=model, has_class_token=has_class_token, mask=None)
    model = keras.Model(inputs, heads.pool(backbone, pooling))
    return keras.ops.convert_to_numpy(model(values))


@pytest.mark.parametrize(
    ("values", "pooling", "token", "expected"),
    [
        (MAP, "auto", False, MAP.mean((1, 2))),
        (MAP, "avg", False, MAP.mean((1, 2))),
        (MAP, "max", False, MAP.max((1, 2))),
        (TOKENS, "auto", False, TOKENS.mean(1)),
        (TOKENS, "auto", True, TOKENS[:, 0]),
        (TOKENS, "cls", True, TOKENS[:, 0]),
        (TOKENS, "avg", True, TOKENS[:, 1:].mean(1)),
        (TOKENS, "max", True, TOKENS[:, 1:].max(1)),
        (TOKENS[:, 0], "auto", False, TOKENS[:, 0]),
    ],
)
def test_pooling(values, pooling, token, expected):
    np.testing.assert_allclose(pooled(values, pooling, token), expected, rtol=1e-5, atol=1e-6)


def test_poolings_that_do_not_go():
    with pytest.raises(ConfigError, match="no class token"):
        pooled(MAP, "cls")
    with pytest.raises(ConfigError, match="no class token"):
        pooled(TOKENS, "cls")
    with pytest.raises(ConfigError, match="Allowed: auto, avg, max, cls"):
        pooled(MAP, "average")


@pytest.mark.parametrize("name", ["small_cnn", "small_vit"])
@pytest.mark.parametrize("hidden", [0, 16])
def test_a_head_begins_at_log_c_and_is_named_so_that_it_can_be_found(name, hidden):
    backbone = build(ModelConfig(name, "none", image_size=16))
    config = ModelConfig(name, "none", dropout=0.2, hidden=hidden)
    logits = heads.classification_head(backbone, 4, config)
    model = keras.Model(backbone.model.input, logits)
    known = {layer.name for layer in backbone.model.layers}
    added = [layer.name for layer in model.layers if layer.name not in known]
    assert added
    assert all(each.startswith(heads.HEAD_PREFIXES) for each in added)
    assert not any(each.startswith(heads.HEAD_PREFIXES) for each in known)
    images = RNG.uniform(0, 255, (3, 16, 16, 3)).astype("float32")
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model(images)), np.zeros((3, 4)))
    assert heads.pool(backbone).shape == (None, {"small_cnn": 96}.get(name, 64))


def test_logits_are_float32_under_mixed_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        backbone = build(ModelConfig("small_vit", "none"))
        logits = heads.classification_head(backbone, 3, ModelConfig("small_vit", hidden=8))
        assert logits.dtype == "float32"
        assert heads.pool(backbone, "avg").dtype == "float32"
    finally:
        keras.config.set_dtype_policy(before)


def test_no_dropout_layer_where_none_is_wanted():
    inputs = keras.Input((5,))
    config = ModelConfig("small_cnn", dropout=0.0)
    logits = heads.logits(2)(heads.hidden(inputs, config))
    assert [each.name for each in keras.Model(inputs, logits).layers][1:] == ["logits"]


VECTORS = np.vstack([RNG.normal(3, 2, size=(3, 5)), np.zeros((1, 5))]).astype("float32")
LENGTHS = np.linalg.norm(VECTORS, axis=1, keepdims=True)


def network_of(normalize):
    """A head of three classes on vectors, its kernel at random."""
    inputs = keras.Input((5,))
    backbone = SimpleNamespace(model=keras.Model(inputs, inputs), has_class_token=False, mask=None)
    config = ModelConfig(name="small_cnn", normalize=normalize, dropout=0.5)
    network = keras.Model(inputs, heads.classification_head(backbone, 3, config))
    network.get_layer("logits").kernel.assign(np.random.default_rng(1).normal(size=(5, 3)))
    return network


def logits_of(network, vectors):
    return vectors @ np.asarray(network.get_layer("logits").kernel)


@pytest.mark.parametrize("length", [0.0, 7.0])
def test_features_at_one_length(length):
    network = network_of("auto")
    assert float(heads.fixed_length(network).length) == 0
    assert [weight.path for weight in network.non_trainable_weights][-1] == heads.LENGTH
    heads.fixed_length(network).length.assign(length)
    factors = length / np.maximum(LENGTHS, 1e-12) if length else 1
    expected = logits_of(network, VECTORS * factors)
    np.testing.assert_allclose(network(VECTORS), expected, rtol=1e-5, atol=1e-5)
    deployed = heads.with_keras_layers(network)
    assert {type(layer).__module__.split(".")[0] for layer in deployed.layers} == {"keras"}
    np.testing.assert_allclose(deployed(VECTORS), expected, rtol=1e-5, atol=1e-5)
    assert deployed.get_layer("logits") is network.get_layer("logits")
    assert heads.with_keras_layers(deployed) is deployed


def test_a_length_that_is_required_is_that_of_features_around_one():
    assert float(heads.fixed_length(network_of("unit")).length) == pytest.approx(5**0.5)
    assert heads.fixed_length(network_of("none")) is None


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="its own gradients")
@pytest.mark.parametrize("length", [0.0, 7.0])
def test_gradients_at_one_length_are_finite_and_without_one_are_those_of_no_layer(length):
    import tensorflow as tf

    gradients = []
    for network in (network_of("auto"), network_of("none")):
        if layer := heads.fixed_length(network):
            layer.length.assign(length)
        inputs = tf.constant(VECTORS)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(tf.square(network(inputs)))
        gradients.append(tape.gradient(loss, inputs).numpy())
    assert np.isfinite(gradients[0]).all()
    assert length or (gradients[0] == gradients[1]).all()
    if length:  # along the features, length does not change
        along = (gradients[0] * VECTORS).sum(axis=1)
        np.testing.assert_allclose(along[:3], 0, atol=1e-3)
