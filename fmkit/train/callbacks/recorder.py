"""Counts the steps, and records training: rows of metrics.jsonl, status.json, progress."""

import math
import time
from typing import Any

import keras

from fmkit.core import console, machine
from fmkit.optim import optimizers
from fmkit.train.phases import Phase
from fmkit.train.run_context import RunContext


class StepCounter(keras.callbacks.Callback):
    """Keeps `Position.step` up to date. Must be the first of the callbacks: the others read it."""

    def __init__(self, context: RunContext, phase: Phase) -> None:
        super().__init__()
        self._phase, self._position = phase, context.position

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note where the epoch begins: in its middle, where a run resumes there."""
        self._first = self._position.step

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Count the steps of a call, which may make many; end a phase at its last one."""
        position, phase = self._position, self._phase
        # The last call of an epoch may be a shorter one; Keras numbers it as if it were whole.
        last = min((position.epoch + 1) * phase.steps_per_epoch, phase.whole_length)
        position.step = min(self._first + batch + 1, position.phase_start + last)
        if self._position.phase_step >= self._phase.steps:
            self.model.stop_training = True


class Recorder(keras.callbacks.Callback):
    """Writes rows of epochs and of every `log_every` steps; counts the position's epochs."""

    def __init__(self, context: RunContext, phase: Phase) -> None:
        super().__init__()
        self._context, self._phase, self._position = context, phase, context.position
        assembly = context.assembly
        # Of all objectives, in one epoch of the first.
        self._examples = len(assembly.examples_of(phase))
        for part in assembly.objectives[1:]:
            self._examples += part.config.batch_size * phase.steps_per_epoch
        self._log_every = assembly.config.runtime.log_every
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
        position, logs = self._position, logs or {}
        if self._context.progress.is_due():
            rate = self._rate(time.monotonic() - self._epoch_began)
            text = f"{format_metrics(logs)}  {rate:.0f} examples/s"
            self._context.progress.step(position.epoch + 1, position.phase_step, text)
        if self._log_every and position.step % self._log_every == 0:
            # The mean loss since the last row, from Keras' mean since the epoch began.
            steps, mean = position.step - self._epoch_start, float(logs.get("loss", math.nan))
            before, mean_before = position.row_loss
            position.row_loss = (steps, mean)
            loss = (mean * steps - mean_before * before) / max(steps - before, 1)
            row = self._row(position.epoch + 1, {"loss": loss})
            self._context.metrics_log.append(row, end_of_epoch=False)

    def _rate(self, seconds: float) -> float:
        """Examples per second since the epoch began, or since the run resumed in it."""
        steps, per_epoch = self._position.step - self._first, self._phase.steps_per_epoch
        whole = steps == per_epoch
        examples = self._examples if whole else steps * (self._examples / per_epoch)
        return examples / max(seconds, 1e-9)

    def _row(self, epoch: int, metrics: dict[str, Any]) -> dict[str, Any]:
        return {
            "phase": self._phase.name,
            "epoch": epoch,
            "step": self._position.step,
            **{name: float(value) for name, value in metrics.items()},
            "learning_rate": optimizers.next_learning_rate(self.model.optimizer),
        }

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the epoch's row."""
        if self.model.is_cut_short or self._context.signal_stop.signal_number is not None:
            return  # the means of an epoch that was cut short are not those of an epoch
        self._position.epoch += 1
        seconds = time.monotonic() - self._epoch_began
        row = self._row(self._position.epoch, logs or {}) | {
            "examples_per_second": round(self._rate(self._train_seconds or seconds), 2),
            "seconds": round(seconds, 3),
            "rss_bytes": machine.resident_bytes(),
        }
        self._context.metrics_log.append(row)
        self._context.run.update_throttled(
            phase=self._phase.name, epoch=row["epoch"], step=row["step"]
        )
        if self._context.assembly.config.runtime.verbose:
            console.info(
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
