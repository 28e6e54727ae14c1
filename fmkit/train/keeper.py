"""Which epoch is the best, and what of a run is on disk."""

from __future__ import annotations

import time
from typing import Any

import keras
import numpy as np

from fmkit.store.run import Run
from fmkit.train import checkpoint
from fmkit.train.callbacks import Position
from fmkit.train.phases import Phase
from fmkit.train.stopper import Stopper


class Keeper(keras.callbacks.Callback):
    """Saves checkpoints, knows the best epoch, and stops a phase that has stopped improving.

    Epochs on cached features take milliseconds, and a checkpoint holds the whole network. There the
    best weights wait in memory, and the disk gets them when `spacing` seconds have gone by since
    the last time, and at the end of the phase.

    Args:
        run: gets the checkpoints.
        whole: the whole network, of which the model that is trained may be a part.
        phase: the phase.
        position: where the run stands.
        monitor: the value that decides which epoch is the best.
        keep: checkpoints kept beside the best.
        stopper: knows of signals.
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
        stopper: Stopper,
        spacing: float = 0.0,
    ) -> None:
        super().__init__()
        self._run, self._whole, self._phase, self._position = run, whole, phase, position
        self._monitor, self._keep, self._stopper = monitor, keep, stopper
        self._spacing, self._saved_at, self._saved_step = spacing, time.monotonic(), -1
        self._waiting: tuple[dict[str, Any], dict[str, np.ndarray]] | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Judge the epoch and save."""
        if self._stopper.signal_number is not None:
            # Now: the end of `fit` puts the average of the weights in the place of the raw ones.
            self._save()
            return
        place = self._position
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
        if time.monotonic() - self._saved_at >= self._spacing:
            self._save()
        elif is_best:
            optimizer = self.model.optimizer
            weights, _ = checkpoint.values(self._whole, optimizer, part=self.model)
            self._waiting = here, weights

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Save what was not worth its time before."""
        if self._waiting is not None or self._saved_step != self._position.step:
            self._save()

    def save_now(self) -> None:
        """Save the step that has just ended, in the middle of an epoch."""
        self._save()

    def save_waiting(self) -> None:
        """Save the best weights that wait in memory, if any do."""
        if self._waiting is None:
            return
        best, part = self._waiting
        self._waiting = None
        weights = {**checkpoint.tensors(self._whole.variables), **part}
        checkpoint.save(self._run.checkpoints, best["step"], weights, None, self._state(best))
        self._run.update(best=self._position.best)

    def _save(self) -> None:
        place = self._position
        if self._waiting is not None and self._waiting[0]["step"] != place.step:
            self.save_waiting()
        self._waiting = None
        here = {"phase": self._phase.name, "epoch": place.epoch, "step": place.step}
        weights, training = checkpoint.values(self._whole, self.model.optimizer)
        checkpoint.save(self._run.checkpoints, place.step, weights, training, self._state(here))
        self._saved_at, self._saved_step = time.monotonic(), place.step
        if self._stopper.signal_number is None:
            self._run.update(best=place.best)
            kept = {each["step"] for each in (place.best, place.phase_best) if each}
            checkpoint.prune(self._run.checkpoints, self._keep, kept)

    def _state(self, here: dict[str, Any]) -> dict[str, Any]:
        place = self._position
        return {
            "phase": self._phase.name,
            "epoch": here["epoch"],
            "phase_step": here["step"] - place.phase_start,
            "best": place.best,
            "phase_best": place.phase_best,
            "stale": place.stale,
        }

    def _value(self, logs: dict[str, Any]) -> float:
        return float(logs[self._monitor])

    def _better(self, one: dict[str, Any], other: dict[str, Any] | None) -> bool:
        if other is None:
            return True
        larger_is_better = "accuracy" in self._monitor
        return (one["value"] > other["value"]) == larger_is_better and one["value"] != other[
            "value"
        ]
