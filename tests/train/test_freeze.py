"""Frozen means frozen: what a phase leaves alone stays the same to the last byte."""

import dataclasses

import keras
import numpy as np
import pytest
from small_runs import Trained, assembled, folder, settings

from fmkit.config.schema import ModelConfig, PhaseConfig
from fmkit.models.backbone import Backbone, Block
from fmkit.train import checkpoint, freeze, loop
from fmkit.train.learner import Learner
from fmkit.train.phases import Phase

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
    learner = Learner(backbone.model.input, task.head(backbone, ModelConfig(dropout=0.0)), task)
    return dataclasses.replace(assembly, backbone=backbone, learner=learner)


@pytest.fixture(scope="module", params=["flat", "nested"])
def stages(request, tmp_path_factory):
    """The weights before training and after each phase, and the names of the backbone's."""
    assembly = assembled(settings(STAGE, runtime_keep=9))
    if request.param == "nested":
        assembly = with_backbone(assembly, nested_backbone())
    run = folder(tmp_path_factory.mktemp("stages"))
    before = checkpoint.tensors(assembly.learner.variables)
    trained = Trained(assembly, run, loop.train(assembly, run))
    backbone = set(checkpoint.by_path(assembly.backbone.model.variables))
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


def phase(train, batchnorm="frozen"):
    return Phase("any", train, batchnorm, 1e-3, 3, 3, None)


def test_every_phase_says_what_trains_whatever_came_before(tmp_path):
    assembly = with_backbone(assembled(settings()), nested_backbone())
    learner, backbone = assembly.learner, assembly.backbone
    counts = {}
    for train, batchnorm in [("all", "train"), ("head", "frozen"), ("all", "frozen")] * 2:
        freeze.apply(learner, backbone, phase(train, batchnorm))
        paths = {each.path for each in learner.trainable_variables}
        assert counts.setdefault((train, batchnorm), paths) == paths
        told = freeze.describe(learner)
        sizes = {each.path: int(np.prod(each.shape)) for each in learner.variables}
        assert told["trainable_parameters"] == sum(sizes[path] for path in paths)
        assert told["parameters"] == sum(sizes.values())
    assert counts["head", "frozen"] == {"logits/kernel", "logits/bias"}
    batchnorms = counts["all", "train"] - counts["all", "frozen"]
    assert batchnorms == {f"{name}_bn/{kind}" for name in ("deep", "inner")
                          for kind in ("gamma", "beta")}  # fmt: skip
