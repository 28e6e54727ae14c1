"""Checks tell maps that mean something from those that do not, and agree with plain loops."""

import itertools

import keras
import numpy as np
import pytest
from scipy.stats import spearmanr

from fmkit.explain import deletion_insertion, grad_cam, randomised_weights
from fmkit.explain.maps import Settings, relative, resized
from fmkit.explain.network import Network
from fmkit.models.backbone import Block

SIZE = 16


@pytest.fixture(scope="module")
def planted():
    """A network that sees one thing: how much brighter than grey the photo is, place by place."""
    images = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Rescaling(1 / 255)(images)
    features = keras.layers.Conv2D(2, 4, strides=4, activation="relu", name="features")
    x = keras.layers.GlobalAveragePooling2D()(features(x))
    head = keras.layers.Dense(2, name="logits")
    model = keras.Model(images, head(x))
    kernel = np.zeros((4, 4, 3, 2), np.float32)
    kernel[..., 0] = 1 / 48
    features.set_weights([kernel, np.array([-0.6, 0], np.float32)])
    head.set_weights([np.array([[0, 60], [0, 0]], np.float32), np.array([1, 0], np.float32)])
    return model


PATCHES = [(0, 0), (4, 8), (12, 12)]


@pytest.fixture(scope="module")
def images():
    """Noise, and in each photo one bright patch, which decides the class."""
    photos = np.random.default_rng(0).integers(60, 140, (3, SIZE, SIZE, 3)).astype(np.uint8)
    for photo, (top, left) in zip(photos, PATCHES, strict=True):
        photo[top : top + 4, left : left + 4] = 250
    return photos


TARGETS = np.ones(3, np.int64)


@pytest.fixture(scope="module")
def heat(planted, images):
    return grad_cam.grad_cam(Network(planted, "classes"), images, TARGETS, Settings()).values


def test_a_planted_patch_is_where_the_map_is_highest(planted, images, heat):
    assert (Network(planted, "classes").outputs(images).argmax(axis=1) == 1).all()
    for values, (top, left) in zip(heat, PATCHES, strict=True):
        assert np.unravel_index(values.argmax(), values.shape) == (top // 4, left // 4)
        assert np.count_nonzero(values) == 1


def test_maps_of_the_patch_beat_random_maps_and_their_opposites_do_not(planted, images, heat):
    network = Network(planted, "classes")
    good = deletion_insertion.evaluate(network, images, TARGETS, heat, seed=1)
    bad = deletion_insertion.evaluate(network, images, TARGETS, -heat, seed=1)
    for kind, sign in (("deletion", 1), ("insertion", -1)):
        assert sign * (good[kind]["random_area"] - good[kind]["area"]) > 0.05
        assert good[kind]["share_better"] == 1
        assert good[kind]["interval"][0] > 0
        assert bad[kind]["better_by"] < 0
        assert len(good[kind]["curve"]) == len(good["shares"]) == 17
    # The whole photo, and nothing of it.
    curve = good["deletion"]["curve"]
    assert curve[0] == pytest.approx(good["insertion"]["curve"][-1])
    assert curve[-1] < 0.5 < curve[0]


def test_the_area_of_a_curve_by_a_plain_loop(planted, images, heat):
    """Without ties in the map nothing is left to chance."""
    network, photo = Network(planted, "classes"), images[0]
    values = heat[0] + np.linspace(0, 1e-3, 16).reshape(4, 4)
    made = deletion_insertion.evaluate(network, photo[None], TARGETS[:1], values[None], seed=0)
    order = np.argsort(-resized(values[None].astype(np.float32), SIZE).ravel(), kind="stable")
    curve = []
    for step in range(17):
        picture = photo.reshape(-1, 3).astype(np.float32)
        picture[order[: 16 * step]] = photo.mean(axis=(0, 1))
        logits = np.asarray(planted(picture.reshape(1, SIZE, SIZE, 3)))[0]
        curve.append(1 / (1 + np.exp(logits[0] - logits[1])))
    np.testing.assert_allclose(made["deletion"]["curve"], curve, atol=1e-5)
    area = sum((left + right) / 2 for left, right in itertools.pairwise(curve)) / 16
    assert made["deletion"]["area"] == pytest.approx(area, abs=1e-5)


def test_maps_that_do_not_depend_on_the_weights_fail_and_the_weights_come_back(images):
    keras.utils.set_random_seed(6)
    inputs = keras.Input((SIZE, SIZE, 3))
    stem = keras.layers.Conv2D(8, 3, strides=2, activation="relu")
    block = keras.layers.Conv2D(8, 3, padding="same", activation="relu")
    x = keras.layers.GlobalAveragePooling2D()(block(stem(inputs)))
    model = keras.Model(inputs, keras.layers.Dense(4)(x))
    blocks = (Block("stem", (stem,)), Block("block", (block,)))
    network = Network(model, "classes")
    before = model.get_weights()

    def compute():
        return grad_cam.grad_cam(network, images, TARGETS, Settings()).values

    def evaluate(explain):
        return randomised_weights.evaluate(model, blocks, explain, explain(), seed=0)

    made = evaluate(compute)
    assert made["randomised"] == ["head", "and down to block", "and down to stem"]
    assert made["passed"]
    assert made["rank_correlations"][-1] < 0.5
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)
    edges = np.abs(np.diff(images.astype(np.float32).mean(axis=-1), axis=1))
    always = evaluate(lambda: edges)
    assert not always["passed"]
    assert always["rank_correlations"] == pytest.approx([1, 1, 1])
    with pytest.raises(RuntimeError):  # also where it fails
        randomised_weights.evaluate(model, blocks, _fail, edges, seed=0)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


def _fail():
    raise RuntimeError


def test_rank_correlations_are_spearmans():
    generator = np.random.default_rng(3)
    first, second = generator.integers(0, 5, (2, 4, 6, 6)).astype(np.float32)
    expected = [
        spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)
    ]
    made = randomised_weights.rank_correlations(first, second)
    np.testing.assert_allclose(made, expected, atol=1e-12)
    flat = np.zeros((1, 3, 3))
    assert randomised_weights.rank_correlations(flat, generator.random((1, 3, 3)))[0] == 0


def test_maps_are_resized_with_their_centres_in_place_and_shown_from_0_to_1():
    values = np.array([[1, 3], [5, -7]], np.float32)
    large = resized(values[None], 8)[0]
    assert large[0, 0] == 1  # the middle of a cell and all outside of it
    assert large[3:5, 0].mean() == pytest.approx(3)  # between 1 and 5
    np.testing.assert_allclose(relative(values), [[0.2, 0.6], [1, 0]], rtol=1e-6)
    assert not relative(-np.abs(values)).any()
