"""An image and a text tower as one backbone: joined features, blocks by tower, one fingerprint."""

import keras
import numpy as np
import pytest

from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ConfigError
from fmkit.models import heads
from fmkit.models.composite_backbone import CompositeBackbone
from fmkit.models.registry import build
from fmkit.train import freeze
from fmkit.train.phases import Phase

SIDE, TOKENS = 16, 12


def towers():
    keras.utils.set_random_seed(0)
    return {
        "photo": build(ModelConfig("small_cnn", "none", image_size=SIDE)),
        "caption": build(ModelConfig("small_bert", "none")),
    }


def examples(count=32):
    """Labels that neither part tells alone: whether the photo and its caption agree."""
    rng = np.random.default_rng(0)
    bright, says_bright = rng.integers(0, 2, (2, count))
    photos = bright[:, None, None, None] * 200 + rng.uniform(0, 50, (count, SIDE, SIDE, 3))
    tokens = np.where(says_bright, 100, 50)[:, None] + rng.integers(0, 5, (count, TOKENS))
    tokens[:, TOKENS - 3 :] = -1
    inputs = {"photo": photos.astype("float32"), "caption": tokens.astype("int32")}
    return inputs, (bright == says_bright).astype("int32")


def network(backbone):
    config = ModelConfig(dropout=0.0, hidden=16)
    return keras.Model(backbone.model.input, heads.classification_head(backbone, 2, config))


def values(variables):
    return {each.path: keras.ops.convert_to_numpy(each).copy() for each in variables}


def test_features_are_those_of_the_towers_side_by_side():
    parts = towers()
    backbone = CompositeBackbone("clip", parts)
    inputs, _ = examples(3)
    joined = keras.ops.convert_to_numpy(backbone.model(inputs))
    alone = [
        keras.ops.convert_to_numpy(keras.Model(part.model.input, heads.pool(part))(inputs[name]))
        for name, part in parts.items()
    ]
    np.testing.assert_allclose(joined, np.concatenate(alone, axis=1), rtol=1e-6)
    assert backbone.features == "vector"
    assert backbone.modality == "image+text"
    assert heads.pool(backbone) is backbone.model.output
    assert not any(each.name.startswith(heads.HEAD_PREFIXES) for each in backbone.model.layers)
    by_name = CompositeBackbone("clip", parts, is_joined=False)
    assert by_name.features == "by_name"
    features = by_name.model(inputs)
    assert {name: len(value.shape) for name, value in features.items()} == {
        "photo": 4, "caption": 3,
    }  # fmt: skip


def test_blocks_and_variable_paths_are_those_of_the_towers():
    parts = towers()
    backbone = CompositeBackbone("clip", parts)
    names = [block.name for block in backbone.blocks]
    assert names[:4] == ["photo.stem", "photo.block1", "photo.block2", "photo.block3"]
    assert names[4] == "caption.stem"
    alone = {each.path for part in parts.values() for each in part.model.weights}
    assert {each.path for each in backbone.model.weights} == alone
    assert [layer.name for layer in backbone.preprocess["photo"]] == ["preprocess"]


def test_one_weight_of_one_tower_changes_the_fingerprint():
    first, second = CompositeBackbone("clip", towers()), CompositeBackbone("clip", towers())
    assert first.fingerprint() == second.fingerprint()
    weight = second.towers["caption"].model.weights[-1]
    weight.assign(weight + 1)
    assert first.fingerprint() != second.fingerprint()
    assert first.fingerprint() not in [part.fingerprint() for part in first.towers.values()]


@pytest.mark.parametrize(
    ("train", "moving"),
    [
        ("head", ()),
        (r"blocks:photo\..*", ("photo",)),
        ("top:2", ("caption",)),
        ("all", ("photo", "caption")),
    ],
)
def test_a_head_learns_over_towers_that_are_frozen_or_not(train, moving):
    backbone = CompositeBackbone("clip", towers())
    model = network(backbone)
    phase = Phase("any", train, "frozen", 1e-3, 8, 4, None)
    freeze.check(model, backbone, [phase])
    freeze.apply(model, backbone, phase)
    before = {name: values(part.model.weights) for name, part in backbone.towers.items()}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    inputs, labels = examples()
    history = model.fit(inputs, labels, batch_size=8, epochs=4, verbose=0).history["loss"]
    assert history[-1] < history[0]
    for name, part in backbone.towers.items():
        after = values(part.model.weights)
        moved = {path for path, value in after.items() if (value != before[name][path]).any()}
        assert bool(moved) == (name in moving), name


def test_an_exported_model_takes_raw_inputs_by_name(tmp_path):
    backbone = CompositeBackbone("clip", {"photo": towers()["photo"], "other": square()})
    inputs = {"photo": examples(2)[0]["photo"], "other": np.ones((2, 8, 8, 3), "float32")}
    expected = keras.ops.convert_to_numpy(backbone.model(inputs))
    assert set(backbone.model.input) == {"photo", "other"}
    assert {tensor.name for tensor in backbone.model.inputs} == {"photo", "other"}
    backbone.model.save(tmp_path / "a.keras")
    loaded = keras.models.load_model(tmp_path / "a.keras")
    np.testing.assert_allclose(loaded(inputs), expected, rtol=1e-6)


def square():
    from fmkit.models.backbone import Backbone, Block

    images = keras.Input((8, 8, 3), name="square")
    dense = keras.layers.Dense(3, name="square_dense")
    model = keras.Model(images, dense(keras.layers.Flatten(name="square_flat")(images)))
    return Backbone("square", model, 8, (Block("all", (dense,)),), "vector")


def test_towers_that_cannot_be_joined():
    parts = towers()
    with pytest.raises(ConfigError, match=r"towers: received .*photo.*2 or more"):
        CompositeBackbone("clip", {"photo": parts["photo"]})
    twins = {"left": parts["photo"], "right": towers()["photo"]}
    with pytest.raises(ConfigError, match="several towers have layers called block1_bn"):
        CompositeBackbone("clip", twins)
