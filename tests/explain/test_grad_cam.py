"""Grad-CAM agrees with closed forms, on networks small enough to have some."""

import keras
import numpy as np
import pytest

from fmkit.core.errors import ConfigError
from fmkit.explain import grad_cam
from fmkit.explain.maps import Settings
from fmkit.explain.network import Network, chosen_layer, feature_maps

SIZE, CLASSES = 16, 3


@pytest.fixture(scope="module")
def linear():
    """Convolution, global average, a linear layer: the network of class activation maps."""
    keras.utils.set_random_seed(5)
    images = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Rescaling(1 / 255)(images)
    x = keras.layers.Conv2D(6, 3, strides=2, activation="relu", name="features")(x)
    pooled = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, keras.layers.Dense(CLASSES, name="logits")(pooled))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).uniform(0, 255, (4, SIZE, SIZE, 3)).astype(np.float32)


TARGETS = np.array([0, 1, 2, 0])


def features_of(model, images):
    lower = keras.Model(model.input, model.get_layer("features").output)
    return np.asarray(lower(images))


def test_grad_cam_is_the_class_activation_map(linear, images):
    """Zhou et al. 2016, arXiv:1512.04150: the head's weights are those of the channels."""
    features = features_of(linear, images)
    kernel = np.asarray(linear.get_layer("logits").kernel)
    maps = np.einsum("bhwd,db->bhw", features, kernel[:, TARGETS])
    expected = np.maximum(maps, 0) / (features.shape[1] * features.shape[2])
    made = grad_cam.grad_cam(Network(linear, "classes"), images, TARGETS, Settings())
    assert made.values.any(axis=(1, 2)).all()
    np.testing.assert_allclose(made.values, expected, rtol=1e-4, atol=1e-7)


def test_grad_cam_plus_plus_by_a_plain_loop(linear, images):
    features = features_of(linear, images)
    kernel = np.asarray(linear.get_layer("logits").kernel)
    cells = features.shape[1] * features.shape[2]
    expected = np.zeros(features.shape[:3])
    for number, target in enumerate(TARGETS):
        for channel in range(features.shape[3]):
            gradient = kernel[channel, target] / cells  # the same in each cell
            total = features[number, :, :, channel].sum()
            alpha = gradient**2 / (2 * gradient**2 + total * gradient**3)
            weight = cells * alpha * max(gradient, 0)
            expected[number] += weight * features[number, :, :, channel]
    made = grad_cam.grad_cam_plus_plus(Network(linear, "classes"), images, TARGETS, Settings())
    np.testing.assert_allclose(made.values, np.maximum(expected, 0), rtol=1e-3, atol=1e-6)


def branched():
    """Two convolutions with a way around, a map of 2 x 2 on top, and a map that is no cut."""
    images = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Rescaling(1 / 255, name="preprocess")(images)
    x = keras.layers.Conv2D(4, 3, padding="same", name="stem")(x)
    y = keras.layers.Conv2D(4, 3, padding="same", name="inside")(x)
    x = keras.layers.Add(name="sum")([x, y])
    x = keras.layers.MaxPooling2D(2, name="eight")(x)
    x = keras.layers.MaxPooling2D(4, name="two")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, keras.layers.Dense(2)(x))


def test_maps_that_all_outputs_depend_on_and_the_last_with_enough_cells():
    model = branched()
    maps = feature_maps(model)
    assert list(maps) == ["stem", "sum", "eight", "two"]
    assert chosen_layer(maps) == "eight"
    assert chosen_layer({"two": maps["two"]}) == "two"
    network = Network(model, "classes", layer="sum")
    image = np.full((1, SIZE, SIZE, 3), 100, np.float32)
    cut = network.feature_map
    whole = np.asarray(cut.upper(cut.lower(image)))
    np.testing.assert_allclose(whole, network.outputs(image), rtol=1e-6)


def test_a_layer_that_gives_no_map_is_refused_with_those_that_do():
    with pytest.raises(ConfigError, match="'inside'") as caught:
        _ = Network(branched(), "classes", layer="inside").feature_map
    assert "stem, sum, eight" in str(caught.value)


def test_many_photos_have_the_outputs_of_few(linear, images):
    network = Network(linear, "classes", batch_size=2)
    many = np.concatenate([images] * 4)  # compiled from a few batches on
    np.testing.assert_allclose(network.outputs(many)[4:8], linear(images), rtol=1e-5, atol=1e-6)
