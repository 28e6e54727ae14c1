"""Which epoch is the best, and when a phase has stopped improving."""

import operator
from typing import Any

import keras

from fmkit.config.registry import larger_is_better
from fmkit.train.phases import Phase
from fmkit.train.run_context import RunContext


class EarlyStopping(keras.callbacks.Callback):
    """Compares each epoch with the best so far, and ends a phase whose patience has run out.

    Writes `best`, `phase_best` and `stale` of the position. The loop restores the best weights at
    the end of a phase. Keras' own EarlyStopping could not resume, and knows of one phase only.

    Must come after `Recorder`, which counts epochs, and before `CheckpointCallback`, which saves
    what this one decides.
    """

    def __init__(self, context: RunContext, phase: Phase) -> None:
        super().__init__()
        self._phase, self._position = phase, context.position
        self._monitor = context.assembly.config.task.monitor
        results = {result["name"]: result for result in context.position.results}
        self._validated = dict(results[phase.refit_of]["best"]) if phase.refit_of else {}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Compare the epoch with the best; nothing where a signal has cut it short."""
        position = self._position
        if not self._phase.is_epoch_end(position):
            return
        if self._phase.refit_of:  # nothing is validated: the last weights are what was planned
            position.phase_best = {**self._validated, "step": position.step}
            position.phase_best |= {"phase": self._phase.name, "epoch": position.epoch}
            return
        result = {
            "phase": self._phase.name,
            "epoch": position.epoch,
            "step": position.step,
            "monitor": self._monitor,
            "value": float((logs or {})[self._monitor]),
        }
        if self._phase.ends_with_last_epoch or self._is_better(result, position.phase_best):
            position.phase_best, position.stale = result, 0
        else:
            position.stale += 1
        if self._is_better(result, position.best):
            position.best = result
        if self._phase.has_run_out_of_patience(position):
            self.model.stop_training = True

    def _is_better(self, result: dict[str, Any], best: dict[str, Any] | None) -> bool:
        compare = operator.gt if larger_is_better(self._monitor) else operator.lt
        return best is None or compare(result["value"], best["value"])
