"""Which epoch is the best, and what of a run is on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from fmkit.config.registry import larger_is_better
from fmkit.config.units import Interval
from fmkit.core import fault_injection
from fmkit.store.run_dir import Run
from fmkit.train.callbacks.signal_stop import SignalStop
from fmkit.train.checkpoints import checkpoint, resume, state, variables
from fmkit.train.phases import Phase
from fmkit.train.position import Position

PhaseFacts = Callable[[], dict[str, Any]]
"""What of a run's state only the loop knows: `rows`, and the `facts` of `state.to_json`."""


class CheckpointCallback(keras.callbacks.Callback):
    """Saves checkpoints, knows the best epoch, and stops a phase that has stopped improving.

    A checkpoint comes at the end of an epoch, inside a long one every so often, at a signal, and
    when somebody asks. Epochs on cached features take milliseconds, and a checkpoint holds the
    whole network. There the best weights wait in memory, and the disk gets them when `spacing`
    seconds have gone by since the last time, and at the end of the phase. A run that is killed
    before goes on from the last checkpoint and comes by the same best again.

    Must be the last of the callbacks: what it saves is what the others leave.

    Args:
        run: gets the checkpoints.
        whole: the whole network, of which the model that is trained may be a part.
        phase: the phase.
        position: where the run stands.
        monitor: the value that decides which epoch is the best.
        keep: checkpoints kept beside the best.
        stopper: knows of signals.
        metrics: the running metrics, from `resume.metrics_of`.
        facts: see `Facts`.
        every: how often inside an epoch; empty means never.
        spacing: least seconds between two checkpoints; 0 saves every epoch.
    """

    def __init__(
        self,
        run: Run,
        whole: keras.Model,
        phase: Phase,
        position: Position,
        monitor: str,
        keep: int,
        stopper: SignalStop,
        metrics: Sequence[Any],
        facts: PhaseFacts,
        every: Interval | None = None,
        spacing: float = 0.0,
    ) -> None:
        super().__init__()
        self._run, self._whole, self._phase, self._position = run, whole, phase, position
        self._monitor, self._keep, self._stopper = monitor, keep, stopper
        self._metrics, self._facts, self._every = metrics, facts, every or Interval()
        self._spacing, self._saved_at, self._saved_step = spacing, time.monotonic(), position.step
        self._waiting: tuple[dict[str, Any], dict[str, np.ndarray]] | None = None
        self._logs: dict[str, float] | None = None
        self._is_asked = False

    def save_now(self) -> None:
        """Save at the end of this training call; may be called at any time."""
        self._is_asked = True

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Forget the last epoch's numbers."""
        self._logs = None

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Save if it is time."""
        if self._is_due():
            self._save()
        fault_injection.point("train.step")

    def _is_due(self) -> bool:
        step = self._position.step
        if step == self._saved_step:
            return False
        if self._is_asked or self._stopper.signal_number is not None:
            return True
        ends = self._position.phase_step == self._phase.steps_of(self._position.epoch + 1)
        since = time.monotonic() - self._saved_at
        return not ends and self._every.is_over(step - self._saved_step, since)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Keep the epoch's training metrics: Keras starts them anew for the validation."""
        if self._logs is None:
            self._logs = self._training_logs()

    def take_logs(self, logs: dict[str, float]) -> None:
        """The training metrics of an epoch of which only the validation is left."""
        self._logs = dict(logs)

    def _training_logs(self) -> dict[str, float]:
        return {name: float(value) for name, value in self.model.get_metrics_result().items()}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Judge the epoch and save."""
        place = self._position
        if place.phase_step != self._phase.steps_of(place.epoch):  # a signal has cut it
            if place.step != self._saved_step:
                self._save()
            return
        here = {
            "phase": self._phase.name,
            "epoch": place.epoch,
            "step": place.step,
            "monitor": self._monitor,
            "value": self._value(logs or {}),
        }
        is_best = self._better(here, place.phase_best)
        if is_best:
            place.phase_best, place.stale = here, 0
        else:
            place.stale += 1
        if self._better(here, place.best):
            place.best = here
        if self._phase.patience is not None and place.stale >= self._phase.patience:
            self.model.stop_training = True
        if self._is_asked or time.monotonic() - self._saved_at >= self._spacing:
            self._save()
        elif is_best:
            optimizer = self.model.optimizer
            weights, _ = variables.values(self._whole, optimizer, part=self.model)
            self._waiting = here, weights

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Save what was not worth its time before."""
        if self._waiting is not None or self._saved_step != self._position.step:
            self._save()

    def save_waiting(self) -> None:
        """Save the best weights that wait in memory, if any do."""
        if self._waiting is None:
            return
        best, part = self._waiting
        self._waiting = None
        weights = {**variables.tensors(self._whole.variables), **part}
        checkpoint.save(self._run.checkpoints, best["step"], weights, None, self._state(best))
        self._run.update(best=self._position.best)

    def _save(self) -> None:
        """Write a checkpoint: the best that waits goes first, for this one's state names it."""
        place = self._position
        if self._waiting is not None and self._waiting[0]["step"] != place.step:
            self.save_waiting()
        self._waiting = None
        weights, training = variables.values(self._whole, self.model.optimizer)
        if place.phase_step != self._phase.steps_of(place.epoch) and self._logs is None:
            training |= resume.metric_values(self._metrics)
        here = {"epoch": place.epoch, "step": place.step}
        spared = self._spared() | {each["step"] for each in (place.best, place.phase_best) if each}
        checkpoint.save(
            self._run.checkpoints, place.step, weights, training, self._state(here), spared
        )
        self._saved_at, self._saved_step = time.monotonic(), place.step
        self._is_asked = False
        self._run.update(best=place.best, epoch=place.epoch, step=place.step)
        checkpoint.prune(self._run.checkpoints, self._keep, self._spared())

    def _spared(self) -> set[int]:
        """Steps that one of the checkpoints which stay may have to come back to."""
        return state.named_by(checkpoint.list_checkpoints(self._run.checkpoints)[-self._keep :])

    def _state(self, here: dict[str, Any]) -> dict[str, Any]:
        return state.to_json(
            self._phase.name, here, self._position, logs=self._cut_logs(here), **self._facts()
        )

    def _cut_logs(self, here: dict[str, Any]) -> dict[str, float] | None:
        """The training metrics of an epoch whose steps are done and that is not judged yet."""
        place, done = self._position, here["step"] - self._position.phase_start
        if here["epoch"] != place.epoch or done == self._phase.steps_of(place.epoch):
            return None
        if done != self._phase.steps_of(place.epoch + 1):
            return None
        return self._training_logs() if self._logs is None else self._logs

    def _value(self, logs: dict[str, Any]) -> float:
        return float(logs[self._monitor])

    def _better(self, one: dict[str, Any], other: dict[str, Any] | None) -> bool:
        if other is None:
            return True
        is_larger = one["value"] > other["value"]
        return is_larger == larger_is_better(self._monitor) and one["value"] != other["value"]
