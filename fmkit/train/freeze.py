"""What trains and what does not, set in one place and said in one record."""

from __future__ import annotations

from typing import Any

import keras

from fmkit.models import adapters
from fmkit.models.backbone import Backbone
from fmkit.train.phases import Phase


def apply(model: keras.Model, backbone: Backbone, phase: Phase) -> None:
    """Set `trainable` for a phase; the model must be compiled after this.

    BatchNorm stays frozen through `trainable=False` on each BatchNormalization layer: that is the
    one way that also stops its moving statistics when the rest of the backbone trains. (Calling the
    backbone with `training=False` does not: `fit` of the outer model overrides it.)

    LoRA's adapters train in place of their kernels: phase `lora` trains nothing else of the
    backbone, and in any phase a kernel that has adapters stays as it is.

    Layer by layer, and their variables too: on TensorFlow a layer hands nothing down when the value
    that is set is the one it had.
    """
    for layer in flattened(model):
        layer.trainable = True
        for variable in layer._trainable_variables:
            variable.trainable = True
    frozen: list[keras.Layer] = []
    if phase.train == "head":
        frozen = [layer for block in backbone.blocks for layer in block.layers]
    elif phase.train == "lora" or phase.batchnorm == "frozen":
        kind = keras.layers.BatchNormalization
        frozen = [layer for layer in flattened(model) if isinstance(layer, kind)]
    for layer in frozen:
        for each in layer._flatten_layers():
            each.trainable = False
    if phase.train == "lora":
        adapters.freeze_all_else(flattened(backbone.model))
    adapters.freeze_kernels(model)


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
