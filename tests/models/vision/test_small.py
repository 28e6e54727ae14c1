import subprocess
import sys

import keras
import numpy as np
import pytest

from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ConfigError
from fmkit.models.registry import build


def photos(size=32, count=4):
    return np.random.default_rng(0).uniform(0, 255, (count, size, size, 3)).astype("float32")


def test_the_cnn_is_small_and_has_batchnorm():
    backbone = build(ModelConfig("small_cnn", "none"))
    assert backbone.model.count_params() < 100_000
    assert [block.name for block in backbone.blocks] == ["stem", "block1", "block2", "block3"]
    assert backbone.model.output.shape == (None, 4, 4, 96)
    layers = backbone.model.layers
    assert any(isinstance(each, keras.layers.BatchNormalization) for each in layers)


def test_the_vit_has_a_class_token_that_sees_the_image():
    backbone = build(ModelConfig("small_vit", "none", image_size=16))
    assert backbone.features == "tokens"
    assert backbone.has_class_token
    assert backbone.model.output.shape == (None, 1 + 16, 64)
    names = [block.name for block in backbone.blocks]
    assert names == ["stem", "block0", "block1", "block2", "top"]
    tokens = keras.ops.convert_to_numpy(backbone.model(photos(16)))
    assert np.abs(tokens[0, 0] - tokens[1, 0]).max() > 1e-3


def test_the_vit_cuts_patches_where_it_should():
    # The embedding at one place must depend on that patch's pixels and on no others.
    model = build(ModelConfig("small_vit", "none", image_size=16)).model
    embedding = keras.Model(model.input, model.get_layer("stem_embedding").output)
    photo = photos(16, 1)
    changed = photo.copy()
    changed[0, 4:8, 8:12] = 0  # second row of patches, third column: patch 4 + 2, token 7
    before, after = (keras.ops.convert_to_numpy(embedding(each)) for each in (photo, changed))
    moved = np.abs(before - after).max(axis=-1)[0] > 1e-6
    assert list(np.flatnonzero(moved)) == [1 + 4 + 2]


@pytest.mark.parametrize("name", ["small_cnn", "small_vit"])
def test_both_learn(name):
    keras.utils.set_random_seed(0)
    backbone = build(ModelConfig(name, "none", image_size=16))
    labels = np.arange(64) % 2
    images = photos(16, 64) * 0.2
    images[labels == 1, :8] += 150
    x = keras.layers.Flatten()(backbone.model.output)
    model = keras.Model(backbone.model.input, keras.layers.Dense(2)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    model.fit(images, labels, epochs=5, batch_size=16, verbose=0)
    assert model.evaluate(images, labels, verbose=0, return_dict=True)["accuracy"] > 0.9


@pytest.mark.parametrize(("name", "size"), [("small_cnn", 7), ("small_vit", 4), ("small_vit", 30)])
def test_sizes_that_do_not_go(name, size):
    with pytest.raises(ConfigError, match=f"received {size}"):
        build(ModelConfig(name, "none", image_size=size))


def test_both_load_without_fmkit(tmp_path):
    expected = {}
    for name in ("small_cnn", "small_vit"):
        model = build(ModelConfig(name, "none")).model
        model.save(tmp_path / f"{name}.keras")
        expected[name] = keras.ops.convert_to_numpy(model(photos()))
    np.savez(tmp_path / "expected.npz", **expected)
    np.save(tmp_path / "photos.npy", photos())
    code = """
import sys, keras, numpy as np
photos, expected = np.load(sys.argv[1] + "/photos.npy"), np.load(sys.argv[1] + "/expected.npz")
for name in expected.files:
    model = keras.saving.load_model(f"{sys.argv[1]}/{name}.keras", safe_mode=True)
    np.testing.assert_allclose(model(photos), expected[name], rtol=1e-4, atol=1e-5)
assert not any(each.startswith("fmkit") for each in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_pixels_are_scaled_in_float32_under_mixed_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        for name in ("small_cnn", "small_vit", "efficientnet_lite0"):
            model = build(ModelConfig(name, "none", image_size=32)).model
            assert model.get_layer("preprocess").output.dtype == "float32"
            assert model.output.dtype == "bfloat16"
            assert all(each.dtype == "float32" for each in model.weights)
    finally:
        keras.config.set_dtype_policy(before)
