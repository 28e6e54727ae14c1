"""From a Functional model to its blocks: by the names of layers, or by the shape of the graph."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from fmkit.core.errors import FmkitError, join_names
from fmkit.models.backbone import Block
from fmkit.models.keras_internals import child_layers, graph_nodes, is_keras_layer

Rules = Sequence[tuple[str, str]]
"""Pairs of a pattern for a layer's whole name and the block's name, where `\\1` is group 1."""


def blocks_by_name(model: keras.Model, rules: Rules) -> tuple[Block, ...]:
    """Blocks by the first rule that fits a layer's name, in the order in which they start.

    Raises:
        FmkitError: a layer with weights fits no rule, so the rules are behind Keras.
    """
    groups: dict[str, list[keras.Layer]] = {}
    unknown = []
    for layer in model.layers:  # Keras lists them in topological order
        if not layer.weights:
            continue
        label = _label(layer.name, rules)
        if label is None:
            unknown.append(layer.name)
        else:
            groups.setdefault(label, []).append(layer)
    if unknown:
        raise FmkitError(
            f"model {model.name}: no block rule fits the layers {join_names(unknown)}."
        )
    return _as_blocks(groups)


def blocks_by_graph(model: keras.Model) -> tuple[Block, ...]:
    """Blocks by where the graph narrows to a single tensor.

    Each stretch that forks and joins again is a block: that finds residual and inception blocks
    whose layers have no names of their own. Straight stretches are `stem` before the first of
    them, `top` after the last, `between_N` elsewhere. A graph that never forks gets a block per
    layer that holds a matrix.
    """
    groups: dict[str, list[keras.Layer]] = {}
    straight: list[keras.Layer] = []
    forks = 0
    for stretch in _stretches(model):
        layers = [layer for layer in stretch if isinstance(layer, keras.Layer) and layer.weights]
        if len(stretch) == 1:
            straight += layers
            continue
        if not layers:
            continue
        if straight:
            groups["stem" if forks == 0 else f"between_{forks}"] = straight
            straight = []
        forks += 1
        groups[f"block_{forks}"] = layers
    if straight:
        groups["top" if forks else "stem"] = straight
    if not forks:
        groups, current = {}, "stem"
        for layer in straight:
            if groups and any(len(weight.shape) > 1 for weight in layer.weights):
                current = f"block_{len(groups)}"
            groups.setdefault(current, []).append(layer)
    return _as_blocks(groups)


def blocks_by_unit(model: keras.Model, rules: Rules) -> tuple[Block, ...]:
    """Blocks of a model whose layers are partly blocks themselves, as KerasHub's are.

    Encoders and stages are opened, so that their transformer blocks count one by one. A layer
    that fits a rule goes where it says; any other layer of Keras' own joins the block before it
    (`stem` at the start, `top` once the last composite layer is past); any other composite
    layer is a block by itself.
    """
    units = list(_units(model))
    last = max((i for i, (_, unit) in enumerate(units) if not is_keras_layer(unit)), default=-1)
    groups: dict[str, list[keras.Layer]] = {}
    current = "stem"
    for position, (name, unit) in enumerate(units):
        label = _label(name, rules)
        if label is None and not is_keras_layer(unit):
            label = name
        if label is None and position > last >= 0:
            label = "top"
        current = label or current
        groups.setdefault(current, []).append(unit)
    return _as_blocks(groups)


def _label(name: str, rules: Rules) -> str | None:
    for pattern, label in rules:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(label)
    return None


def _as_blocks(groups: dict[str, list[keras.Layer]]) -> tuple[Block, ...]:
    return tuple(Block(name, tuple(layers)) for name, layers in groups.items())


def _stretches(model: keras.Model) -> Iterator[list[Any]]:
    """The operations, topologically ordered and cut wherever a single tensor crosses."""
    operations = {operation.name: operation for operation in model.operations}
    order = {name: position for position, name in enumerate(operations)}
    reach = list(range(len(order)))  # the last position that uses an operation's output
    for node in graph_nodes(model):
        for parent in node.parent_nodes:
            source = order[parent.operation.name]
            reach[source] = max(reach[source], order[node.operation.name])
    stretch: list[Any] = []
    furthest = 0
    for position, operation in enumerate(operations.values()):
        stretch.append(operation)
        if furthest <= position:  # nothing from before this operation is used after it
            yield stretch
            stretch = []
        furthest = max(furthest, reach[position])
    if stretch:
        yield stretch


def _units(layer: keras.Layer, prefix: str = "") -> Iterator[tuple[str, keras.Layer]]:
    """Layers with weights, where models, encoders and stages give way to what they hold."""
    numbers: dict[str, int] = {}
    for child in child_layers(layer):
        if not child.weights:
            continue
        name, kind = str(child.name), type(child).__name__
        stem = re.sub(r"(?<=.)_?\d*$", "", name)
        if stem.replace("_", "") == kind.lower():
            # Keras counted over the whole process: a number of our own instead.
            numbers[stem] = numbers.get(stem, -1) + 1
            name = f"{stem}_{numbers[stem]}"
        inner = child_layers(child)
        own = len(child.weights) - len({id(weight) for part in inner for weight in part.weights})
        # An encoder or a stage of several blocks, rather than a block itself.
        parts = [type(part) for part in inner if part.weights and not is_keras_layer(part)]
        holds_blocks = kind.endswith(("Encoder", "Stage")) and len(parts) > len(set(parts))
        if own == 0 and (isinstance(child, keras.Model) or holds_blocks):
            yield from _units(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", child
