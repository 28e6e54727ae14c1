"""When a checkpoint is written, and what is in it."""

import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from fmkit.config import units
from fmkit.core import fault_injection
from fmkit.train.checkpoints import checkpoint, resume, state, variables
from fmkit.train.forgetting import ForgettingCallback
from fmkit.train.phase_data import PhaseInputs
from fmkit.train.phases import Phase
from fmkit.train.run_context import RunContext

_SECONDS_BETWEEN = 10.0
"""Least time between checkpoints where epochs take milliseconds."""


class CheckpointCallback(keras.callbacks.Callback):
    """Saves checkpoints.

    One is written at the end of an epoch, inside a long one at intervals, at a signal, and on
    request. Epochs on cached features take milliseconds, and a checkpoint holds the whole network:
    there the best weights wait in memory, and are written some seconds after the last checkpoint
    and at the end of the phase. A run that is killed before resumes from the last checkpoint and
    finds the same best epoch again.

    Must be the last of the callbacks: it saves what the others leave.

    Attributes:
        training_logs: training metrics of an epoch of which the validation is left, or None.
    """

    def __init__(
        self,
        context: RunContext,
        phase: Phase,
        inputs: PhaseInputs,
        counting: Sequence[ForgettingCallback] = (),
    ) -> None:
        super().__init__()
        self._counting = counting
        config = context.assembly.config.runtime
        self._context, self._phase, self._features = context, phase, inputs.features
        self._run, self._position = context.run, context.position
        self._network, self._keep = context.assembly.model, config.keep
        self._metrics = resume.running_metrics(inputs.model, inputs.metrics)
        self._interval = units.parse_interval(config.save_every)
        self._spacing = 0.0 if inputs.features is None else _SECONDS_BETWEEN
        self._saved_at, self._saved_step = time.monotonic(), context.position.step
        self._waiting: tuple[dict[str, Any], dict[str, np.ndarray]] | None = None
        self.training_logs: dict[str, float] | None = None
        self._is_requested = False

    def request(self) -> None:
        """Save at the end of this training call; may be called at any time."""
        self._is_requested = True

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Forget the last epoch's metrics."""
        self.training_logs = None

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Save if it is time."""
        position, now = self._position, time.monotonic()
        is_asked = self._is_requested or self._context.signal_stop.signal_number is not None
        # The end of an epoch saves of itself.
        is_last = position.phase_step == self._phase.steps_after(position.epoch + 1)
        steps = position.step - self._saved_step
        is_time = not is_last and self._interval.is_over(steps, now - self._saved_at)
        if steps and (is_asked or is_time):
            self._save()
        fault_injection.point("train.step")

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Keep the epoch's training metrics: Keras resets them for the validation."""
        if self.training_logs is None:
            self.training_logs = self._read_metrics()

    def _read_metrics(self) -> dict[str, float]:
        return {name: float(value) for name, value in self.model.get_metrics_result().items()}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Save, or keep the weights of a new best epoch in memory until it is time."""
        position = self._position
        if not self._phase.is_epoch_end(position):  # a signal has cut it short
            self._save_end()
            return
        best = position.phase_best
        if self._is_requested or time.monotonic() - self._saved_at >= self._spacing:
            self._save()
        elif best is not None and best["step"] == position.step:
            weights, _ = variables.collect(self._network, self.model.optimizers, part=self.model)
            self._waiting = best, weights

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Save what has not been saved yet."""
        if self._waiting is not None:
            self._save()
        self._save_end()

    def _save_end(self) -> None:
        """Save the last step, unless its phase is left out for lack of time."""
        if self._saved_step != self._position.step and not self._context.time_plan.left_out:
            self._save()

    def save_waiting(self) -> None:
        """Save the best weights that wait in memory, if there are any."""
        if self._waiting is None:
            return
        best, part = self._waiting
        self._waiting = None
        weights = {**variables.arrays(self._network.variables), **part}
        checkpoint.save(self._run.checkpoints, best["step"], weights, None, self._state(best))
        self._run.update(best=self._position.best)

    def _save(self) -> None:
        """Write a checkpoint: the best that waits goes first, since this one's state names it."""
        position = self._position
        if self._waiting is not None and self._waiting[0]["step"] != position.step:
            self.save_waiting()
        self._waiting = None
        weights, training = variables.collect(self._network, self.model.optimizers)
        if not self._phase.is_epoch_end(position) and self.training_logs is None:
            metrics = resume.metric_variables(self._metrics)
            training |= {
                f"{resume.METRICS}{path}": variables.array(variable)
                for path, variable in metrics.items()
            }
        for callback in self._counting:
            callback.collect()
        if self._context.forgetting is not None:
            training |= self._context.forgetting.arrays()
        here = {"epoch": position.epoch, "step": position.step}
        best_steps = {best["step"] for best in (position.best, position.phase_best) if best}
        checkpoint.save(
            self._run.checkpoints, position.step, weights, training, self._state(here),
            self._protected() | best_steps,
        )  # fmt: skip
        self._saved_at, self._saved_step = time.monotonic(), position.step
        self._is_requested = False
        self._run.update(best=position.best, epoch=position.epoch, step=position.step)
        checkpoint.prune(self._run.checkpoints, self._keep, self._protected())

    def _protected(self) -> set[int]:
        """Steps that one of the checkpoints which stay may have to return to."""
        steps = resume.best_steps(checkpoint.list_checkpoints(self._run.checkpoints)[-self._keep :])
        start = self._context.start_step(self._phase) if self._phase.interpolate else None
        return steps if start is None else {*steps, start}

    def _state(self, weights_of: dict[str, Any]) -> dict[str, Any]:
        position, phase = self._position, self._phase
        done, logs = weights_of["step"] - position.phase_start, None
        ended, ending = (phase.steps_after(position.epoch + begun) for begun in (0, 1))
        if weights_of["epoch"] == position.epoch and done == ending != ended:  # all but validation
            logs = self._read_metrics() if self.training_logs is None else self.training_logs
        features, context = self._features, self._context
        facts = {
            "rows": context.metrics_log.sync(),
            "seconds": context.phase_seconds,
            "skipped": context.assembly.skipped,
            "features": None if features is None else features.record["sha256"],
            "config": context.assembly.flat_config,
        }
        return state.to_json(phase.name, weights_of, position, logs, facts)
