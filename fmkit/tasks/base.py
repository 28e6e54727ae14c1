"""`Task`, the base class of all tasks: targets, head, loss, metrics, and what a run shows of them.

N examples, B batch, C classes, K outputs per example, T tokens.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fmkit.config.schema.model import ModelConfig
from fmkit.core.types import DataSpec

Rows = tuple[list[np.ndarray], np.ndarray, np.ndarray]
"""M rows, (n,) int32, or (n, K): the token and K - 1 numbers, of which `prepare_batch` makes
targets; the position of each row's example, (M,), ascending; and the tokens of each row before it
was cut to `max_length`, (M,)."""

Batch = tuple[tuple[np.ndarray, ...], Any]
"""Inputs of the network, and targets; see `Task.target_rank` for None."""

EpochEvaluator = Callable[[Any], dict[str, float]]
"""Computes metrics over all predictions of a validation split, by name without `val_`. Its argument
is Keras' `jit_compile` of the network that trains."""


class Task:
    """What is learned. One instance serves one data set and one model.

    A subclass defines `name`, `head` and `loss`, and overrides those defaults that differ.

    Args:
        config: of the task.
        spec: the data set that it learns from.

    Attributes:
        config: of the task, as given.
        name: as in `task.name`.
        input_format: `examples`, one by one; `packed`: texts without labels, packed into windows by
            `fmkit.data.loaders.packing`; or `rows`: what `encode_rows` makes of the examples.
        num_classes: C where targets are class numbers that the loader makes one-hot, (B, C); else
            None.
        class_weights: weight per class for training, (C,), or None.
        prepare_batch: None, or a function that makes inputs and targets of a batch of tokens or
            images: see `fmkit.data.loaders.base.Prepare`.
        target_rank: for texts, the axes of the targets of `prepare_batch` after that of the batch.
            None: `prepare_batch` returns None for them, and they are those of `targets`, which may
            be float32 then.
        views_per_image: augmented views of each image in a batch, one after the other.
        epoch_metrics: names of the metrics of `epoch_evaluator`, without `val_`.
        solvers: values of `stage.PHASE.solver`, besides `gradient`, that `linear_problem` serves.
        needs_reference: whether it compares with the network as it was at the start; see
            `set_reference_outputs`. Such a task cannot be an objective of `task=joint`.
        has_logits: networks are compared by `calibrated_loss` of their outputs, and otherwise by
            the loss as it is.
        row_findings: what `encode_rows` found in the examples that people should know of.
        extra_inputs: symbolic inputs of the head besides the backbone's, (B, K) int32; set by
            `head`.
        features: symbolic tensor, such as pooled features, that predictions and deployed models
            return instead of the network's outputs; set by `head`. None: they return the outputs.
        inference_input: symbolic tensor that `inference` continues from, where that is not the
            network's output; set by `head`.
        resolved_config: the task's config with everything filled in that the task chose itself, as
            a run records it; set by `head`. None: the task chooses nothing.
        chat_template: how conversations are written, a `fmkit.models.tokenizers.chat_template.Chat`
            where the data has any, or None.
        next_token_model: builds the trained network as a Keras model from tokens (B, T) and a
            position in each row, (B, 1), to logits of the token after that position, (B, V); set by
            `head`. None: the task cannot generate text.
    """

    name = ""
    input_format = "examples"
    num_classes: int | None = None
    class_weights: np.ndarray | None = None
    prepare_batch: Any = None
    target_rank: int | None = 1
    views_per_image = 1
    epoch_metrics: tuple[str, ...] = ()
    solvers: tuple[str, ...] = ()
    needs_reference = False
    has_logits = False
    row_findings: tuple[str, ...] = ()
    extra_inputs: tuple[Any, ...] = ()
    features: Any = None
    inference_input: Any = None
    resolved_config: Any = None
    chat_template: Any = None
    next_token_model: Callable[[], Any] | None = None

    def __init__(self, config: Any, spec: DataSpec) -> None:
        self.config = config

    def targets(self, examples: Any) -> np.ndarray:
        """The targets of a data set: (N,) int32 class numbers, or (N, K) float32.

        By default zeros, for a task whose `prepare_batch` makes the targets or whose loss needs
        none. Where the data has no classes, `examples.annotations` holds the labels.
        """
        return np.zeros(len(examples), np.int32)

    def encode_rows(self, examples: Any, tokenizer: Any, max_length: int) -> Rows:
        """Examples as rows of tokens, for the `input_format` `rows`.

        An example may have several rows; an evaluator finds the examples behind them in
        `examples.content`, a `fmkit.data.loaders.text_loader.Encoded`.
        """
        raise NotImplementedError

    def head(self, backbone: Any, config: ModelConfig) -> Any:
        """Join the head to a backbone; returns the model's symbolic output."""
        raise NotImplementedError

    def smooth_labels(self, amount: float | None) -> None:
        """Smooth labels by so much from the next `compile` on; None: by the config's amount.

        By default nothing, for a task without labels.
        """

    def loss(self, targets: Any, outputs: Any, weights: Any, training: bool) -> Any:
        """The loss of a batch, a scalar; `weights` are per example, (B,), or None.

        Each of several devices has a part of the batch, and gradients are summed over them: a mean
        must be divided by their number, as Keras' losses and `scale_loss_for_distribution` do.
        """
        raise NotImplementedError

    def loss_weight(self, targets: Any) -> Any:
        """What the loss of a batch is the mean of, a scalar: by default the number of its examples.

        Batches whose gradients are accumulated count by it, and so do the parts of a batch on
        several devices, so that the update is that of one large batch.
        """
        import keras  # not at the top: data is refused before TensorFlow is imported

        return keras.ops.shape(keras.tree.flatten(targets)[0])[0]

    def metrics(self) -> Any:
        """Fresh Keras metrics of (targets, outputs), computed batch by batch beside the loss: a
        list, or of a joint task a mapping from each objective to its list."""
        return []

    def epoch_evaluator(
        self, network: Any, loader: Any, examples: Any, splits: Mapping[str, np.ndarray]
    ) -> EpochEvaluator | None:
        """Computes the validation metrics that need all predictions at once; None: there are none.

        A training phase asks once for it and calls it in each epoch that is validated, with the
        weights that validation uses. Its metrics are shown, recorded and monitored like those of
        `metrics`. They must follow from weights and data alone: a resumed run starts from any step
        without what an earlier call left in memory.

        Args:
            network: the whole network, from inputs to outputs.
            loader: batches of `examples`.
            examples: the data set.
            splits: positions in it by the split's name.
        """
        return None

    def per_example_metrics(self, targets: Any, outputs: Any) -> dict[str, Any]:
        """Metrics of each example, (B,) by name; an evaluation shows them, with their means."""
        raise NotImplementedError

    def update_rule(self) -> Any:
        """How a batch becomes updates of the weights, a `fmkit.optim.update_rule.UpdateRule`.

        None is the default rule: one loss and one optimizer.
        """
        return None

    def set_reference_outputs(self, outputs: np.ndarray) -> None:
        """Receive the outputs of the reference network, (N, K) float32, where `needs_reference`.

        That is the network with the weights that training starts from. Called before `targets`
        counts, also where a run is resumed or evaluated, with the same outputs. A row is NaN where
        no split has its example. See `fmkit.train.reference_outputs`.
        """
        raise NotImplementedError

    def linear_problem(self, targets: Any) -> Any:
        """What a linear head learns, a `fmkit.tasks.linear_problems.Problem`, for `solvers`.

        Args:
            targets: of the examples that it learns from and is judged by, as `targets` gives them.
        """
        raise NotImplementedError

    def calibrated_loss(self, targets: Any, outputs: Any) -> float:
        """The mean loss of outputs after temperature scaling, where the task `has_logits`.

        Args:
            targets: as `targets` gives them.
            outputs: of the network, (N, K).
        """
        raise NotImplementedError

    def inference(self, outputs: Any) -> Any:
        """What a deployed model returns, of the network's symbolic output, or of `features` or
        `inference_input` where they are set."""
        return outputs


def add_defaults(task: Any) -> Any:
    """Give a plugin's task that does not derive from `Task` the defaults of what it lacks."""
    if not isinstance(task, Task):
        for name, default in vars(Task).items():
            if not name.startswith("_") and not hasattr(task, name):
                setattr(task, name, default.__get__(task) if callable(default) else default)
    return task
