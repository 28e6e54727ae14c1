"""Everything fmkit uses of Keras and KerasHub that is not public API, each behind one function.

Nothing else in fmkit imports `keras.src` or `keras_hub.src`, or touches an attribute of a Keras
object whose name begins with `_` (tests/models/test_keras_internals.py looks for it). What stands
here was written against Keras 3.15 and KerasHub 0.32: after an upgrade, this file and its tests are
what has to be checked.
"""

from __future__ import annotations

import contextlib
import io
import threading
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


@contextlib.contextmanager
def begin_at_zero() -> Iterator[None]:
    """Let variables that would begin at random numbers of a normal distribution begin at 0.

    For a network whose weights are read next: drawing 100 million numbers takes seconds. No other
    random number changes, since each initializer has had its seed before it is called.
    """
    initializer: Any = keras.initializers.RandomNormal
    original = initializer.__call__
    initializer.__call__ = lambda self, shape, dtype=None: ops.zeros(shape, dtype)
    try:
        yield
    finally:
        initializer.__call__ = original


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


def compile_inference(
    function: Callable[..., Any], variables: Sequence[keras.Variable], inputs: Sequence[Any]
) -> Callable[..., Any]:
    """A function of tensors that reads variables and changes none, compiled.

    A Keras model's own `predict_on_batch` returns NumPy arrays; here tensors stay on their device.

    Args:
        function: from tensors in the structure of `inputs` to tensors.
        variables: all that it reads.
        inputs: `keras.KerasTensor`s; a size of None varies. TensorFlow traces the function once for
            all sizes, JAX once for each.
    """
    if keras.backend.backend() == "tensorflow":
        from keras.src.utils.module_utils import tensorflow as tf

        signature = keras.tree.map_structure(
            lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype), list(inputs)
        )
        compiled: Callable[..., Any] = tf.function(
            function, input_signature=signature, autograph=False
        )
        return compiled
    from keras.src.utils.module_utils import jax

    def stateless(values: Sequence[Any], *arguments: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return function(*arguments)

    jitted = jax.jit(stateless)
    return lambda *arguments: jitted([variable.value for variable in variables], *arguments)


# Attention


def attention_layers(model: keras.Model) -> list[keras.Layer]:
    """The `MultiHeadAttention` layers of Keras in a model, at any depth."""
    layers = all_layers(model)
    return [layer for layer in layers if isinstance(layer, keras.layers.MultiHeadAttention)]


def attention_scores(model: keras.Model, inputs: Any) -> list[Any]:
    """What each `MultiHeadAttention` of a model attends to, for tensors as inputs.

    Public is only an argument of the layer's own call, and layers of KerasHub that hold one do not
    pass it on.

    Returns:
        Scores after softmax, (B, heads, T, T) each, in the order in which the layers run.
    """
    recorded: list[Any] = []

    def recording(layer: Any) -> Callable[..., Any]:
        original = layer._compute_attention

        def compute(
            query: Any, key: Any, value: Any, mask: Any = None, training: Any = None,
            return_attention_scores: bool = False, **more: Any,
        ) -> Any:  # fmt: skip
            output, scores = original(query, key, value, mask, training, True, **more)
            recorded.append(scores)
            return output, scores

        return compute

    layers = attention_layers(model)
    for layer in layers:  # not by setattr, by which Keras would track what is set
        vars(layer).update(_compute_attention=recording(layer))
    flash = [(layer, layer._flash_attention) for layer in layers]
    try:
        for layer in layers:  # it gives no scores
            layer._flash_attention = False
        model(inputs, training=False)
    finally:
        for layer, value in flash:
            del vars(layer)["_compute_attention"]
            layer._flash_attention = value
    return recorded


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

WINDOW_WEIGHT = "window_weight"
"""Name of the variable that counts what accumulated gradients are of."""

_batch = threading.local()  # each replica of a tf.distribute strategy is traced in its own thread


@contextlib.contextmanager
def batch_weight(weight: Any) -> Iterator[None]:
    """How much the mean loss of a batch counts, for the `RunOptimizer` that is applied inside.

    Args:
        weight: what its mean is of, such as examples or tokens, in any unit; a scalar. On several
            devices, of this device's part.
    """
    _batch.weight = weight
    try:
        yield
    finally:
        del _batch.weight


class RunOptimizer:
    """Mixin that corrects what Keras' optimizers do between gradients and `update_step`.

    Put it before the Keras class among the bases; `optim.optimizers` says what differs and why.
    Keras calls these hooks in `apply`; overriding that itself would mean a copy of all it does.
    """

    def build(self: Any, variables: Sequence[keras.Variable]) -> None:
        """Keras' own, with what the corrections need."""
        super().build(variables)  # type: ignore[misc]
        statistics = self.averaged_statistics() if self.use_ema else ()
        self.statistics_averages = self.add_optimizer_variables(statistics, "average")
        if self.gradient_accumulation_steps:
            self.window_weight = self.add_variable((), dtype="float32", name=WINDOW_WEIGHT)

    def averaged_statistics(self) -> Sequence[keras.Variable]:
        """Variables that do not train and are averaged with the weights, such as BatchNorm's."""
        return ()

    def updates_after(self: Any, batches: Any) -> Any:
        """Updates that so many batches make."""
        return ops.floor_divide(batches, self.gradient_accumulation_steps)

    def ends_window(self: Any, batches: Any) -> Any:
        """Whether an update follows batch number `batches`, counted from 1."""
        return ops.equal(batches % self.gradient_accumulation_steps, 0)

    def ema_decay(self: Any, update: Any) -> Any:
        """The decay of the moving average at an update, counted from 0, after the first."""
        return self.ema_momentum

    @property
    def iterations(self: Any) -> Any:
        """Updates, not batches."""
        if self.gradient_accumulation_steps:
            return self.updates_after(self._iterations)
        return self._iterations

    def _backend_apply_gradients(self: Any, grads: Any, trainable_variables: Any) -> None:
        weight = ops.cast(getattr(_batch, "weight", 1.0), "float32")
        if (replicas := replica_count(self)) > 1:
            # Keras adds up the gradients of means that were divided by the number of replicas.
            ((total, _),) = self._all_reduce_sum_gradients([(weight, weight)])
            grads = [_scaled(grad, replicas * ops.divide_no_nan(weight, total)) for grad in grads]
            weight = total
        if not self.gradient_accumulation_steps:
            super()._backend_apply_gradients(grads, trainable_variables)  # type: ignore[misc]
            return
        ends_window = self.ends_window(self._iterations + 1)
        if replicas > 1:
            pairs = self._all_reduce_sum_gradients(zip(grads, grads, strict=True))
            grads = [grad for grad, _ in pairs]
        accumulators = [
            self._accumulated_gradients[self._get_variable_index(v)] for v in trainable_variables
        ]
        sums = [
            accumulator + _scaled(grad, weight)
            for grad, accumulator in zip(grads, accumulators, strict=True)
        ]
        window_weight = self.window_weight + weight
        variables = [*accumulators, self.window_weight]
        update = self.update_on_replicas if replicas > 1 else self.update_on_one
        update(ends_window, sums, window_weight, trainable_variables)
        zero = [ops.zeros_like(value) for value in (*sums, window_weight)]
        values = [
            ops.where(ends_window, *pair) for pair in zip(zero, (*sums, window_weight), strict=True)
        ]
        self.assign_equal(variables, values)

    def mean_gradients(self: Any, sums: Any, window_weight: Any) -> Any:
        """The gradient of the mean loss of a window, clipped."""
        divisor = ops.where(window_weight > 0, window_weight, 1.0)
        means = [value / ops.cast(divisor, value.dtype) for value in sums]
        return super()._clip_gradients(means)  # type: ignore[misc]

    def update_on_one(
        self: Any, ends_window: Any, sums: Any, window_weight: Any, variables: Any
    ) -> None:
        """Update where a window ends."""

        def update() -> None:
            means = self.mean_gradients(sums, window_weight)
            self._backend_update_step(means, variables, self.learning_rate)
            self._update_model_variables_moving_average(variables)

        if keras.backend.backend() == "tensorflow":
            ops.cond(ends_window, update, lambda: None)
            return
        # JAX does not allow assignments in a branch: update always, and take it back.
        own = [*self.variables, *variables]
        before = [ops.copy(variable) for variable in own]
        update()
        for variable, value in zip(own, before, strict=True):
            variable.assign(ops.where(ends_window, variable, value))

    def update_on_replicas(
        self: Any, ends_window: Any, sums: Any, window_weight: Any, variables: Any
    ) -> None:
        """The same on several devices, of sums that are equal on all."""
        from keras.src.utils.module_utils import tensorflow as tf

        values = [variable.value for variable in variables]

        def update(strategy: Any, ends_window: Any, means: Any) -> None:
            def assign_all() -> None:
                pairs = list(zip(means, values, strict=True))
                self._distributed_tf_update_step(strategy, pairs, self.learning_rate)
                self.average_on_replicas(strategy)

            # A branch that updates must be outside of the replicas.
            ops.cond(strategy.experimental_local_results(ends_window)[0], assign_all, lambda: None)

        means = self.mean_gradients(sums, window_weight)
        tf.distribute.get_replica_context().merge_call(update, args=(ends_window, means))

    def assign_equal(self: Any, variables: Any, values: Any) -> None:
        """Assign values that are equal on all replicas."""
        if replica_count(self) == 1:
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
            return
        from keras.src.utils.module_utils import tensorflow as tf

        def assign(strategy: Any, values: Any) -> None:
            for variable, value in zip(variables, values, strict=True):
                strategy.extended.update(
                    variable.value, lambda own, new: own.assign(new), args=(value,), group=False
                )

        tf.distribute.get_replica_context().merge_call(assign, args=(values,))

    def average_on_replicas(self: Any, strategy: Any) -> None:
        """Move the averages; outside of the replicas."""
        if not self.use_ema:
            return
        momentum = self.ema_momentum_now()
        for variable, average in moving_averages(self):
            strategy.extended.update(
                average.value,
                lambda own, new: own.assign(_moved(own, new, momentum)),
                args=(variable.value,),
                group=False,
            )

    def ema_momentum_now(self: Any) -> Any:
        """The decay of this update; the first average is the weights after the first update."""
        update = self.iterations
        return ops.where(ops.equal(update, 0), 0.0, self.ema_decay(update))

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
        if not self.use_ema:
            return
        momentum, pairs = self.ema_momentum_now(), moving_averages(self)
        values = [_moved(average, variable, momentum) for variable, average in pairs]
        self.assign_equal([average for _, average in pairs], values)

    def variable_index(self: Any, variable: Any) -> int:
        """A variable's position among those that `build` was given."""
        return int(self._get_variable_index(variable))


def _moved(average: Any, value: Any, momentum: Any) -> Any:
    share = ops.cast(momentum, value.dtype)
    return share * average + (1 - share) * value


def _scaled(gradient: Any, factor: Any) -> Any:
    """A gradient times a number; None and the rows of an embedding stay what they are."""
    if gradient is None:
        return None
    factor = ops.cast(factor, gradient.dtype)
    if hasattr(gradient, "indices"):  # tf.IndexedSlices
        return type(gradient)(gradient.values * factor, gradient.indices, gradient.dense_shape)
    return gradient * factor


def moving_averages(optimizer: Any) -> list[tuple[keras.Variable, keras.Variable]]:
    """Each variable that is averaged, those that an optimizer trains first, with its average."""
    weights = zip(
        optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True
    )
    statistics: Any = ()
    if isinstance(optimizer, RunOptimizer):
        own: Any = optimizer
        statistics = zip(own.averaged_statistics(), own.statistics_averages, strict=True)
    return [pair for pair in (*weights, *statistics) if pair[1] is not None]


@keras.saving.register_keras_serializable(package="fmkit")
class LossScale(keras.optimizers.LossScaleOptimizer):
    """Keras' own; a batch whose gradient is not finite counts in its window, with weight 0.

    Keras leaves it out, and all windows after it would end a batch later than their epochs.
    """

    def _stateful_handle_non_finite_grads(self) -> None:
        super()._stateful_handle_non_finite_grads()
        inner = self.inner_optimizer
        if inner.gradient_accumulation_steps:
            variables = inner._trainable_variables
            with batch_weight(0.0):
                inner.apply([ops.zeros_like(variable) for variable in variables], variables)


def variables_since_0_3(optimizer: Any) -> list[keras.Variable]:
    """The variables of a `RunOptimizer` that checkpoints of fmkit 0.2 do not have."""
    window = [optimizer.window_weight] if optimizer.gradient_accumulation_steps else []
    return [*optimizer.statistics_averages, *window]


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


def llama_rotation(block: keras.Layer, queries: Any, index: Any) -> tuple[Any, Any]:
    """Cosine and sine by which a KerasHub Llama block turns queries and keys, (1, T, 1, D) each.

    Args:
        block: any of a network; all of them turn alike.
        queries: (B, T, heads, D).
        index: the position of the first of them, a scalar.
    """
    rotation = block._self_attention_layer.rotary_embedding_layer
    cosine, sine = rotation._compute_cos_sin_embedding(queries, index)
    return cosine, sine


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
