"""Frozen means frozen: what a phase leaves alone stays the same to the last byte."""

import dataclasses

import keras
import numpy as np
import pytest
from small_runs import Trained, assembled, folder, settings

from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.stage import PhaseConfig
from fmkit.core.errors import ConfigError
from fmkit.models.backbone import Backbone, Block
from fmkit.models.keras_internals import all_layers
from fmkit.train import freeze, loop
from fmkit.train.checkpoints import variables
from fmkit.train.phases import Phase
from fmkit.train.task_model import TaskModel

STAGE = {
    "head": PhaseConfig(train="head", epochs="1"),
    "cold": PhaseConfig(train="all", epochs="1", batchnorm="frozen"),
    "warm": PhaseConfig(train="all", epochs="1", batchnorm="train"),
}


def nested_backbone() -> Backbone:
    """A whole model as one layer of the backbone, as KerasHub's are, and a model inside that."""
    pixels = keras.Input((8, 8, 3))
    y = keras.layers.Conv2D(4, 3, use_bias=False, name="deep_conv")(pixels)
    deep = keras.Model(pixels, keras.layers.BatchNormalization(name="deep_bn")(y), name="deep")
    pixels = keras.Input((8, 8, 3))
    y = keras.layers.ReLU()(deep(pixels))
    y = keras.layers.Conv2D(6, 3, use_bias=False, name="inner_conv")(y)
    inner = keras.Model(pixels, keras.layers.BatchNormalization(name="inner_bn")(y), name="inner")
    image = keras.Input((8, 8, 3), name="image")
    scaled = keras.layers.Rescaling(1 / 127.5, -1)(image)
    layers = (deep, inner.get_layer("inner_conv"), inner.get_layer("inner_bn"))
    model = keras.Model(image, inner(scaled))
    return Backbone("nested", model, 8, (Block("all", layers),), "map")


def with_backbone(assembly, backbone):
    task = assembly.task
    model = TaskModel(backbone.model.input, task.head(backbone, ModelConfig(dropout=0.0)), task)
    return dataclasses.replace(assembly, backbone=backbone, model=model)


@pytest.fixture(scope="module", params=["flat", "nested"])
def stages(request, tmp_path_factory):
    """The weights before training and after each phase, and the names of the backbone's."""
    assembly = assembled(settings(STAGE, runtime_keep=9))
    if request.param == "nested":
        assembly = with_backbone(assembly, nested_backbone())
    run = folder(tmp_path_factory.mktemp("stages"))
    before = variables.arrays(assembly.model.variables)
    trained = Trained(assembly, run, loop.train(assembly, run))
    backbone = set(variables.by_path(assembly.backbone.model.variables))
    assert backbone < set(before)
    return [before, *(trained.saved(step) for step in (3, 6, 9))], backbone


def changed(one, other, paths):
    return {path for path in paths if one[path].tobytes() != other[path].tobytes()}


def is_batchnorm(path):
    return "bn/" in path


def test_a_head_phase_changes_no_byte_of_the_backbone(stages):
    (before, head, *_), backbone = stages
    assert changed(before, head, backbone) == set()
    assert changed(before, head, set(before) - backbone) == {"logits/kernel", "logits/bias"}


def test_frozen_batchnorm_stays_while_the_rest_of_the_backbone_trains(stages):
    (_, head, cold, _), backbone = stages
    assert changed(head, cold, backbone) == {path for path in backbone if not is_batchnorm(path)}


def test_batchnorm_trains_where_it_is_told_to(stages):
    (*_, cold, warm), backbone = stages
    statistics = {path for path in backbone if "moving" in path}
    assert len(statistics) >= 4
    assert changed(cold, warm, backbone) == backbone


def phase(train, batchnorm="frozen", rates=None):
    return Phase("any", train, batchnorm, 1e-3, 3, 3, None, rates or {})


def test_every_phase_says_what_trains_whatever_came_before(tmp_path):
    assembly = with_backbone(assembled(settings()), nested_backbone())
    model, backbone = assembly.model, assembly.backbone
    counts = {}
    for train, batchnorm in [("all", "train"), ("head", "frozen"), ("all", "frozen")] * 2:
        freeze.apply(model, backbone, phase(train, batchnorm))
        paths = {each.path for each in model.trainable_variables}
        assert counts.setdefault((train, batchnorm), paths) == paths
        told = freeze.describe(model)
        sizes = {each.path: int(np.prod(each.shape)) for each in model.variables}
        assert told["trainable_parameters"] == sum(sizes[path] for path in paths)
        assert told["parameters"] == sum(sizes.values())
    assert counts["head", "frozen"] == {"logits/kernel", "logits/bias"}
    batchnorms = counts["all", "train"] - counts["all", "frozen"]
    assert batchnorms == {f"{name}_bn/{kind}" for name in ("deep", "inner")
                          for kind in ("gamma", "beta")}  # fmt: skip


def trained_paths(assembly, *words):
    freeze.apply(assembly.model, assembly.backbone, phase(*words))
    paths = {each.path for each in assembly.model.trainable_variables}
    assert {"logits/kernel", "logits/bias"} <= paths
    return paths - {"logits/kernel", "logits/bias"}


def learning_batchnorms(assembly):
    kind = keras.layers.BatchNormalization
    layers = all_layers(assembly.model)
    return {each.name for each in layers if isinstance(each, kind) and each.trainable}


CNN = ("stem", "block1", "block2", "block3")


@pytest.mark.parametrize(
    ("words", "kernels", "vectors", "batchnorms"),
    [
        (("head", "train"), [], {}, []),
        (("top:2",), CNN[2:], {}, []),
        (("top:2", "train"), CNN[2:], {"gamma": CNN[2:], "beta": CNN[2:]}, CNN[2:]),
        (("top:4",), CNN, {}, []),
        (("blocks:stem|block[3-9]",), ("stem", "block3"), {}, []),
        (("blocks:stem", "train"), ["stem"], {"gamma": ["stem"], "beta": ["stem"]}, ["stem"]),
        (("norm",), [], {"gamma": CNN, "beta": CNN}, []),
        (("norm", "train"), [], {"gamma": CNN, "beta": CNN}, CNN),
        (("bias",), [], {"beta": CNN}, []),
        (("bias", "train"), [], {"beta": CNN}, CNN),
    ],
)
def test_what_each_kind_trains(words, kernels, vectors, batchnorms):
    assembly = assembled(settings())
    expected = {f"{block}_conv/kernel" for block in kernels}
    expected |= {f"{block}_bn/{kind}" for kind, blocks in vectors.items() for block in blocks}
    for before in ("all", "train"), ("head",), ("norm",):
        trained_paths(assembly, *before)
        assert trained_paths(assembly, *words) == expected
        assert learning_batchnorms(assembly) == {f"{block}_bn" for block in batchnorms}


def test_norm_and_bias_of_a_transformer():
    assembly = assembled(settings(model_name="small_vit"))
    everything = trained_paths(assembly, "all")
    norms = {path for path in everything if "norm" in path}
    assert len(norms) == 2 * (2 * 3 + 1)
    assert trained_paths(assembly, "norm") == norms
    biases = {path for path in everything if path.endswith(("/bias", "/beta"))}
    assert "block1_attention/query/bias" in biases
    assert trained_paths(assembly, "bias") == biases
    assert trained_paths(assembly, "top:1") == {"top_norm/gamma", "top_norm/beta"}


@pytest.mark.parametrize("batchnorm", ["frozen", "train"])
def test_scales_and_offsets_train_on_statistics_that_stay(tmp_path, batchnorm):
    stage = {"norm": PhaseConfig(train="norm", epochs="1", batchnorm=batchnorm)}
    assembly = assembled(settings(stage))
    before = variables.arrays(assembly.model.variables)
    done = Trained(assembly, folder(tmp_path), [])
    loop.train(assembly, done.run)
    moved = changed(before, done.weights, before)
    kinds = {"gamma", "beta"} | (
        {"moving_mean", "moving_variance"} if batchnorm == "train" else set()
    )
    expected = {f"{block}_bn/{kind}" for block in CNN for kind in kinds}
    assert moved == expected | {"logits/kernel", "logits/bias"}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (phase("top:5"), "'top:5'. Expected at most top:4"),
        (phase("blocks:block"), "stem, block1, block2, block3"),
        (phase("all", rates={"stm": 0.1}), "stage.any.rates: no block is called 'stm'"),
    ],
)
def test_what_the_backbone_does_not_have_is_refused(wrong, told):
    assembly = assembled(settings())
    with pytest.raises(ConfigError) as caught:
        freeze.check(assembly.model, assembly.backbone, [phase("all"), wrong])
    assert told in str(caught.value)


def test_a_backbone_without_norms_has_none_to_train():
    pixels = keras.Input((8, 8, 3))
    layer = keras.layers.Conv2D(4, 3, use_bias=False, name="only")
    backbone = Backbone(
        "bare", keras.Model(pixels, layer(pixels)), 8, (Block("a", (layer,)),), "map"
    )
    for kind, what in ("norm", "normalization layer"), ("bias", "bias"):
        with pytest.raises(ConfigError, match=f"bare has no {what}"):
            freeze.trained_variables(backbone, phase(kind))


def test_weights_that_no_block_and_no_head_covers_are_named():
    assembly = assembled(settings())
    model = assembly.backbone.model
    x = keras.layers.Dense(5, name="between")(keras.layers.GlobalAveragePooling2D()(model.output))
    model = TaskModel(model.input, keras.layers.Dense(3, name="logits")(x), assembly.task)
    with pytest.raises(ConfigError, match="not in the head: between/kernel, between/bias"):
        freeze.check(model, assembly.backbone, [phase("all")])


def test_l2_sp_keeps_the_weights_from_before_the_first_phase(tmp_path):
    stage = dict.fromkeys(("one", "two"), PhaseConfig(train="all", epochs="2 steps"))
    assembly = assembled(settings(stage, optimizer_l2_sp=0.1))
    before = {each.path: each.numpy() for each in assembly.backbone.model.weights}
    loop.train(assembly, folder(tmp_path))
    kernels = [each for each in assembly.backbone.model.weights if each.name == "kernel"]
    assert set(assembly.pretrained) == {id(each) for each in kernels}
    for each in kernels:
        kept = assembly.pretrained[id(each)].numpy()
        np.testing.assert_array_equal(kept, before[each.path])
        assert np.abs(kept - each.numpy()).max() > 0
    assert assembled(settings(stage)).pretrained == {}
