"""Small random KerasHub backbones, saved as preset folders and read back."""

import json

import keras
import keras_hub
import numpy as np
import pytest

from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ArtifactError, ConfigError
from fmkit.models.blocks import blocks_by_unit
from fmkit.models.hub.families import IMAGE_BACKBONES
from fmkit.models.hub.presets import preset_classes
from fmkit.models.hub.vision import _RULES, hub

SHAPE = (32, 32, 3)


def resnet():
    return keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 2],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=SHAPE,
    )


def vit():
    return keras_hub.models.ViTBackbone(SHAPE, 8, 2, 2, 16, 32)


def deit():
    return keras_hub.models.DeiTBackbone(SHAPE, 8, 2, 2, 16, 32)


def dinov2():
    return keras_hub.models.DINOV2Backbone(
        patch_size=8,
        num_layers=2,
        hidden_dim=16,
        num_heads=2,
        intermediate_dim=32,
        num_register_tokens=3,
        image_shape=SHAPE,
        position_embedding_shape=SHAPE,
    )


def efficientnet():
    return keras_hub.models.EfficientNetBackbone(
        stackwise_kernel_sizes=[3, 3],
        stackwise_num_repeats=[1, 2],
        stackwise_input_filters=[8, 8],
        stackwise_output_filters=[8, 16],
        stackwise_expansion_ratios=[1, 4],
        stackwise_squeeze_and_excite_ratios=[0.0, 0.25],
        stackwise_strides=[1, 2],
        stackwise_block_types=["fused", "unfused"],
        width_coefficient=1.0,
        depth_coefficient=1.0,
        input_shape=SHAPE,
    )


def hgnet():
    return keras_hub.models.HGNetV2Backbone(
        depths=[1, 2],
        embedding_size=8,
        hidden_sizes=[16, 32],
        stem_channels=[3, 8, 8],
        hidden_act="relu",
        use_learnable_affine_block=False,
        stackwise_stage_filters=[(8, 8, 16, 1, 1, 3), (16, 8, 32, 2, 1, 3)],
        apply_downsample=[False, True],
        use_lightweight_conv_block=[False, False],
        image_shape=SHAPE,
    )


def mobilenet():
    return keras_hub.models.MobileNetBackbone(
        stackwise_expansion=[[16], [24, 24]],
        stackwise_num_blocks=[1, 2],
        stackwise_num_filters=[[8], [16, 16]],
        stackwise_kernel_size=[[3], [3, 3]],
        stackwise_num_strides=[[2], [2, 1]],
        stackwise_se_ratio=[[None], [0.25, 0.25]],
        stackwise_activation=[["relu"], ["relu", "relu"]],
        stackwise_padding=[[1], [1, 1]],
        output_num_filters=32,
        input_num_filters=8,
        input_activation="relu",
        output_activation="relu",
        depthwise_filters=8,
        depthwise_stride=1,
        depthwise_residual=False,
        squeeze_and_excite=0.5,
        last_layer_filter=32,
        image_shape=SHAPE,
    )


def mobilenet_v5():
    off, zero = [[False], [False, False]], [[0], [0, 0]]
    return keras_hub.models.MobileNetV5Backbone(
        stackwise_block_types=[["er"], ["uir", "uir"]],
        stackwise_num_blocks=[1, 2],
        stackwise_num_filters=[[8], [16, 16]],
        stackwise_strides=[[2], [2, 1]],
        stackwise_act_layers=[["relu"], ["relu", "relu"]],
        stackwise_exp_ratios=[[4.0], [6.0, 6.0]],
        stackwise_se_ratios=[[0.0], [0.0, 0.0]],
        stackwise_dw_kernel_sizes=[[0], [5, 5]],
        stackwise_dw_start_kernel_sizes=zero,
        stackwise_dw_end_kernel_sizes=zero,
        stackwise_exp_kernel_sizes=[[3], [0, 0]],
        stackwise_pw_kernel_sizes=[[1], [0, 0]],
        stackwise_num_heads=zero,
        stackwise_key_dims=zero,
        stackwise_value_dims=zero,
        stackwise_kv_strides=zero,
        stackwise_use_cpe=off,
        use_msfa=False,
        image_shape=SHAPE,
    )


def mit():
    return keras_hub.models.MiTBackbone(
        layerwise_depths=[1, 2],
        num_layers=2,
        layerwise_num_heads=[1, 2],
        layerwise_sr_ratios=[2, 1],
        max_drop_path_rate=0.1,
        layerwise_patch_sizes=[7, 3],
        layerwise_strides=[4, 2],
        image_shape=SHAPE,
        hidden_dims=[8, 16],
    )


def cspnet():
    return keras_hub.models.CSPNetBackbone(
        stem_filters=8,
        stem_kernel_size=3,
        stem_strides=1,
        stackwise_depth=[1, 2],
        stackwise_strides=[1, 2],
        stackwise_num_filters=[8, 16],
        block_type="dark_block",
        stage_type="csp",
        block_ratio=[0.5],
        image_shape=SHAPE,
    )


def dinov3():
    return keras_hub.models.DINOV3Backbone(8, 2, 16, 2, 32, image_shape=SHAPE)


def densenet():
    return keras_hub.models.DenseNetBackbone([1, 2], image_shape=SHAPE, growth_rate=4)


def swin():
    return keras_hub.models.SwinTransformerBackbone(SHAPE, 8, (2, 2), (1, 2), 4, patch_size=2)


def vgg():
    return keras_hub.models.VGGBackbone([1, 2], [4, 8], image_shape=SHAPE)


def xception():
    filters, pooling = [[4, 8], [8, 8]], [True, False]
    return keras_hub.models.XceptionBackbone(filters, pooling, image_shape=SHAPE)


def save(folder, backbone, converter=True):
    backbone.save_to_preset(folder)
    if converter:
        kind = type(backbone).__name__.replace("Backbone", "ImageConverter")
        layer = getattr(keras_hub.layers, kind)(
            image_size=SHAPE[:2], scale=[1 / 50, 1 / 60, 1 / 70], offset=[-2.0, -2.1, -1.9]
        )
        layer.save_to_preset(folder)
        return layer
    return None


def config(folder, **keys):
    return ModelConfig("hub", preset=str(folder), **keys)


def photos(size=32):
    return np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype("float32")


@pytest.mark.parametrize(
    ("make", "features", "token", "blocks"),
    [
        (resnet, "map", False, ["stem", "stack0_block0", "stack1_block0", "stack1_block1"]),
        (efficientnet, "map", False, ["stem", "block1a", "block2a", "block2b", "top"]),
        (vit, "tokens", True, 4),
        (deit, "tokens", True, 4),
        (dinov2, "tokens", True, 4),
        (hgnet, "map", False, 5),
    ],
)
def test_a_folder_gives_the_features_that_keras_hub_gives(tmp_path, make, features, token, blocks):
    reference = make()
    converter = save(tmp_path, reference)
    backbone = hub(config(tmp_path))
    assert (backbone.features, backbone.has_class_token) == (features, token)
    assert (backbone.weights, backbone.image_size) == (str(tmp_path), 32)
    names = [block.name for block in backbone.blocks]
    assert names == blocks or len(names) == blocks
    inputs = converter(photos())
    if isinstance(reference.input, dict):
        inputs = {next(iter(reference.input)): inputs}
    expected = reference(inputs)
    if isinstance(expected, dict):
        expected = list(expected.values())[-1]
    expected = keras.ops.convert_to_numpy(expected)
    if token:  # registers and the distillation token stand for no patch
        patches = (32 // 8) ** 2
        expected = np.concatenate([expected[:, :1], expected[:, -patches:]], axis=1)
    found = keras.ops.convert_to_numpy(backbone.model(photos()))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert hub(config(tmp_path)).fingerprint() == backbone.fingerprint()


@pytest.mark.parametrize(("make", "leading"), [(vit, 1), (deit, 2), (dinov2, 4)])
def test_a_vision_transformer_runs_on_some_of_its_patches(tmp_path, make, leading):
    save(tmp_path, make())
    backbone = hub(config(tmp_path))
    patches = backbone.patches
    assert (patches.side, patches.leading, patches.count) == (8, leading, 16)
    some = keras.Input((None, 16))
    encoder = keras.Model(some, patches.encode(some))
    embed = keras.Model(backbone.model.input, patches.tokens)
    tokens = keras.ops.convert_to_numpy(embed(photos()))
    found = keras.ops.convert_to_numpy(encoder(tokens))
    expected = keras.ops.convert_to_numpy(backbone.model(photos()))
    np.testing.assert_allclose(found[:, [0, *range(leading, leading + 16)]], expected, atol=1e-6)
    assert encoder(tokens[:, : leading + 4]).shape == (2, leading + 4, 16)
    # A patch's token is made of its pixels alone.
    changed = photos()
    changed[:, 8:16, 24:] = 0  # second row, fourth column
    moved = np.abs(keras.ops.convert_to_numpy(embed(changed)) - tokens).max(axis=(0, 2)) > 1e-6
    assert np.flatnonzero(moved).tolist() == [leading + 4 + 3]
    network = keras.Model(backbone.model.input, patches.features)
    assert {id(each) for each in network.weights} == {id(each) for each in backbone.model.weights}


def test_what_adds_positions_in_every_layer_does_not(tmp_path):
    save(tmp_path, dinov3(), converter=False)
    assert hub(config(tmp_path, weights="none")).patches is None
    save(tmp_path / "resnet", resnet())
    assert hub(config(tmp_path / "resnet")).patches is None


OTHERS = {
    cspnet: [
        "stem", "stage_0", "stage_0_block_0", "stage_0_transition",
        "stage_1", "stage_1_block_0", "stage_1_block_1", "stage_1_transition",
    ],
    dinov3: ["embeddings", "encoder.layers_0", "encoder.layers_1", "top"],
    densenet: ["stem", "stack1_block1", "transition1", "stack2_block1", "stack2_block2", "top"],
    mit: [
        "patch_and_embed_0", "hierarchical_encoder_0_0",
        "patch_and_embed_1", "hierarchical_encoder_1_0", "hierarchical_encoder_1_1", "top",
    ],
    mobilenet: ["stem", "block_0_0", "block_1_0", "block_2_0", "block_2_1", "block_3_0"],
    mobilenet_v5: [
        "conv_stem", "edge_residual_0",
        "universal_inverted_residual_0", "universal_inverted_residual_1",
    ],
    swin: [
        "patch_embedding_0", "stage_0.blocks_0", "stage_0.blocks_1", "stage_0.downsample",
        "stage_1.blocks_0", "stage_1.blocks_1", "top",
    ],
    vgg: ["block1", "block2"],
    xception: ["block1", "block2"],
}  # fmt: skip


@pytest.mark.parametrize("make", OTHERS, ids=lambda each: each.__name__)
def test_blocks_of_every_other_kind(make):
    inner = make()
    blocks = blocks_by_unit(inner, _RULES)
    assert [block.name for block in blocks] == OTHERS[make]
    # Every weight is held once, and no block reaches past the one that comes next.
    places = {id(weight): place for place, weight in enumerate(inner.weights)}
    held = [
        places.pop(id(weight))
        for block in blocks
        for layer in block.layers
        for weight in layer.weights
    ]
    assert not places
    assert held == sorted(held)


def test_every_kind_is_walked():
    assert len(OTHERS) + 6 == len(IMAGE_BACKBONES)  # six as folders, see above


def test_random_weights_and_another_size(tmp_path):
    save(tmp_path, vit())
    trained = hub(config(tmp_path))
    backbone = hub(config(tmp_path, weights="none", image_size=48))
    assert backbone.model.output.shape == (None, 1 + 36, 16)
    assert backbone.weights == "none"
    assert backbone.fingerprint() != trained.fingerprint()


def test_a_convolutional_backbone_takes_any_size_with_its_weights(tmp_path):
    save(tmp_path, resnet())
    backbone = hub(config(tmp_path, image_size=64))
    assert backbone.model.input.shape == (None, 64, 64, 3)
    assert backbone.fingerprint() == hub(config(tmp_path)).fingerprint()


def test_weights_from_a_file(tmp_path):
    reference = resnet()
    save(tmp_path, reference)
    reference.save_weights(tmp_path / "mine.weights.h5")
    backbone = hub(config(tmp_path, weights=str(tmp_path / "mine.weights.h5")))
    assert backbone.fingerprint() == hub(config(tmp_path)).fingerprint()


@pytest.mark.parametrize(("size", "message"), [(48, "Expected 32"), (30, "Expected 32")])
def test_a_vit_with_weights_takes_one_size(tmp_path, size, message):
    save(tmp_path, vit())
    with pytest.raises(ConfigError, match=message):
        hub(config(tmp_path, image_size=size))


def test_a_size_that_no_weights_would_take(tmp_path):
    save(tmp_path, vit())
    with pytest.raises(ConfigError, match="divisible"):
        hub(config(tmp_path, weights="none", image_size=30))


def test_trained_weights_without_preprocessing_are_refused(tmp_path):
    save(tmp_path, resnet(), converter=False)
    with pytest.raises(ArtifactError, match=r"image_converter\.json"):
        hub(config(tmp_path))
    assert hub(config(tmp_path, weights="none")).image_size == 32


def test_another_kind_of_backbone_is_refused_before_it_is_built(tmp_path):
    keras_hub.models.FNetBackbone(30, 1, 8, 16, max_sequence_length=8).save_to_preset(tmp_path)
    (tmp_path / "model.weights.h5").unlink()
    with pytest.raises(
        ConfigError, match="FNetBackbone, which is not a backbone for images or texts"
    ):
        hub(config(tmp_path))
    with pytest.raises(ConfigError, match="is not a backbone for images or texts"):
        hub(config("whisper_tiny_en"))


def test_a_folder_that_names_any_other_class_is_refused(tmp_path):
    content = {"module": "keras", "class_name": "Functional", "registered_name": "Functional"}
    (tmp_path / "config.json").write_text(json.dumps(content | {"config": {"layers": []}}))
    with pytest.raises(ConfigError, match="is not a backbone for images or texts"):
        hub(config(tmp_path))


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_folder_that_is_no_preset(tmp_path, content):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ArtifactError, match=r"no readable config\.json"):
        hub(config(tmp_path))


def test_a_damaged_weights_file(tmp_path):
    save(tmp_path, resnet())
    weights = tmp_path / "model.weights.h5"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ArtifactError, match="refused as a file of weights"):
        hub(config(tmp_path))


@pytest.mark.parametrize("file", ["config.json", "image_converter.json", "task.json"])
@pytest.mark.parametrize("module", ["keras.layers", "os", None])
def test_a_preset_that_asks_for_anything_else(tmp_path, file, module):
    save(tmp_path, resnet())
    path = tmp_path / file
    content = json.loads(path.read_text()) if path.exists() else {"config": {}}
    content["config"]["dtype"] = {"module": module, "class_name": "Lambda", "config": {}}
    path.write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=r"asks for .*Lambda"):
        hub(config(tmp_path))


def test_presets_by_name():
    assert "resnet_50_imagenet" in preset_classes(IMAGE_BACKBONES)
    assert "bert_base_en" not in preset_classes(IMAGE_BACKBONES)
    with pytest.raises(ConfigError, match="Did you mean resnet_50_imagenet"):
        hub(config("resnet_50_imagnet"))
    with pytest.raises(ConfigError, match=r"it is empty, and model\.name=hub needs it"):
        hub(ModelConfig("hub"))
