"""Sets `trainable`: which weights a phase trains, and their learning-rate multipliers."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
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

_BIAS = re.compile("(.*_)?(bias|beta)")
_SELECTORS: dict[str, tuple[str, Callable[[keras.Layer, keras.Variable], bool]]] = {
    # By name, since KerasHub has norms of its own; a layer that holds others is not a norm itself.
    "norm": (
        "normalization layer",
        lambda layer, variable: "Norm" in type(layer).__name__ and not all_layers(layer),
    ),
    "bias": ("bias", lambda layer, variable: bool(_BIAS.fullmatch(variable.name))),
    "lora": ("", lambda layer, variable: is_adapter(variable)),
}
"""By kind of `train`: what messages call its variables where there must be some, and which."""


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
    for layer in all_layers(model):
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
    if setting.kind in _SELECTORS:
        noun, is_selected = _SELECTORS[setting.kind]
        selected = [
            variable
            for layer in layers_of(*backbone.blocks)
            for variable in own_trainable_variables(layer)
            if is_selected(layer, variable)
        ]
        if not selected and noun:
            raise ConfigError(
                f"stage.{phase.name}.train: received {phase.train!r}, but the backbone "
                f"{backbone.name} has no {noun}."
            )
        return selected
    adapted_kernels = {id(dense_kernel(layer)) for layer in lora.adapted_layers(backbone.model)}
    return [
        variable
        for layer in layers_of(*_blocks(backbone, phase, setting))
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


def movable(model: keras.Model, backbone: Backbone, phase: Phase) -> set[int]:
    """The ids of the weights that a phase may change, moving statistics and the head among them.

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
    return (
        trained | state | {id(weight) for weight in weights_by_block(model, backbone)[rates.HEAD]}
    )


def weights_by_block(model: keras.Model, backbone: Backbone) -> dict[str, list[keras.Variable]]:
    """Every weight by block from stem to top, then the head's; ConfigError if one is in neither."""
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
    """Refuse phases that do not fit the backbone (ConfigError), before the first one trains."""
    for phase in planned:
        trained_variables(backbone, phase)
        multipliers(model, backbone, phase, 1.0)


def layers_of(*blocks: Block) -> Iterator[keras.Layer]:
    """The layers of blocks and those inside them, each before those inside it."""
    for block in blocks:
        for layer in block.layers:
            yield from all_layers(layer, include_self=True)


def weights_of(block: Block) -> list[keras.Variable]:
    """A block's weights, moving statistics included and random states not."""
    return [weight for layer in block.layers for weight in layer.weights]


def is_batchnorm(layer: keras.Layer) -> bool:
    """Whether a layer has moving statistics."""
    return isinstance(layer, keras.layers.BatchNormalization)


def _learns(layer: keras.Layer, block: Block, trained: set[int], phase: Phase) -> bool:
    """Whether a layer is in its training mode: something in it trains, and statistics may move."""
    if layer.weights and not is_batchnorm(layer):
        return any(id(weight) in trained for weight in layer.weights)
    moves = phase.batchnorm == "train" and phase.train != "lora"
    return (moves or not is_batchnorm(layer)) and any(
        id(weight) in trained for weight in weights_of(block)
    )


def describe(model: keras.Model) -> dict[str, Any]:
    """Counts of what trains, for the log and the table."""
    return {
        "trainable_parameters": sum(map(size, model.trainable_variables)),
        "parameters": sum(map(size, model.weights)),
    }


def size(variable: keras.Variable) -> int:
    """How many numbers a variable holds."""
    return math.prod(variable.shape)
