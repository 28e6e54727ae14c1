"""What steps, validations and epochs take, and the length of a phase under a time limit."""

import dataclasses
import math
from typing import Any

import keras

from fmkit.config import units
from fmkit.core.errors import plural
from fmkit.train.phase_data import PhaseInputs, schedule_windows, windows
from fmkit.train.phases import Phase
from fmkit.train.run_context import RunContext
from fmkit.train.timing import time_limit
from fmkit.train.timing.deadline import TimeLimit
from fmkit.train.timing.time_limit import PhaseCost, Rest

_ENOUGH_SECONDS = 2.0
"""Seconds of steps that tell what a step takes; the first ones are often slow."""
_LIMIT_SHARE = 0.02
"""Under a short time limit, this share of it is enough."""
_RECENT = 0.15
"""Of the time limit: older steps count less and less, so that a machine that slows down is seen."""
_WORTH_SAYING = 10.0
"""Seconds from which on an estimate is shown."""
_OVER, _FAR_OVER, _GAIN = 0.005, 0.03, 0.1
"""Changes of length that are made: by the time that is missing, as a part of the limit, and by the
steps that are gained, as a part of those that are left."""
_NEWS = 0.1
"""Changes of length that are shown, as a part of what was shown before; all are logged."""
_SPACING = 0.04
"""Least time between two changes, as a part of the limit, unless much time is missing."""


class TimePlanner(keras.callbacks.Callback):
    """Measures a phase, says how long it will take, and makes it fit into a time limit.

    Must be the last of the callbacks: a checkpoint is part of the time that an epoch takes, and
    what is planned after it does not concern it.

    Args:
        end_validations: passes over the validation split after the last epoch.
    """

    def __init__(
        self, context: RunContext, phase: Phase, inputs: PhaseInputs, end_validations: int = 0
    ) -> None:
        super().__init__()
        self._context, self._phase, self._inputs = context, phase, inputs
        self._position, self._plan = context.position, context.time_plan
        self._clock, self._limit = self._plan.clock, self._plan.limit
        self._cost = self._plan.costs[phase.name]
        optimizer = context.assembly.config.optimizer
        self._windows, self._whole = windows(optimizer, phase), schedule_windows(optimizer, phase)
        self._end_validations, self._validation_steps = end_validations, 0
        if inputs.validation is not None:
            examples = len(context.assembly.splits.get("val", ()))
            self._validation_steps = context.assembly.loader.steps_per_epoch(examples)
        self._train_seconds, self._train_steps = 0.0, 0.0
        self._call_began, self._step = self._clock(), self._position.phase_step
        self._test_began = self._test_seconds = 0.0
        self._validations: list[float] = []
        self._epochs: list[float] = []
        self._has_called = self._has_said = False
        self._changed_at, self._said = -math.inf, phase.steps

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the clock."""
        self._call_began, self._step = self._clock(), self._position.phase_step

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Measure the call, and plan once enough of them are known."""
        now, step, cost = self._clock(), self._position.phase_step, self._cost
        if not self._has_called:
            self._has_called = True
            cost.first_call = now - self._call_began
            cost.begin = now - self._plan.phase_entered
        elif not self.model.is_cut_short:
            self._train_seconds += now - self._call_began
            self._train_steps += step - self._step
            cost.step = self._train_seconds / max(self._train_steps, 1)
            if self._limit and self._train_seconds > _RECENT * self._limit.seconds:
                self._train_seconds, self._train_steps = cost.step, 1.0
        self._call_began, self._step = now, step
        if not self._replay() and self._knows_enough():
            self._decide(is_epoch_end=False)

    def _knows_enough(self) -> bool:
        if self._limit is None and self._has_said:  # nothing is left to decide
            return False
        enough = _ENOUGH_SECONDS
        if self._limit is not None:
            enough = min(enough, _LIMIT_SHARE * self._limit.seconds)
        return self._has_said or self._train_seconds >= enough

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """A validation begins."""
        self._test_began = self._clock()

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """A validation ends. Of the first one, tracing is taken off; it counts until the second."""
        self._test_seconds = seconds = self._clock() - self._test_began
        if not self._validations:
            traced = seconds - time_limit.TRACE * self._cost.first_call
            seconds = min(max(traced, self._validation_estimate()), seconds)
        self._validations.append(seconds)
        steady = self._validations[1:] or self._validations
        self._cost.validation = sum(steady) / len(steady)

    def _validation_estimate(self) -> float:
        return time_limit.FORWARD * self._cost.step * self._validation_steps

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measure what the epoch took besides, and plan with it."""
        if self._phase.is_solved or not self._phase.is_epoch_end(self._position):
            return
        self._epochs.append(max(self._clock() - self._call_began - self._test_seconds, 0.0))
        self._test_seconds = 0.0
        self._cost.epoch = sum(self._epochs) / len(self._epochs)
        if not self._replay() and self._cost.step > 0:
            self._decide(is_epoch_end=True)

    def _replay(self) -> bool:
        """Make the changes on record that are due; whether there are any for this phase."""
        replays = self._plan.replays
        own = [change for change in replays if change["phase"] == self._phase.name]
        for change in own:
            if change["step"] <= self._position.phase_step:
                replays.remove(change)
                if not change["after"]:
                    self._plan.skip_from(self._phase)
                self._set_length(change["after"])
        return bool(own)

    def _decide(self, is_epoch_end: bool) -> None:
        """Say how long the phase takes, and change its length where the time limit wants it."""
        phase, position, limit = self._phase, self._position, self._limit
        if position.phase_step >= phase.steps:
            return
        cost = self._cost
        if cost.validation is None:
            cost = dataclasses.replace(cost, validation=self._validation_estimate())
        if limit is not None:
            rest = self._rest(cost)
            length = self._length(cost, rest, limit, is_epoch_end)
            if not length and rest.refits:
                self._plan.leave_out_refit()
                rest = self._rest(cost)
                length = self._length(cost, rest, limit, is_epoch_end)
            if not length:
                validation = (cost.validation or 0.0) + cost.epoch
                needed = rest.fixed + validation + position.phase_step * cost.step
                self._plan.leave_out(phase, needed)
                self._set_length(0)
            elif length != phase.steps:
                self._change(length, limit)
        if not self._has_said:
            self._has_said = True
            seconds = time_limit.seconds_left(phase, position, cost, refits=False)
            if seconds >= _WORTH_SAYING and not phase.first_length:
                self._context.report(
                    f"{phase.name}: about {units.format_time(seconds)} for "
                    f"{plural(phase.epochs - position.epoch, 'epoch')}, "
                    f"{time_limit.describe_step(cost.step)}"
                )

    def _rest(self, cost: PhaseCost) -> Rest:
        """What comes after the steps and epochs of this phase."""
        phase, plan = self._phase, self._plan
        refits = plan.refits
        fixed = plan.finish_seconds(cost, refits)
        if self._end_validations:
            fixed += self._end_validations * (cost.validation or 0.0) + cost.epoch
            fixed += time_limit.TRACE * cost.first_call
        if not self._validations and self._validation_steps:
            fixed += time_limit.TRACE * cost.first_call
        if phase.refit_of:
            return Rest(fixed=fixed + plan.rest_of_refit(phase.name))
        refit = plan.refit_seconds(cost, phase) if refits else 0.0
        return Rest(refits, plan.later_phases(phase), fixed + refit)

    def _length(self, cost: PhaseCost, rest: Rest, limit: TimeLimit, is_epoch_end: bool) -> int:
        """Steps that the phase is to have in all; 0 where it cannot even be validated."""
        phase, position, left = self._phase, self._position, limit.left
        steps = time_limit.affordable_steps(phase, position, cost, rest, left)
        if steps < position.phase_step and position.phase_best is None and not phase.refit_of:
            return 0
        whole_epochs = self.model.steps_per_execution > 1
        length = time_limit.allowed_length(phase, steps, self._windows, whole_epochs)
        if length <= position.phase_step:
            length = self._shortest(is_epoch_end, whole_epochs)
        needed = time_limit.seconds_left(phase, position, cost, rest.refits) * (1 + rest.later)
        over = (needed + rest.fixed - left) / limit.seconds
        is_soon = self._clock() - self._changed_at < _SPACING * limit.seconds
        if length < phase.steps and (over < _OVER or (is_soon and over < _FAR_OVER)):
            return phase.steps  # it fits but for the noise of the measurement
        remaining = phase.steps - position.phase_step
        if length > phase.steps and (is_soon or length - phase.steps < _GAIN * remaining):
            return phase.steps
        return length

    def _shortest(self, is_epoch_end: bool, whole_epochs: bool) -> int:
        """The shortest length that the phase can still have."""
        phase, step = self._phase, self._position.phase_step
        if is_epoch_end:
            return step
        lengths = (
            time_limit.allowed_length(phase, steps, self._windows, whole_epochs)
            for steps in range(step + 1, phase.whole_length)
        )
        return next((length for length in lengths if length > step), phase.whole_length)

    def _change(self, length: int, limit: TimeLimit) -> None:
        """Change the length of the phase, record why, and say so."""
        phase, before = self._phase, self._phase.steps
        if not phase.can_change:
            return
        self._changed_at = self._clock()
        self._plan.record_change(phase.name, self._position.phase_step, before, length)
        self._set_length(length)
        verb = "shortened" if length < before else "lengthened again"
        line = (
            f"time limit {limit.text}: {phase.name} {verb} "
            f"{time_limit.describe_length(before, length, phase.steps_per_epoch)}, "
            f"{time_limit.describe_step(self._cost.step)}"
        )
        is_news = abs(length - self._said) > _NEWS * self._said
        self._said = length if is_news else self._said
        (self._context.report if is_news else self._context.run.log)(line)

    def _set_length(self, length: int) -> None:
        """Give the phase a length from here on, and its learning rate the schedule for it."""
        phase, step, before = self._phase, self._position.phase_step, self._phase.steps
        if not length:
            self.model.stop_training = self.model.is_cut_short = True
            return
        phase.change_length(step, length)
        self._context.progress.change_length(phase.epochs, length)
        schedule = self._inputs.schedule
        if length > step and schedule is not None and schedule.rescaling is not None:
            schedule.rescaling.change(*map(self._whole.updates_after, (step, before, length)))
        if length <= step:
            self.model.stop_training = True
