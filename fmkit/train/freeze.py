"""Sets `trainable`: which weights a phase trains, and their learning-rate multipliers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras

from fmkit.config import trainable
from fmkit.core.errors import ConfigError, join_names, received
from fmkit.models import lora
from fmkit.models.backbone import Backbone, Block, is_adapter
from fmkit.models.heads import HEAD_PREFIXES
from fmkit.models.keras_internals import (
    all_layers,
    dense_kernel,
    own_state_variables,
    own_trainable_variables,
)
from fmkit.optim import rates
from fmkit.train.phases import Phase


def apply(model: keras.Model, backbone: Backbone, phase: Phase) -> None:
    """Set `trainable` for a phase; the model must be compiled after this.

    BatchNorm stays frozen through `trainable=False` on each BatchNormalization layer: that is the
    one way that also stops its moving statistics when the rest of the backbone trains. (Calling the
    backbone with `training=False` does not: `fit` of the outer model overrides it.) Its scale and
    offset may train all the same: Keras collects what trains variable by variable, whatever the
    layer that holds them says.

    Layer by layer, and their variables too: on TensorFlow a layer hands nothing down when the value
    that is set is the one it had.
    """
    for layer in flattened(model):
        layer.trainable = True
        for variable in own_trainable_variables(layer):
            variable.trainable = True
    trained = {id(variable) for variable in trained_variables(backbone, phase)}
    for block in backbone.blocks:
        for layer in layers_of(block):
            layer.trainable = _learns(layer, block, trained, phase)
        for weight in weights_of(block):
            weight.trainable = id(weight) in trained


def trained_variables(backbone: Backbone, phase: Phase) -> list[keras.Variable]:
    """The variables of the backbone that a phase trains: what each kind of `train` means.

    A kernel that has adapters (LoRA) trains in no phase: they train in its place.

    Raises:
        ConfigError: the backbone has fewer blocks, none of that name, or no normalization layer.
    """
    setting = trainable.parse(phase.train, f"stage.{phase.name}.train")
    if setting.kind in ("norm", "bias"):
        is_selected = _is_norm if setting.kind == "norm" else _is_bias
        selected = [
            variable
            for layer in _layers(backbone.blocks)
            for variable in own_trainable_variables(layer)
            if is_selected(layer, variable)
        ]
        if not selected:
            name = "normalization layer" if setting.kind == "norm" else "bias"
            raise ConfigError(
                f"stage.{phase.name}.train: received {phase.train!r}, but the backbone "
                f"{backbone.name} has no {name}."
            )
        return selected
    if setting.kind == "lora":
        every = (
            variable
            for layer in _layers(backbone.blocks)
            for variable in own_trainable_variables(layer)
        )
        return [variable for variable in every if is_adapter(variable)]
    adapted_kernels = {id(dense_kernel(layer)) for layer in lora.adapted_layers(backbone.model)}
    return [
        variable
        for layer in _layers(_blocks(backbone, phase, setting))
        if phase.batchnorm == "train" or not is_batchnorm(layer)
        for variable in own_trainable_variables(layer)
        if id(variable) not in adapted_kernels
    ]


def _blocks(backbone: Backbone, phase: Phase, setting: trainable.Trainable) -> Sequence[Block]:
    """The blocks that train as a whole."""
    if setting.kind == "head":
        return ()
    if setting.kind == "all":
        return backbone.blocks
    key, names = f"stage.{phase.name}.train", [block.name for block in backbone.blocks]
    if setting.kind == "top":
        if int(setting.argument) > len(names):
            allowed = f"at most top:{len(names)}, the blocks of {backbone.name}"
            raise ConfigError(received(key, phase.train, allowed))
        return backbone.blocks[-int(setting.argument) :]
    matching = [block for block in backbone.blocks if re.fullmatch(setting.argument, block.name)]
    if not matching:
        allowed = f"a pattern that matches the whole name of a block: {join_names(names, 60)}"
        raise ConfigError(received(key, phase.train, allowed))
    return matching


def movable(backbone: Backbone, phase: Phase) -> set[int]:
    """The ids of the backbone's weights that a phase may change, moving statistics among them.

    It depends on the phase alone, not on what any layer's `trainable` says now.
    """
    trained = {id(variable) for variable in trained_variables(backbone, phase)}
    state = {
        id(variable)
        for block in backbone.blocks
        for layer in layers_of(block)
        if _learns(layer, block, trained, phase)
        for variable in own_state_variables(layer)
    }
    return trained | state


def weights_by_block(model: keras.Model, backbone: Backbone) -> dict[str, list[keras.Variable]]:
    """Every weight of the whole model: by block from stem to top, then the head's.

    Raises:
        ConfigError: a weight is in no block and not in the head.
    """
    by_block = {block.name: weights_of(block) for block in backbone.blocks}
    covered = {id(weight) for weights in by_block.values() for weight in weights}
    head_layers = [layer for layer in model.layers if layer.name.startswith(HEAD_PREFIXES)]
    head = [
        weight for layer in head_layers for weight in layer.weights if id(weight) not in covered
    ]
    covered |= {id(weight) for weight in head}
    uncovered = [weight.path for weight in model.weights if id(weight) not in covered]
    if uncovered or rates.HEAD in by_block:
        problem = f"weights in no block and not in the head: {join_names(uncovered, 5)}"
        raise ConfigError(
            f"backbone {backbone.name} has {problem if uncovered else 'a block called head'}.",
            f"Name the layers of a task's head with {' or '.join(HEAD_PREFIXES)} in front.",
        )
    return {**by_block, rates.HEAD: head}


def multipliers(
    model: keras.Model, backbone: Backbone, phase: Phase, layer_decay: float
) -> dict[int, float]:
    """The factor on the learning rate, by the id of a weight."""
    names = [block.name for block in backbone.blocks]
    factors = rates.multipliers(names, layer_decay, phase.rates, f"stage.{phase.name}.rates")
    return {
        id(weight): factors[name]
        for name, weights in weights_by_block(model, backbone).items()
        for weight in weights
    }


def check(model: keras.Model, backbone: Backbone, planned: Iterable[Phase]) -> None:
    """Refuse phases that do not fit the backbone, before the first of them trains.

    Raises:
        ConfigError: see `trained_variables`, `weights_by_block` and `rates.multipliers`.
    """
    for phase in planned:
        trained_variables(backbone, phase)
        multipliers(model, backbone, phase, 1.0)


def flattened(model: keras.Model) -> list[keras.Layer]:
    """Every layer, those inside nested models included."""
    return all_layers(model)


def layers_of(block: Block) -> Iterator[keras.Layer]:
    """A block's layers and those inside them, each before those inside it."""
    for layer in block.layers:
        yield from all_layers(layer, include_self=True)


def weights_of(block: Block) -> list[keras.Variable]:
    """A block's weights, moving statistics included and random states not."""
    return [weight for layer in block.layers for weight in layer.weights]


def is_batchnorm(layer: keras.Layer) -> bool:
    """Whether a layer has moving statistics."""
    return isinstance(layer, keras.layers.BatchNormalization)


def _layers(blocks: Iterable[Block]) -> Iterator[keras.Layer]:
    for block in blocks:
        yield from layers_of(block)


def _learns(layer: keras.Layer, block: Block, trained: set[int], phase: Phase) -> bool:
    """Whether a layer is in its training mode: something in it trains, and statistics may move."""
    if is_batchnorm(layer) or not layer.weights:
        open_block = any(id(weight) in trained for weight in weights_of(block))
        moves = phase.batchnorm == "train" and phase.train != "lora"
        return open_block and (moves or not is_batchnorm(layer))
    return any(id(weight) in trained for weight in layer.weights)


def _is_norm(layer: keras.Layer, variable: keras.Variable) -> bool:
    # By name, since KerasHub has norms of its own; a layer that holds others is not a norm itself.
    return "Norm" in type(layer).__name__ and not all_layers(layer)


def _is_bias(layer: keras.Layer, variable: keras.Variable) -> bool:
    return re.fullmatch(r"(.*_)?(bias|beta)", variable.name) is not None


def describe(model: keras.Model) -> dict[str, Any]:
    """Counts of what trains, for the log and the table."""
    return {
        "trainable_parameters": sum(size(variable) for variable in model.trainable_variables),
        "parameters": sum(size(variable) for variable in model.weights),
    }


def size(variable: keras.Variable) -> int:
    """How many numbers a variable holds."""
    return math.prod(variable.shape)
