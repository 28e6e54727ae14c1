"""A representative of each family of keras.applications, with random weights."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ConfigError
from fmkit.models.vision.application_families import APPLICATIONS
from fmkit.models.vision.applications import application
from fmkit.models.vision.preprocessing import image_input, preprocess

# name, image size, number of blocks, first block, one in the middle, last
FAMILIES = [
    ("convnext_tiny", 32, 1 + 18 + 3 + 1, "stem", "stage_2_block_8", "top"),
    ("densenet121", 32, 1 + 58 + 3 + 1, "stem", "transition2", "top"),
    ("efficientnet_b0", 32, 1 + 16 + 1, "stem", "block6d", "top"),
    ("efficientnet_v2_b0", 32, 1 + 21 + 1, "stem", "block6h", "top"),
    ("inception_resnet_v2", 75, 1 + 43 + 1, "stem", "block_17", "top"),
    ("inception_v3", 75, 1 + 11, "stem", "block_5", "block_11"),
    ("mobilenet", 32, 1 + 13, "stem", "block_6", "block_13"),
    ("mobilenet_v2", 32, 1 + 17 + 1, "stem", "block_16", "top"),
    ("mobilenet_v3_small", 32, 1 + 11 + 1, "stem", "block_10", "top"),
    ("nasnet_mobile", 32, 1 + 2 + 12 + 2, "stem", "cell_reduce_4", "cell_12"),
    ("resnet50", 32, 1 + 16, "stem", "conv4_block6", "conv5_block3"),
    ("resnet50_v2", 32, 1 + 16 + 1, "stem", "conv4_block6", "top"),
    ("vgg16", 32, 5, "block1", "block3", "block5"),
    ("xception", 71, 1 + 12 + 1, "stem", "block_12", "top"),
]


def build(name, size=None, weights="none"):
    return application(ModelConfig(name=name, weights=weights, image_size=size))


def images(size, count=2):
    return np.random.default_rng(0).uniform(0, 255, (count, size, size, 3)).astype("float32")


@pytest.mark.parametrize(("name", "size", "count", "first", "middle", "last"), FAMILIES)
def test_blocks_of_each_family(name, size, count, first, middle, last):
    backbone = build(name, size)
    names = [block.name for block in backbone.blocks]
    assert len(names) == count
    assert (names[0], names[-1]) == (first, last)
    assert middle in names
    # Every weight once is Backbone's own check; here: whole blocks come one after the other.
    order = {id(layer): position for position, layer in enumerate(backbone.model.layers)}
    starts = [min(order[id(layer)] for layer in block.layers) for block in backbone.blocks]
    assert starts == sorted(starts)
    assert len(backbone.model.output.shape) == 4
    keras.utils.clear_session()


def test_every_rule_for_blocks_has_a_representative():
    represented = {APPLICATIONS[name].family.rules for name, *_ in FAMILIES}
    assert represented == {each.family.rules for each in APPLICATIONS.values()}


@pytest.mark.parametrize(
    ("mode", "module"), [("caffe", "resnet"), ("tf", "mobilenet_v2"), ("torch", "densenet")]
)
def test_preprocessing_equals_keras(mode, module):
    inputs = image_input(16)
    ours = keras.Model(inputs, preprocess(inputs, mode))
    reference = getattr(keras.applications, module).preprocess_input(images(16).copy())
    np.testing.assert_allclose(ours(images(16)), reference, rtol=1e-5, atol=2e-5)


def test_the_scale_of_the_large_efficientnets_v2():
    inputs = image_input(16)
    ours = keras.Model(inputs, preprocess(inputs, "v2"))
    np.testing.assert_allclose(ours(images(16)), (images(16) - 128) / 128, atol=1e-6)


def test_every_family_has_the_preprocessing_of_its_module():
    modules = {
        "densenet": ("torch", "densenet"),
        "inception_resnet_v2": ("tf", "inception_resnet_v2"),
        "inception_v3": ("tf", "inception_v3"),
        "mobilenet": ("tf", "mobilenet"),
        "mobilenet_v2": ("tf", "mobilenet_v2"),
        "nasnet": ("tf", "nasnet"),
        "resnet50": ("caffe", "resnet"),
        "resnet50_v2": ("tf", "resnet_v2"),
        "vgg16": ("caffe", "vgg16"),
        "vgg19": ("caffe", "vgg19"),
        "xception": ("tf", "xception"),
    }
    for prefix, (mode, module) in modules.items():
        entry = next(each for name, each in APPLICATIONS.items() if name.startswith(prefix))
        assert entry.family.preprocessing == mode
        inputs = image_input(4)
        ours = keras.Model(inputs, preprocess(inputs, mode))(images(4))
        theirs = getattr(keras.applications, module).preprocess_input(images(4).copy())
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=2e-5, err_msg=module)


@pytest.mark.parametrize("name", ["convnext_tiny", "efficientnet_v2_b0", "mobilenet_v3_small"])
def test_families_that_bring_their_preprocessing_get_the_same_from_us(name):
    backbone = build(name, 32)
    function = getattr(keras.applications, APPLICATIONS[name].keras_name)
    reference = function(weights=None, include_top=False, input_shape=(32, 32, 3))
    reference.set_weights(backbone.model.get_weights())

    def first_inputs(model):
        layer = next(each for each in model.layers if each.weights)
        return keras.Model(model.input, layer.input)(images(32))

    ours = first_inputs(backbone.model)
    np.testing.assert_allclose(ours, first_inputs(reference), rtol=1e-4, atol=1e-5)
    assert abs(float(np.mean(ours))) < 1
    keras.utils.clear_session()


def test_models_load_without_fmkit(tmp_path):
    outputs = {}
    for name, last in (  # Keras' own LayerScale; the flip from RGB to BGR
        ("convnext_tiny", "convnext_tiny_stage_0_block_0_identity"),
        ("resnet50", "conv2_block1_out"),
    ):
        whole = build(name, 32).model
        model = keras.Model(whole.input, whole.get_layer(last).output)
        model.save(tmp_path / f"{name}.keras")
        outputs[name] = np.asarray(keras.ops.convert_to_numpy(model(images(32))))
        keras.utils.clear_session()
    np.savez(tmp_path / "expected.npz", images=images(32), **outputs)
    code = """
import sys, keras, numpy as np
expected = np.load(sys.argv[1] + "/expected.npz")
for name in expected.files:
    if name != "images":
        model = keras.saving.load_model(f"{sys.argv[1]}/{name}.keras", safe_mode=True)
        np.testing.assert_allclose(model(expected["images"]), expected[name], rtol=1e-4, atol=1e-5)
assert not any(each.startswith("fmkit") for each in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


@pytest.mark.parametrize(
    ("name", "size", "allowed"),
    [("inception_v3", 74, "75 pixels"), ("xception", 70, "71 pixels"), ("resnet50", 16, "32 pix")],
)
def test_images_that_are_too_small(name, size, allowed):
    with pytest.raises(ConfigError, match=allowed):
        build(name, size)


def test_weights_that_cannot_be_fetched(tmp_path):
    nobody = "http://127.0.0.1:9"  # the discard port
    proxies = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    environment = os.environ | dict.fromkeys(proxies, nobody)
    environment |= {"KERAS_HOME": str(tmp_path), "no_proxy": "", "NO_PROXY": ""}
    code = """
from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ArtifactError
from fmkit.models.registry import build
try:
    build(ModelConfig("mobilenet", "imagenet", image_size=128))
except ArtifactError as error:
    print(error)
try:
    build(ModelConfig("efficientnet_b0", "imagenet"))
except ArtifactError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    assert "mobilenet_1_0_128_tf_no_top.h5" in done.stdout
    assert "efficientnetb0_notop.h5" in done.stdout
    assert str(tmp_path / "models") in done.stdout
    assert "model.weights=none" in done.stdout
    assert "fmkit[demo]" in done.stdout
    assert "Downloading" not in done.stdout  # Keras says so, on stderr
