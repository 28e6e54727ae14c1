"""What happens beside the training: rows, the display, the guard on the loss."""

from __future__ import annotations

import math
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from fmkit.errors import NonFiniteError
from fmkit.store.metrics_log import MetricsLog
from fmkit.store.run import Run
from fmkit.train.phases import Phase
from fmkit.train.progress import TrainingProgress
from fmkit.train.stopper import Stopper


@dataclass
class Position:
    """Where a run stands. One object is shared by all callbacks of a run.

    Attributes:
        step: optimizer calls since the run began, over all phases.
        phase_start: the value of `step` at which the current phase began.
        epoch: epochs that have ended in the current phase.
        best: phase, epoch, step, monitor and value of the best epoch so far, or None.
        stale: epochs of the current phase since it last had a best of its own.
    """

    step: int = 0
    phase_start: int = 0
    epoch: int = 0
    best: dict[str, Any] | None = None
    phase_best: dict[str, Any] | None = None
    stale: int = 0

    def begin(self) -> None:
        """A phase begins."""
        self.phase_start, self.epoch = self.step, 0
        self.phase_best, self.stale = None, 0


class Guard(keras.callbacks.Callback):
    """Counts steps, ends a phase at its last step, and stops at a loss that is not finite.

    The loss of a step is read one call later, so that a GPU's queue never runs dry. Keras reports
    the mean since the epoch began, which is not finite from the bad step on. Where one call makes
    many steps, only the last one's loss is seen.
    """

    def __init__(self, phase: Phase, position: Position) -> None:
        super().__init__()
        self._phase, self._position = phase, position
        self._pending: Any = None
        self._pending_steps = (0, 0)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Forget the last epoch's mean."""
        self._pending = None
        self._first = self._position.step
        end = self._position.phase_start + self._phase.steps
        self._last = min(self._first + self._phase.steps_per_epoch, end)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Check the call before, count the steps of this one."""
        self._check()
        # The last call of an epoch may be a shorter one; Keras numbers it as if it were whole.
        step = min(self._first + batch + 1, self._last)
        self._pending = (logs or {}).get("loss")
        self._pending_steps = (self._position.step + 1, step)
        self._position.step = step
        if step - self._position.phase_start >= self._phase.steps:
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Check the last step and the validation."""
        self._check()
        for name, value in (logs or {}).items():
            if name.endswith("loss") and not math.isfinite(float(value)):
                self._stop(name, float(value), f"at step {self._position.step}")

    def _check(self) -> None:
        if self._pending is not None and not math.isfinite(value := float(self._pending)):
            first, last = self._pending_steps
            where = f"at step {last}" if first == last else f"between step {first} and {last}"
            self._stop("loss", value, where)

    def _stop(self, name: str, value: float, where: str) -> None:
        best = self._position.best
        kept = f"The best checkpoint is step {best['step']}." if best else "Nothing was saved yet."
        raise NonFiniteError(
            f"{name} became {value} {where} (phase {self._phase.name}, "
            f"epoch {self._position.epoch + 1}).",
            f"{kept} Lower optimizer.learning_rate, or set optimizer.clip_norm; with mixed_float16 "
            "try runtime.precision=float32.",
        )


class Recorder(keras.callbacks.Callback):
    """Writes metrics rows and the status, and feeds the display."""

    def __init__(
        self,
        run: Run,
        log: MetricsLog,
        progress: TrainingProgress,
        phase: Phase,
        position: Position,
        examples: int,
        log_every: int,
        stopper: Stopper,
    ) -> None:
        super().__init__()
        self._run, self._log, self._progress = run, log, progress
        self._phase, self._position, self._stopper = phase, position, stopper
        self._examples, self._every = examples, log_every
        self._epoch_began = self._phase_began = time.monotonic()
        self._train_seconds = 0.0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Show the phase."""
        self._phase_began = time.monotonic()
        self._progress.begin(self._phase.name, self._phase.epochs, self._phase.steps)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the clock."""
        self._epoch_began = time.monotonic()
        self._epoch_step = self._position.step
        self._last_loss: tuple[int, float] = (0, 0.0)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """The training part of the epoch ends here."""
        self._train_seconds = time.monotonic() - self._epoch_began

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Show the step; write a row every so many."""
        done = self._position.step - self._position.phase_start
        if self._progress.is_due():
            self._progress.step(self._position.epoch + 1, done, self._numbers(logs or {}))
        if self._every and self._position.step % self._every == 0:
            self._log.append(self._step_row(logs or {}), end_of_epoch=False)

    def _numbers(self, logs: dict[str, Any]) -> str:
        seconds = max(time.monotonic() - self._epoch_began, 1e-9)
        rate = self._rate(self._position.step - self._epoch_step, seconds)
        return f"{worded(logs)}  {rate:.0f} examples/s"

    def _rate(self, steps: int, seconds: float) -> float:
        whole = steps == self._phase.steps_per_epoch
        return (self._examples if whole else steps * self._batch_size) / max(seconds, 1e-9)

    @property
    def _batch_size(self) -> float:
        return self._examples / self._phase.steps_per_epoch

    def _step_row(self, logs: dict[str, Any]) -> dict[str, Any]:
        """The mean loss since the last row, from Keras' mean since the epoch began."""
        steps = self._position.step - self._epoch_step
        before, mean_before = self._last_loss
        mean = float(logs.get("loss", math.nan))
        self._last_loss = (steps, mean)
        loss = (mean * steps - mean_before * before) / max(steps - before, 1)
        return {
            "phase": self._phase.name,
            "epoch": self._position.epoch + 1,
            "step": self._position.step,
            "loss": loss,
            "learning_rate": learning_rate(self.model),
        }

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the epoch's row."""
        if self._stopper.signal_number is not None:
            return  # a cut epoch has no honest row
        self._position.epoch += 1
        seconds = time.monotonic() - self._epoch_began
        row = {
            "phase": self._phase.name,
            "epoch": self._position.epoch,
            "step": self._position.step,
            **{name: float(value) for name, value in (logs or {}).items()},
            "learning_rate": learning_rate(self.model),
            "examples_per_second": round(
                self._rate(self._position.step - self._epoch_step, self._train_seconds or seconds),
                2,
            ),
            "seconds": round(seconds, 3),
            "rss_bytes": rss_bytes(),
        }
        self._log.append(row)
        self._run.update_soon(phase=self._phase.name, epoch=row["epoch"], step=row["step"])
        self._progress.epoch(
            f"{self._phase.name} {row['epoch']}/{self._phase.epochs}  {worded(logs or {})}  "
            f"{row['examples_per_second']:.0f} examples/s  {seconds:.1f} s"
        )


def worded(logs: dict[str, Any]) -> str:
    """Numbers for the display: losses first, then the rest, training before validation."""
    order = sorted(
        logs, key=lambda name: (name.startswith("val_"), not name.endswith("loss"), name)
    )
    return "  ".join(f"{name} {float(logs[name]):.4f}" for name in order)


def learning_rate(model: keras.Model) -> float:
    """The rate of the next update; not a number where a solver has none."""
    if model.optimizer is None:
        return math.nan
    return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))


def rss_bytes() -> int:
    """Memory that the process holds, in bytes."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
