"""The frozen part of a network: it runs as at inference, and the network can be cut above it.

B batch, F the shape of a feature tensor.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from fmkit.models.heads import HEAD_PREFIXES, FixedLength
from fmkit.models.keras_internals import all_layers, graph_nodes, own_trainable_variables
from fmkit.train.task_model import TaskModel


@dataclass(frozen=True)
class GraphSplit:
    """A network in two parts that share no layer.

    Attributes:
        lower: inputs to one or several tensors (B, *F); nothing in it trains or draws at random.
        upper: these tensors to the outputs; its layers are those of the whole network.
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

    def row_bytes(self, dtype: str) -> int:
        """Bytes of one example's features."""
        return self.row_values * np.dtype(dtype).itemsize


def freeze_inference(model: TaskModel) -> None:
    """Let the part of the backbone that a phase freezes run as at inference, dropout included.

    That part is every layer below the lowest one that trains; layers of the head are not in it. To
    be called after `freeze.apply` and before `compile`.
    """
    frozen: set[int] = set()
    reached = set(map(id, model.inputs))
    for node in graph_nodes(model):
        operation = node.operation
        is_head = operation.name.startswith(HEAD_PREFIXES)
        has_inputs = reached.issuperset(map(id, node.arguments.keras_tensors))
        if has_inputs and not is_head and not learns(operation):
            frozen.add(id(operation))
            reached.update(map(id, node.outputs))
    # An operation that is called twice is frozen only if it is so each time.
    reused_above = {
        id(node.operation)
        for node in graph_nodes(model)
        if not reached.issuperset(map(id, node.outputs))
    }
    model.inference_operations = frozenset(frozen - reused_above)


def find_split(model: TaskModel) -> GraphSplit | str:
    """Cut a network as high as possible; or why it cannot be cut, as a phrase.

    A tensor is fixed when it is the same in every epoch: when all between it and the inputs runs as
    at inference, or is a layer of the head that neither trains nor draws at random. The cut is made
    of the fixed tensors that something else reads.
    """
    fixed = set(map(id, model.inputs))
    obstacle, crossing = "", {}
    for node in graph_nodes(model):
        operation = node.operation
        reason = ""
        if id(operation) not in model.inference_operations:
            states = getattr(operation, "non_trainable_variables", ())
            is_random = any("seed_generator_state" in variable.path for variable in states)
            reason = "draws at random" if is_random else ""
            # What is below serves every length.
            reason = "is set by a solver" if isinstance(operation, FixedLength) else reason
            reason = "trains" if learns(operation) else reason
        inputs = node.arguments.keras_tensors
        if not reason and fixed.issuperset(map(id, inputs)):
            fixed.update(map(id, node.outputs))
            continue
        obstacle = obstacle or f"its layer {operation.name} {reason}"
        crossing.update({id(tensor): tensor for tensor in inputs if id(tensor) in fixed})
    if not obstacle:
        return "nothing in it trains"
    tensors = list(crossing.values())
    if any(id(tensor) in crossing for tensor in model.inputs):
        return obstacle
    lower = keras.Model(model.inputs, tensors, name="below_the_cut")
    if not lower.weights:  # no more than the preprocessing
        return obstacle
    inputs = tensors if len(tensors) > 1 else tensors[0]
    try:
        return GraphSplit(lower, TaskModel(inputs, model.output, model.task))
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
