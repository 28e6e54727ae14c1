"""Metrics over all predictions of the validation split, after each epoch."""

from typing import Any

import keras

from fmkit.tasks.base import EpochEvaluator


class EpochEvaluation(keras.callbacks.Callback):
    """Adds a task's epoch metrics, as `val_NAME`, to the logs of an epoch that is validated.

    It comes after `EmaEvaluation`, so that the weights are those that validation uses, and before
    the callbacks that check, record and monitor the logs. A task without an evaluator adds nothing.
    """

    def __init__(self, evaluator: EpochEvaluator | None) -> None:
        super().__init__()
        self._evaluator = evaluator
        self._metrics: dict[str, float] = {}

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Evaluate while the weights are those of validation."""
        if self._evaluator is not None:
            self._metrics = self._evaluator(self.model.jit_compile)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the metrics to the epoch's."""
        if logs is not None:
            logs.update({f"val_{name}": value for name, value in self._metrics.items()})
        self._metrics = {}
