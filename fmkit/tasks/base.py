"""The contract of a task: what is learned, from targets to losses."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from fmkit.config.schema import ModelConfig


class Task(Protocol):
    """What is learned. One task serves one data set and one model.

    Attributes:
        name: as in `task.name`.
        one_hot: how many classes there are where targets are class numbers that the loader makes
            one-hot, (B, C); else None.
        class_weights: weight per class for training, (C,), or None.
        inputs: symbolic inputs of the head beside the backbone's, (B, K) int32; there once `head`
            was called.
        prepare: None, or what makes inputs and targets of a batch of tokens: see
            `fmkit.data.text_loader.Prepare`.
        reads: `examples`, one by one, or `windows`: texts without classes as `fmkit.data.windows`
            packs them.
        evaluator: what judges a finished run, as `fmkit.evaluate.table` names it.
    """

    name: str
    one_hot: int | None
    class_weights: np.ndarray | None
    inputs: tuple[Any, ...]
    prepare: Any
    reads: str
    evaluator: str

    def targets(self, examples: Any) -> np.ndarray:
        """What is to be learned of each example: (N,) int32 class numbers, or (N, K) float32."""
        ...

    def head(self, backbone: Any, config: ModelConfig) -> Any:
        """Join the head to a backbone; returns the model's symbolic output."""
        ...

    def loss(self, targets: Any, outputs: Any, weights: Any, training: bool) -> Any:
        """The loss of a batch, a scalar; `weights` are per example, (B,), or None."""
        ...

    def metrics(self) -> list[Any]:
        """Fresh Keras metrics of (targets, outputs), shown beside the loss."""
        ...

    def solve(self, features: Any, labels: Any, validation: tuple[Any, Any]) -> tuple[Any, Any]:
        """The optimum of a linear head, for `solver=lbfgs`: weights by layer, and a record.

        Features (N, D), labels (N,); `validation` has both. A task without this method has no
        such solver.
        """
        ...

    def inference(self, outputs: Any) -> Any:
        """From the model's symbolic output to what a user wants, such as probabilities."""
        ...
