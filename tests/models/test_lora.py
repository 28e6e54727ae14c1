"""LoRA's adapters: where they go, that they start as nothing, and that merging keeps outputs."""

import keras
import keras_hub
import numpy as np
import pytest

from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ConfigError
from fmkit.models import lora
from fmkit.models import registry as model_registry
from fmkit.models.backbone import is_adapter
from fmkit.train.checkpoints import variables

PIXELS = np.random.default_rng(0).uniform(0, 255, (3, 16, 16, 3)).astype(np.float32)


def config(name="small_vit", **changes):
    settings = {"weights": "none", "image_size": 16, "lora_rank": 2, "lora_alpha": 3.0}
    return ModelConfig(name=name, **{**settings, **changes})


def built(settings):
    keras.utils.set_random_seed(0)
    return model_registry.build(settings)


def learn(model):
    """Give every adapter something to add, as training would."""
    noise = np.random.default_rng(1)
    for layer in lora.adapted_layers(model):
        layer.lora_kernel_b.assign(noise.normal(0, 0.1, layer.lora_kernel_b.shape))


@pytest.fixture
def preset(tmp_path):
    """A small ViT of KerasHub, whose dense layers are inside of layers of its own."""
    inner = keras_hub.models.ViTBackbone((16, 16, 3), 8, 2, 2, 16, 32)
    inner.save_to_preset(str(tmp_path / "preset"))
    return str(tmp_path / "preset")


def outputs(model):
    return keras.ops.convert_to_numpy(model(PIXELS))


def test_fresh_adapters_change_neither_output_nor_fingerprint():
    backbone = built(config())
    plain, fingerprint = outputs(backbone.model), backbone.fingerprint()
    before = {each.path for each in backbone.model.weights}
    lora.add_adapters(backbone, config())
    np.testing.assert_array_equal(outputs(backbone.model), plain)
    assert backbone.fingerprint() == fingerprint
    new = [each for each in backbone.model.weights if each.path not in before]
    assert all(is_adapter(each) for each in new)
    assert len(new) == 2 * 3 * 6  # 3 blocks: query, key, value, output and two dense layers
    sizes = {
        each.path.removeprefix("block0_"): tuple(each.shape)
        for each in new
        if each.path.startswith(("block0_attention/query", "block0_dense1"))
    }
    assert sizes == {
        "attention/query/lora_kernel_a": (64, 4, 2),
        "attention/query/lora_kernel_b": (2, 16),
        "dense1/lora_kernel_a": (64, 2),
        "dense1/lora_kernel_b": (2, 128),
    }
    learn(backbone.model)  # features are others now: nothing may take them for the old ones
    assert np.abs(outputs(backbone.model) - plain).max() > 0.1
    assert backbone.fingerprint() != fingerprint


def test_a_pattern_chooses_the_layers():
    settings = config(lora_targets="query|value$")
    backbone = built(settings)
    lora.add_adapters(backbone, settings)
    paths = {layer.path for layer in lora.adapted_layers(backbone.model)}
    assert paths == {f"block{n}_attention/{part}" for n in range(3) for part in ("query", "value")}
    own = 3 * 2 * (64 * 4 * 2 + 2 * 16)
    share = own / sum(int(np.prod(each.shape)) for each in backbone.model.weights)
    line = f"lora: rank 2 on 6 layers, {100 * share:.1f}% of the parameters"
    assert lora.describe(backbone.model) == line


@pytest.mark.parametrize("name", ["small_vit", "hub"])
def test_a_merged_model_is_a_plain_one_with_the_same_outputs(name, preset, tmp_path):
    settings = config(name, preset=preset if name == "hub" else None)
    backbone = built(settings)
    model = backbone.model
    plain = [(each.path, tuple(each.shape)) for each in model.weights]
    lora.add_adapters(backbone, settings)
    assert len(lora.adapted_layers(model)) == (18 if name == "small_vit" else 12)
    learn(model)
    expected = model.predict(PIXELS, verbose=0)
    arrays = lora.merge_weights(variables.arrays(model.variables), settings)
    lora.merge_adapters(model)
    assert [(each.path, tuple(each.shape)) for each in model.weights] == plain
    np.testing.assert_allclose(outputs(model), expected, atol=1e-5)
    # A function that Keras compiled before the merge is still right.
    np.testing.assert_allclose(model.predict(PIXELS, verbose=0), expected, atol=1e-5)
    for path, value in variables.arrays(model.variables).items():
        np.testing.assert_allclose(arrays[path], value, atol=1e-6, err_msg=path)
    assert set(arrays) == set(variables.by_path(model.variables))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [tuple(each.shape) for each in loaded.weights] == [shape for _, shape in plain]
    np.testing.assert_allclose(outputs(loaded), expected, atol=1e-5)


def test_merging_keeps_full_precision_where_layers_compute_in_less():
    layer = keras.layers.Dense(5, dtype="mixed_bfloat16")
    model = keras.Sequential([keras.Input((4,)), layer])
    layer.enable_lora(2, lora_alpha=3.0)
    learn(model)
    kernel, first, second = (
        keras.ops.convert_to_numpy(each)
        for each in (layer._kernel, layer.lora_kernel_a, layer.lora_kernel_b)
    )
    lora.merge_adapters(model)
    found = keras.ops.convert_to_numpy(layer.kernel)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, kernel + 1.5 * first @ second, atol=1e-6)


def test_a_backbone_without_dense_layers_is_refused():
    with pytest.raises(ConfigError, match=r"model\.lora_rank: received 2, but small_cnn has no"):
        lora.add_adapters(built(config("small_cnn")), config("small_cnn"))


def test_a_pattern_that_fits_nothing_is_told_what_there_is():
    settings = config(lora_targets="mlp")
    with pytest.raises(ConfigError, match=r"'mlp'.*block0_attention/query.*and 7 more"):
        lora.add_adapters(built(settings), settings)
