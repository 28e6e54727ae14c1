"""The frozen part of a network: it runs as at inference, and where it ends the network can be cut.

B batch, F the shape of a feature tensor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from fmkit.models.heads import HEAD_PREFIXES
from fmkit.models.keras_internals import all_layers, graph_nodes, own_trainable_variables
from fmkit.train.task_model import TaskModel


@dataclass(frozen=True)
class GraphSplit:
    """A network in two parts that share no layer.

    Attributes:
        lower: images to one or several tensors (B, *F); nothing in it trains or draws at random.
        upper: the learner of these tensors; its layers are those of the whole.
    """

    lower: keras.Model
    upper: TaskModel

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """F of each tensor."""
        return [tuple(tensor.shape[1:]) for tensor in self.lower.outputs]

    @property
    def row_values(self) -> int:
        """Numbers in one example's features."""
        return sum(int(np.prod(shape)) for shape in self.shapes)


def freeze_inference(learner: TaskModel) -> None:
    """Let the part of the backbone that a phase freezes run as at inference, dropout included.

    That part is every layer below the lowest one that trains; head layers are not in it. To be
    called after `freeze.apply` and before `compile`.
    """
    settled: set[int] = set()
    known = {id(tensor) for tensor in learner.inputs}
    for node in graph_nodes(learner):
        operation = node.operation
        is_head = operation.name.startswith(HEAD_PREFIXES)
        if is_head or learns(operation) or not _all(known, node):
            continue
        settled.add(id(operation))
        known.update(id(tensor) for tensor in node.outputs)
    # An operation that is called twice is settled only if it is so each time.
    unsettled = {
        id(node.operation)
        for node in graph_nodes(learner)
        if not all(id(tensor) in known for tensor in node.outputs)
    }
    learner.settled = frozenset(settled - unsettled)


def find(learner: TaskModel) -> GraphSplit | str:
    """The highest cut of a settled network, or in a phrase why there is none.

    A tensor is fixed when it is the same in every epoch: when all between it and the images is
    settled, or a layer of the head that neither trains nor draws at random. The cut is made of the
    fixed tensors that something else takes in.
    """
    fixed = {id(tensor) for tensor in learner.inputs}
    blocking, crossing = "", {}
    for node in graph_nodes(learner):
        operation = node.operation
        reason = "" if id(operation) in learner.settled else _moves(operation)
        if not reason and _all(fixed, node):
            fixed.update(id(tensor) for tensor in node.outputs)
            continue
        blocking = blocking or f"its layer {operation.name} {reason}"
        inputs = node.arguments.keras_tensors
        crossing.update({id(tensor): tensor for tensor in inputs if id(tensor) in fixed})
    if not blocking:
        return "nothing in it trains"
    tensors = list(crossing.values())
    if any(id(tensor) in crossing for tensor in learner.inputs):
        return blocking
    lower = keras.Model(learner.inputs, tensors, name="below_the_cut")
    if not lower.weights:  # no more than the preprocessing
        return blocking
    inputs = tensors if len(tensors) > 1 else tensors[0]
    try:
        return GraphSplit(lower, TaskModel(inputs, learner.output, learner.task))
    except ValueError:  # Keras cannot cut above a layer that is called again further up
        return "a layer below the cut is called again above it"


def learns(operation: Any) -> bool:
    """Whether training changes an operation: its weights or its moving statistics."""
    if not isinstance(operation, keras.Layer):
        return False
    layers = all_layers(operation, include_self=True)
    # By variable: the scale of a BatchNorm may train while the layer itself says that it does not.
    return any(
        any(variable.trainable for variable in own_trainable_variables(layer))
        or (isinstance(layer, keras.layers.BatchNormalization) and layer.trainable)
        for layer in layers
    )


def _moves(operation: Any) -> str:
    """How an operation's result may differ from epoch to epoch; empty when it does not."""
    if learns(operation):
        return "trains"
    states = getattr(operation, "non_trainable_variables", ())
    return "draws at random" if any("seed_generator_state" in each.path for each in states) else ""


def _all(known: set[int], node: Any) -> bool:
    return all(id(tensor) in known for tensor in node.arguments.keras_tensors)
