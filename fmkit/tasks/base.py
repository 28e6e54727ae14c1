"""The contract of a task: what is learned, from targets to losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from fmkit.config.schema.model import ModelConfig


class Task(Protocol):
    """What is learned. One task serves one data set and one model.

    Attributes:
        name: as in `task.name`.
        one_hot: how many classes there are where targets are class numbers that the loader makes
            one-hot, (B, C); else None.
        class_weights: weight per class for training, (C,), or None.
        inputs: symbolic inputs of the head beside the backbone's, (B, K) int32; there once `head`
            was called.
        prepare: None, or what makes inputs and targets of a batch of tokens or images: see
            `fmkit.data.loaders.base.Prepare`.
        reads: `examples`, one by one; `windows`: texts without classes as
            `fmkit.data.loaders.packing` packs them; or `rows`: what the method of that name
            makes of them.
        evaluator: what judges a finished run, as `fmkit.evaluation.evaluator` names it.
        target_rank: how many axes the targets of `prepare` have behind that of the batch, for
            texts; without this attribute 1. None: `prepare` gives None for them, and they are those
            of `targets`, which may be float32 then.
        views: how many augmented views of each image a batch has, one after the other; a task
            without this attribute has 1.
        shown: symbolic tensor of the network that a deployed model ends with, in the place of its
            outputs, such as pooled features; there once `head` was called. A task without this
            attribute, or with None, shows the outputs.
        settled: its config with what it chose itself filled in, as it is to be recorded; there once
            `head` was called. A task without this attribute chooses nothing.
        deployed: symbolic tensor of the network that a deployed model takes in the place of its
            outputs, and `inference` goes on from, where a layer of fmkit's own is behind it; there
            once `head` was called. A task without this attribute deploys what it shows.
        watched: names of figures that its callbacks add to an epoch's; a task without this
            attribute has none.
    """

    name: str
    one_hot: int | None
    class_weights: np.ndarray | None
    inputs: tuple[Any, ...]
    prepare: Any
    reads: str
    evaluator: str

    def targets(self, examples: Any) -> np.ndarray:
        """What is to be learned of each example: (N,) int32 class numbers, or (N, K) float32.

        Where the data has no classes, `examples.annotations` has it.
        """
        ...

    def rows(
        self, examples: Any, tokenizer: Any, max_length: int
    ) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        """Examples as rows of tokens, where `reads` is `rows`.

        An example may have several rows; an evaluator finds the examples behind them in
        `examples.content`, a `fmkit.data.loaders.token_rows.Encoded`.

        Returns:
            M rows, (n,) int32, or (n, K): the token and K - 1 numbers, of which `prepare` makes
            targets; which example each row is of, (M,), not falling; and how many tokens each had
            before it was cut, (M,).
        """
        ...

    def begin(self, outputs: np.ndarray) -> None:
        """Take what the network says of each example before anything trains, (N, K) float32.

        Called once, when the weights of the start are loaded, and before `targets` counts; also
        where a run goes on or is judged, with the same outputs. A row is NaN where no split has its
        example. A task with this method is no objective of `task=joint`; one without it does not
        ask. See `fmkit.train.reference_outputs`.
        """
        ...

    def head(self, backbone: Any, config: ModelConfig) -> Any:
        """Join the head to a backbone; returns the model's symbolic output."""
        ...

    def loss(self, targets: Any, outputs: Any, weights: Any, training: bool) -> Any:
        """The loss of a batch, a scalar; `weights` are per example, (B,), or None.

        Of several devices each has a part of the batch, and gradients are summed over them: a mean
        has to be divided by their number, as Keras' losses and `scale_loss_for_distribution` do.
        """
        ...

    def metrics(self) -> list[Any]:
        """Fresh Keras metrics of (targets, outputs), shown beside the loss."""
        ...

    def solve(self, features: Any, labels: Any, validation: tuple[Any, Any]) -> tuple[Any, Any]:
        """The optimum of a linear head, for `solver=lbfgs`: weights by layer, and a record.

        Features (N, D), labels as `targets` gives them; `validation` has both. A task without this
        method has no such solver.
        """
        ...

    def callbacks(
        self, learner: Any, loader: Any, examples: Any, splits: Mapping[str, np.ndarray]
    ) -> list[Any]:
        """Keras callbacks that add figures to the logs of an epoch, for a phase of training.

        They are called before epochs are judged and recorded, so that what they write there is
        shown, recorded and can be monitored. Of what they do, only that may last: a run goes on
        from any step without their memory. A task without this method has none.

        Args:
            learner: the network.
            loader: batches of `examples`.
            examples: the data set.
            splits: by split's name, positions in it.
        """
        ...

    def inference(self, outputs: Any) -> Any:
        """From the model's symbolic output (or `shown`, or `deployed`) to what a user wants."""
        ...
