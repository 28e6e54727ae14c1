"""Records of training: rows of metrics.jsonl, status.json, progress."""

from __future__ import annotations

import math
import time
from typing import Any

import keras

from fmkit.core import machine
from fmkit.optim import optimizers
from fmkit.train.phases import Phase
from fmkit.train.run_context import RunContext


class Recorder(keras.callbacks.Callback):
    """Writes rows of epochs and of every `log_every` steps; counts the position's epochs."""

    def __init__(self, context: RunContext, phase: Phase) -> None:
        super().__init__()
        self._context, self._phase, self._position = context, phase, context.position
        self._examples = context.assembly.examples_per_epoch
        self._log_every = context.assembly.config.runtime.log_every
        self._epoch_began = time.monotonic()
        self._train_seconds = 0.0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Show the phase."""
        self._context.progress.begin(self._phase.name, self._phase.epochs, self._phase.steps)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the clock."""
        self._epoch_began, self._first = time.monotonic(), self._position.step
        epoch_steps = self._phase.steps_after(self._position.epoch)
        self._epoch_start = self._position.phase_start + epoch_steps
        if self._first == self._epoch_start:  # else a run resumes inside the epoch
            self._position.row_loss = (0, 0.0)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """The training part of the epoch ends here."""
        self._train_seconds = time.monotonic() - self._epoch_began

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Show the step; write a row every `log_every` steps."""
        done = self._position.phase_step
        if self._context.progress.is_due():
            self._context.progress.step(
                self._position.epoch + 1, done, self._progress_text(logs or {})
            )
        if self._log_every and self._position.step % self._log_every == 0:
            self._context.metrics_log.append(self._step_row(logs or {}), end_of_epoch=False)

    def _progress_text(self, logs: dict[str, Any]) -> str:
        seconds = max(time.monotonic() - self._epoch_began, 1e-9)
        rate = self._rate(self._position.step - self._first, seconds)
        return f"{format_metrics(logs)}  {rate:.0f} examples/s"

    def _rate(self, steps: int, seconds: float) -> float:
        whole = steps == self._phase.steps_per_epoch
        return (self._examples if whole else steps * self._batch_size) / max(seconds, 1e-9)

    @property
    def _batch_size(self) -> float:
        return self._examples / self._phase.steps_per_epoch

    def _step_row(self, logs: dict[str, Any]) -> dict[str, Any]:
        """The mean loss since the last row, from Keras' mean since the epoch began."""
        steps = self._position.step - self._epoch_start
        before, mean_before = self._position.row_loss
        mean = float(logs.get("loss", math.nan))
        self._position.row_loss = (steps, mean)
        loss = (mean * steps - mean_before * before) / max(steps - before, 1)
        return {
            "phase": self._phase.name,
            "epoch": self._position.epoch + 1,
            "step": self._position.step,
            "loss": loss,
            "learning_rate": optimizers.next_learning_rate(self.model.optimizer),
        }

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the epoch's row."""
        if self._context.signal_stop.signal_number is not None:
            return  # the means of an epoch that was cut short are not those of an epoch
        self._position.epoch += 1
        seconds = time.monotonic() - self._epoch_began
        row = {
            "phase": self._phase.name,
            "epoch": self._position.epoch,
            "step": self._position.step,
            **{name: float(value) for name, value in (logs or {}).items()},
            "learning_rate": optimizers.next_learning_rate(self.model.optimizer),
            "examples_per_second": round(
                self._rate(self._position.step - self._first, self._train_seconds or seconds),
                2,
            ),
            "seconds": round(seconds, 3),
            "rss_bytes": machine.resident_bytes(),
        }
        self._context.metrics_log.append(row)
        self._context.run.update_throttled(
            phase=self._phase.name, epoch=row["epoch"], step=row["step"]
        )
        self._context.progress.epoch(
            f"{self._phase.name} {row['epoch']}/{self._phase.epochs}  "
            f"{format_metrics(logs or {})}  "
            f"{row['examples_per_second']:.0f} examples/s  {seconds:.1f} s"
        )


def format_metrics(logs: dict[str, Any]) -> str:
    """Metrics as text: training before validation, losses before the others."""
    order = sorted(
        logs, key=lambda name: (name.startswith("val_"), not name.endswith("loss"), name)
    )
    return "  ".join(f"{name} {float(logs[name]):.4f}" for name in order)
