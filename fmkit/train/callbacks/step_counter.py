"""Counts training steps, and ends a phase at its last one."""

from __future__ import annotations

from typing import Any

import keras

from fmkit.train.phases import Phase
from fmkit.train.run_context import RunContext


class StepCounter(keras.callbacks.Callback):
    """Keeps `Position.step` up to date. Must be the first of the callbacks: the others read it."""

    def __init__(self, context: RunContext, phase: Phase) -> None:
        super().__init__()
        self._phase, self._position = phase, context.position

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note where the epoch begins: in its middle, where a run resumes there."""
        position = self._position
        self._first = position.step
        self._last = position.phase_start + self._phase.steps_after(position.epoch + 1)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Count the steps of a call, which may make many (`steps_per_execution`)."""
        # The last call of an epoch may be a shorter one; Keras numbers it as if it were whole.
        self._position.step = min(self._first + batch + 1, self._last)
        if self._position.phase_step >= self._phase.steps:
            self.model.stop_training = True
