import dataclasses

import keras
import numpy as np
import pytest

from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ConfigError
from fmkit.models.backbone import Backbone, Block
from fmkit.models.registry import build


def parts():
    images = keras.Input((8, 8, 3))
    first = keras.layers.Conv2D(4, 3, name="first")
    second = keras.layers.Conv2D(5, 3, name="second")
    return keras.Model(images, second(first(images))), first, second


def test_a_model_and_its_blocks_make_a_backbone():
    model, first, second = parts()
    blocks = (Block("a", (first,)), Block("b", (second,)))
    assert Backbone("mine", model, 8, blocks, "map").weights == "none"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": "pyramid"}, "Allowed: map, tokens, vector"),
        ({"features": "tokens"}, "3 dimensions for features=tokens"),
        ({"image_size": 9}, r"\(None, 9, 9, 3\)"),
        ({"blocks": "one"}, "second/kernel in 0"),
        ({"blocks": "twice"}, "first/kernel in 2"),
        ({"blocks": "same name"}, "several blocks have the name a"),
    ],
)
def test_contradictions_are_refused(change, message):
    model, first, second = parts()
    blocks = {
        "one": (Block("a", (first,)),),
        "twice": (Block("a", (first,)), Block("b", (first, second))),
        "same name": (Block("a", (first,)), Block("a", (second,))),
    }
    good = {"image_size": 8, "features": "map", "blocks": "good"} | change
    chosen = blocks.get(good.pop("blocks"), (Block("a", (first,)), Block("b", (second,))))
    with pytest.raises(ConfigError, match=message):
        Backbone("mine", model, blocks=chosen, **good)


def test_equal_weights_have_equal_fingerprints_and_one_bit_changes_them():
    keras.utils.set_random_seed(1)
    one = build(ModelConfig(name="small_cnn", weights="none"))
    keras.layers.Conv2D(1, 1)  # moves the counter behind automatic names
    keras.utils.set_random_seed(1)
    same = build(ModelConfig(name="small_cnn", weights="none"))
    assert one.fingerprint() == same.fingerprint()
    weight = same.blocks[-1].layers[-1].weights[-1]  # a moving variance: not trainable, counts too
    value = keras.ops.convert_to_numpy(weight).copy()
    value[0] = np.nextafter(value[0], np.float32(2))
    weight.assign(value)
    assert one.fingerprint() != same.fingerprint()


def test_modality_is_declared_and_not_guessed():
    text = build(ModelConfig(name="small_bert", weights="none"))
    assert text.modality == "text"
    with pytest.raises(ConfigError, match=r"modality: received 'image'.*it has a tokenizer"):
        dataclasses.replace(text, modality="image")
    rows = keras.Input((7,), name="ratings")
    dense = keras.layers.Dense(3, name="dense")
    model = keras.Model(rows, dense(rows))
    blocks = (Block("all", (dense,)),)
    other = Backbone("mine", model, None, blocks, "vector", modality="interactions")
    assert other.modality == "interactions"


def test_preprocessing_is_in_the_model_ahead_of_the_first_weights():
    backbone = build(ModelConfig(name="small_vit", weights="none"))
    names = [layer.name for layer in backbone.preprocess]
    assert names[0] == "preprocess"
    assert names == [layer.name for layer in backbone.model.layers[1 : 1 + len(names)]]
    assert not any(layer.weights for layer in backbone.preprocess)
