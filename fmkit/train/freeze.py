"""What trains and what does not, set in one place and said in one record."""

from __future__ import annotations

from typing import Any

import keras

from fmkit.models.backbone import Backbone
from fmkit.train.phases import Phase


def apply(model: keras.Model, backbone: Backbone, phase: Phase) -> None:
    """Set `trainable` for a phase; the model must be compiled after this.

    BatchNorm stays frozen through `trainable=False` on each BatchNormalization layer: that is the
    one way that also stops its moving statistics when the rest of the backbone trains. (Calling the
    backbone with `training=False` does not: `fit` of the outer model overrides it.)
    """
    backbone_layers = {id(layer) for block in backbone.blocks for layer in block.layers}
    for layer in model.layers:
        layer.trainable = True
    for block in backbone.blocks:
        for layer in block.layers:
            layer.trainable = phase.train == "all"
    if phase.train == "all" and phase.batchnorm == "frozen":
        for layer in flattened(model):
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
    if phase.train == "head":
        for layer in model.layers:
            if isinstance(layer, keras.Model) and id(layer) not in backbone_layers:
                layer.trainable = False


def flattened(model: keras.Model) -> list[keras.Layer]:
    """Every layer, those inside nested models included."""
    return list(model._flatten_layers(include_self=False, recursive=True))


def describe(model: keras.Model) -> dict[str, Any]:
    """Counts of what trains, for the log and the table."""
    return {
        "trainable_parameters": sum(_size(each) for each in model.trainable_variables),
        "parameters": sum(_size(each) for each in model.weights),
    }


def _size(variable: keras.Variable) -> int:
    size = 1
    for side in variable.shape:
        size *= side
    return size
