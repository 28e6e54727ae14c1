"""Everything fmkit uses of Keras and KerasHub that is not public API, each behind one function.

Nothing else in fmkit imports `keras.src` or `keras_hub.src`, or touches an attribute of a Keras
object whose name begins with `_` (tests/models/test_keras_internals.py looks for it). What stands
here was written against Keras 3.15 and KerasHub 0.32: after an upgrade, this file and its tests are
what has to be checked.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
from keras import ops
from keras.src.losses.loss import scale_loss_for_distribution as scale_loss_for_distribution
from keras.src.losses.loss import unscale_loss_for_distribution as unscale_loss_for_distribution
from keras.src.models.functional import operation_fn
from keras.src.saving import saving_lib

# Layers and their variables


def all_layers(layer: keras.Layer, include_self: bool = False) -> list[keras.Layer]:
    """The layers inside a layer or model at any depth, each before those inside it.

    `Model.layers` stops at the first level, and `Layer` has no public list at all.
    """
    return list(layer._flatten_layers(include_self=include_self, recursive=True))


def child_layers(layer: keras.Layer) -> list[keras.Layer]:
    """The layers directly inside a layer; of a Functional model in topological order."""
    if isinstance(layer, keras.Model):
        return list(layer.layers)
    return list(layer._flatten_layers(include_self=False, recursive=False))


def is_keras_layer(layer: keras.Layer) -> bool:
    """Whether a layer's class is Keras' own, not KerasHub's or a plugin's."""
    # The classes of keras.layers say that they were defined in keras.src.layers.
    return type(layer).__module__.startswith(("keras.src.layers", "keras.layers"))


def own_trainable_variables(layer: keras.Layer) -> list[keras.Variable]:
    """A layer's own variables that can train, whether they do now or not.

    The public `trainable_variables` is empty while the layer is frozen, and includes inner layers.
    """
    return list(layer._trainable_variables)


def own_state_variables(layer: keras.Layer) -> list[keras.Variable]:
    """A layer's own variables that never train, such as BatchNorm's moving statistics."""
    return list(layer._non_trainable_variables)


def dense_kernel(layer: keras.Layer) -> keras.Variable:
    """The kernel variable of a Dense or EinsumDense layer.

    Under LoRA the public `kernel` is a tensor, the sum of this variable and the adapters' product.
    """
    return layer._kernel


def delete_lora_variables(layer: keras.Layer, names: Sequence[str]) -> None:
    """Take LoRA's matrices off a layer; Keras has `enable_lora` and no way back."""
    for name in names:
        layer._untrack_variable(getattr(layer, name))
        # keras.Layer.__delattr__ collects garbage each time: seconds on a large model.
        super(keras.Layer, layer).__delattr__(name)


# Graphs of Functional models


def run_graph(
    model: keras.Model, inputs: Any, call: Callable[[Any], Callable[..., Any]] | None = None
) -> Any:
    """Call every layer of a Functional model on other inputs, as nodes of the new graph.

    `model(inputs)` would put the whole model into the new graph as one layer; freezing, learning
    rates per block and the feature cache work layer by layer.

    Args:
        model: Functional.
        inputs: tensors in the structure of `model.inputs`: a list of them.
        call: from an operation to the function that runs it; None calls it as it is.
    """
    # In the structure of `model.output`; a list of one comes as that one.
    options = {} if call is None else {"operation_fn": call}
    outputs = model._run_through_graph(inputs, **options)
    return outputs[0] if isinstance(outputs, list | tuple) and len(outputs) == 1 else outputs


def standardize_inputs(model: keras.Model, inputs: Any) -> Any:
    """Inputs in the order, rank and dtype that a Functional model's own `call` brings them to."""
    return model._standardize_inputs(inputs)


def call_operation(operation: Any, training: bool) -> Callable[..., Any]:
    """How a Functional model calls an operation: with `training` where that takes it."""
    return operation_fn(operation, training=training)


def graph_nodes(model: keras.Model) -> Iterator[Any]:
    """The nodes of a Functional model's graph from the inputs upwards, inputs left out."""
    by_depth = model._nodes_by_depth
    for depth in sorted(by_depth, reverse=True):
        for node in by_depth[depth]:
            if node.arguments.keras_tensors:
                yield node


# Losses and distribution


def loss_total(model: keras.Model) -> Any | None:
    """The sum of the losses since the last reset; None before `compile`."""
    tracker = model._loss_tracker
    return None if tracker is None else tracker.total


def record_loss(model: keras.Model, loss: Any, examples: Any) -> None:
    """Add the loss of a batch of so many examples to the mean that a compiled model reports."""
    model._loss_tracker.update_state(unscale_loss_for_distribution(loss), sample_weight=examples)


def per_replica_share(model: keras.Model, loss: Any) -> Any:
    """A loss that a layer added, scaled such that several devices add it once in all."""
    return model._aggregate_additional_loss(loss)


# Optimizers


class RunOptimizer:
    """Mixin that corrects what Keras' optimizers do between gradients and `update_step`.

    Put it before the Keras class among the bases; `optim.optimizers` says what differs and why.
    Keras calls these hooks in `apply`; overriding that itself would mean a copy of all it does.
    """

    def _clip_gradients(self: Any, grads: Any) -> Any:
        replicas = replica_count(self)
        if replicas == 1 or not self.global_clipnorm:
            return super()._clip_gradients(grads)  # type: ignore[misc]
        pairs = self._all_reduce_sum_gradients(zip(grads, grads, strict=True))
        clipped = super()._clip_gradients([grad for grad, _ in pairs])  # type: ignore[misc]
        # The gradients of all replicas are equal now, and Keras is going to sum them.
        return [None if grad is None else grad / replicas for grad in clipped]

    def _get_current_learning_rate(self: Any) -> Any:
        if isinstance(self._learning_rate, keras.optimizers.schedules.LearningRateSchedule):
            return self._learning_rate(self.iterations)
        return super()._get_current_learning_rate()  # type: ignore[misc]

    def _apply_weight_decay(self: Any, variables: Any) -> None:
        """Nothing: `update_step` does it, variable by variable."""

    def _update_model_variables_moving_average(self: Any, trainable_variables: Any) -> None:
        batches = self.gradient_accumulation_steps
        if not (self.use_ema and batches):
            super()._update_model_variables_moving_average(trainable_variables)  # type: ignore[misc]
            return
        # `where` instead of a branch: JAX does not allow assignments in a branch.
        is_update = ops.equal((self._iterations + 1) % batches, 0)  # of batches; see `iterations`
        momentum = ops.where(ops.equal(self.iterations, 0), 0.0, self.ema_momentum)
        momentum = ops.where(is_update, momentum, 1.0)
        for variable, average in moving_averages(self):
            share = ops.cast(momentum, variable.dtype)
            average.assign(share * average + (1 - share) * variable)

    def variable_index(self: Any, variable: Any) -> int:
        """A variable's position among those that `build` was given."""
        return int(self._get_variable_index(variable))


def moving_averages(optimizer: Any) -> list[tuple[keras.Variable, keras.Variable]]:
    """Each variable that an optimizer trains with its exponential moving average."""
    averages = optimizer._model_variables_moving_average
    pairs = zip(optimizer._trainable_variables, averages, strict=True)
    return [(variable, average) for variable, average in pairs if average is not None]


def replica_count(optimizer: Any) -> int:
    """Devices that train together; 1 without a distribution strategy."""
    strategy = getattr(optimizer, "_distribution_strategy", None)  # TensorFlow's backend only
    return 1 if strategy is None else int(strategy.num_replicas_in_sync)


def learning_rate_or_schedule(optimizer: keras.optimizers.Optimizer) -> Any:
    """What `learning_rate` was set to: a schedule itself, where the public property is its value.

    The value is for the current step, and reading it inside a compiled step is not the same.
    """
    return optimizer._learning_rate


# Files


class _PathRecorder(saving_lib.H5IOStore):
    """Notes where Keras would store each variable, and stores nothing."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), mode="w")
        self.paths: dict[int, str] = {}
        self._prefix = ""

    def make(self, path: str, metadata: Any = None) -> _PathRecorder:
        self._prefix = f"{path}/vars" if path else "vars"
        return self

    def __setitem__(self, key: str, value: Any) -> None:
        self.paths[id(value)] = f"{self._prefix}/{key}"


def storage_paths(model: keras.Model) -> dict[int, str]:
    """By id of a variable, its path in a `.weights.h5` or `.keras` file of the model."""
    store = _PathRecorder()
    # Keras' own walk through the model: a copy of it would drift from the files it writes.
    saving_lib._save_state(
        model, weights_store=store, assets_store=None, inner_path="", visited_saveables=set()
    )
    store.close()
    return store.paths


# KerasHub


def preset_file(preset: str, name: str) -> Path:
    """The local path of a preset's file, which KerasHub fetches where necessary.

    Raises:
        FileNotFoundError: the preset has no such file.
    """
    from keras_hub.src.utils import preset_utils

    return Path(preset_utils.get_file(preset, name))


def llama_block_layers(block: keras.Layer) -> dict[str, keras.Layer]:
    """The layers with weights of a KerasHub Llama block, by the names that ggml gives them."""
    attention = block._self_attention_layer
    return {
        "attn_q": attention._query_dense,
        "attn_k": attention._key_dense,
        "attn_v": attention._value_dense,
        "attn_output": attention._output_dense,
        "ffn_gate": block._feedforward_gate_dense,
        "ffn_up": block._feedforward_intermediate_dense,
        "ffn_down": block._feedforward_output_dense,
        "attn_norm": block._self_attention_layernorm,
        "ffn_norm": block._feedforward_layernorm,
    }


def use_exact_gelu(model: keras.Model) -> None:
    """Let the feed-forward layers of a KerasHub encoder compute GELU, not its tanh approximation.

    Checkpoints of Hugging Face whose config says `gelu` were trained with the exact one; the
    approximation in KerasHub's BERT and its relatives moves features by some 1e-3.
    """
    for layer in model.layers:
        dense = getattr(layer, "_feedforward_intermediate_dense", None)
        if dense is not None and getattr(layer, "activation", None) is not None:
            layer.activation = keras.activations.gelu
            dense.activation = keras.activations.gelu
