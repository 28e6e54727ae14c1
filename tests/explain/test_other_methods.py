"""Occlusion, integrated gradients and attention rollout against plain computations."""

import keras
import numpy as np
import pytest

from fmkit.config.schema.model import ModelConfig
from fmkit.explain.attention_rollout import attention_rollout
from fmkit.explain.integrated_gradients import attribute, integrated_gradients
from fmkit.explain.maps import Settings
from fmkit.explain.network import Network, PatchTokens, blank
from fmkit.explain.occlusion import occlusion
from fmkit.models.keras_internals import attention_scores
from fmkit.models.vision.small import small_vit

SIZE = 16
TARGETS = np.array([0, 1, 1])


@pytest.fixture(scope="module")
def model():
    """Smooth, so that a sum is near its integral."""
    keras.utils.set_random_seed(3)
    images = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1)(images)
    x = keras.layers.Conv2D(4, 3, strides=2, activation="tanh")(x)
    x = keras.layers.Flatten()(x)
    return keras.Model(images, keras.layers.Dense(2)(x))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(2).integers(0, 256, (3, SIZE, SIZE, 3)).astype(np.uint8)


def test_occlusion_by_a_plain_loop(model, images):
    made = occlusion(Network(model, "classes"), images, TARGETS, Settings(cells=4)).values
    expected = np.zeros((3, 4, 4))
    for number, image in enumerate(images.astype(np.float32)):
        falls = [[[] for _ in range(4)] for _ in range(4)]
        for top in range(3):
            for left in range(3):
                covered = image.copy()
                covered[4 * top : 4 * top + 8, 4 * left : 4 * left + 8] = image.mean(axis=(0, 1))
                pair = np.asarray(model(np.stack([image, covered])))[:, TARGETS[number]]
                for row in (top, top + 1):
                    for column in (left, left + 1):
                        falls[row][column].append(pair[0] - pair[1])
        expected[number] = [[np.mean(cell) for cell in row] for row in falls]
    np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-5)


def test_attributions_of_a_linear_model_are_its_weights_times_the_pixels(images):
    inputs = keras.Input((SIZE, SIZE, 3))
    linear = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs)))
    kernel = np.asarray(linear.layers[-1].kernel).reshape(SIZE, SIZE, 3, 2)
    attributions, errors = attribute(Network(linear, "classes"), images, TARGETS, steps=1)
    expected = (images - blank(images)) * np.moveaxis(kernel[..., TARGETS], -1, 0)
    np.testing.assert_allclose(attributions, expected, rtol=1e-4, atol=1e-3)
    assert errors.max() < 1e-3


def test_attributions_add_up_to_the_difference_of_the_scores(model, images):
    network = Network(model, "classes")
    attributions, errors = attribute(network, images, TARGETS, steps=64)
    pair = [np.asarray(model(batch.astype(np.float32))) for batch in (images, blank(images))]
    differences = (pair[0] - pair[1])[range(3), TARGETS]
    np.testing.assert_allclose(attributions.sum(axis=(1, 2, 3)), differences, rtol=0.02)
    _, rough = attribute(network, images, TARGETS, steps=1)
    assert errors.max() < rough.max()
    made = integrated_gradients(network, images, TARGETS, Settings(steps=1))
    assert made.figures["completeness_error"].max() < 0.05  # it takes as many steps as that needs
    np.testing.assert_allclose(
        made.values.sum(axis=(1, 2)), differences, rtol=0.1
    )  # a cell a pixel here


def test_rollout_by_the_attention_of_each_layer():
    keras.utils.set_random_seed(4)
    backbone = small_vit(ModelConfig(name="small_vit", image_size=16, weights="none"))
    head = keras.layers.Dense(2)(backbone.model.output[:, 0])
    model = keras.Model(backbone.model.input, head)
    for weight in model.trainable_weights:  # attention that differs from place to place
        weight.assign(weight + 0.3 * np.random.default_rng(0).normal(size=weight.shape))
    images = np.random.default_rng(1).uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)
    before = np.asarray(model(images))
    scores = attention_scores(model, images)
    assert [tuple(layer.shape) for layer in scores] == [(2, 4, 17, 17)] * 3
    # The first layer's, by the layer's own argument.
    attention = backbone.model.get_layer("block0_attention")
    x = keras.Model(backbone.model.input, backbone.model.get_layer("block0_norm1").output)(images)
    _, own = attention(x, x, return_attention_scores=True)
    np.testing.assert_allclose(scores[0], own, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model(images), before, rtol=1e-6)  # nothing is left of it
    made = {}
    for reads_class in (True, False):
        network = Network(model, "classes", patches=PatchTokens(16, 1, reads_class))
        made[reads_class] = attention_rollout(network, images, np.array([0, 0]), Settings()).values
    for number in range(2):
        product = np.eye(17)
        for layer in scores:
            mean = sum(np.asarray(layer[number, head]) for head in range(4)) / 4
            product = (0.5 * mean + 0.5 * np.eye(17)) @ product
        for reads_class, row in ((True, product[0, 1:]), (False, product[1:, 1:].mean(axis=0))):
            expected = (row - row.min()).reshape(4, 4)
            np.testing.assert_allclose(made[reads_class][number], expected, atol=1e-6)
    assert made[True].std() > 1e-4
