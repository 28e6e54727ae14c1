"""`runtime.time_limit`: how many steps the phases may have, so that the run ends in time.

Of the time that is left, what is sure to come is set aside: the end of the phase (weights in
between are validated), the refit of what has been trained, the last evaluation, the model file, and
a margin. Of the rest each phase that is left may have an equal share; what it does not need goes to
the next ones. With a refit a step counts twice. `callbacks/time_planner` measures what a step, an
epoch and a validation take, and plans by it.

Each change of a length is recorded in the run's status before it takes effect: a run that resumes
makes the changes at the same steps again.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fmkit.optim.windows import UpdateWindows
from fmkit.train.phases import Phase, Position
from fmkit.train.timing.deadline import RECORD

SAVING_SECONDS = 1.0
TRACE = 0.3
"""Tracing a validation, as a part of the first step of training."""
FORWARD = 0.4
"""A step of validation, as a part of one of training."""
_MOST_WHOLE = 10
"""Where so many epochs fit, the length is a whole number of them."""


class OutOfTime(Exception):
    """A pass over the inputs takes so many seconds more, which is longer than there is time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"{seconds:.0f} s")
        self.seconds = seconds


@dataclass
class PhaseCost:
    """Seconds that parts of a phase take.

    Attributes:
        begin: until its first step has ended: features, compiling, the step itself.
        features: of it, computing features, which are read the next time.
        first_call: of it, the first step and its compiling.
        step: of training; the first one left out.
        validation: of one epoch; None before the first.
        epoch: what an epoch takes besides, such as its checkpoint.
    """

    begin: float = 0.0
    features: float = 0.0
    first_call: float = 0.0
    step: float = 0.0
    validation: float | None = None
    epoch: float = 0.0

    def again(self, steps: float, epochs: float) -> float:
        """Seconds of a refit with so many steps: its features exist, and nothing is validated."""
        return self.begin - self.features + steps * self.step + epochs * self.epoch


@dataclass(frozen=True)
class Rest:
    """What a run has before it, beside the steps of the phase that it is in.

    Attributes:
        refits: whether what is trained now is trained a second time.
        later: phases that will train by gradients after this one.
        fixed: seconds of all that no length changes.
    """

    refits: bool = False
    later: int = 0
    fixed: float = 0.0


def seconds_left(phase: Phase, position: Position, cost: PhaseCost, refits: bool) -> float:
    """Seconds that the rest of a phase takes at its length, a refit of all of it included."""
    validation = cost.validation or 0.0
    epochs = phase.epochs - position.epoch
    seconds = max(phase.steps - position.phase_step, 0) * cost.step
    seconds += epochs * (validation + cost.epoch)
    if refits:
        seconds += phase.steps * cost.step + phase.epochs * cost.epoch
    return seconds


def affordable_steps(
    phase: Phase, position: Position, cost: PhaseCost, rest: Rest, left: float
) -> float:
    """Steps that a phase may have in all within `left` seconds, exact and without a bound."""
    share = (left - rest.fixed) / (1 + rest.later)
    epoch = (cost.validation or 0.0) + cost.epoch
    # As if the phase were at its beginning, and had its time so far, too.
    budget = share + position.phase_step * cost.step + position.epoch * epoch
    times = 2 if rest.refits else 1
    step = max(cost.step * times, 1e-9)
    epoch += cost.epoch * (times - 1)
    whole, in_epoch = divmod(budget, phase.steps_per_epoch * step + epoch)
    return whole * phase.steps_per_epoch + max((in_epoch - epoch) / step, 0.0)


def allowed_length(
    phase: Phase, steps: float, windows: UpdateWindows, whole_epochs: bool = False
) -> int:
    """The longest length of at most `steps` that a phase may be given.

    It ends with a whole update, and with an epoch where there are many, or where one call of the
    network makes all the steps of an epoch (`whole_epochs`).
    """
    if steps >= phase.whole_length:
        return phase.whole_length
    steps, epoch = max(math.floor(steps), 0), phase.steps_per_epoch
    if windows.size > epoch:  # windows go on into the next epoch
        unit = math.lcm(windows.size, epoch) if whole_epochs else windows.size
        return steps - steps % unit
    whole, in_epoch = divmod(steps, epoch)
    if whole_epochs or whole >= _MOST_WHOLE:
        return whole * epoch
    return whole * epoch + in_epoch - in_epoch % windows.size


def evaluation_seconds(examples: int, cost: PhaseCost, validated: int, batch_size: int) -> float:
    """Estimate for the metrics of so many examples by the network of a phase.

    Args:
        validated: examples of the validation split, which `cost.validation` is for.
        batch_size: examples of a step.
    """
    forward = cost.step * FORWARD / batch_size
    if cost.validation is not None and validated:
        forward = cost.validation / validated
    return TRACE * cost.first_call + 1.5 * forward * examples


def recorded_changes(status: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The changes of lengths that a run has made, in order."""
    return list((status.get(RECORD) or {}).get("changes") or ())


def apply_record(
    phases: Sequence[Phase], changes: Sequence[Mapping[str, Any]], position: Position, current: str
) -> list[dict[str, Any]]:
    """Make the changes that lie before a position; the others, which are still to be made.

    Args:
        phases: as configured; they get the lengths that they had at the position.
        changes: of the record.
        position: where the run is.
        current: the phase that it is in.
    """
    done = {result["name"] for result in position.results}
    by_name, later = {phase.name: phase for phase in phases}, []
    for phase in phases:
        phase.reset_length()
    for change in changes:
        name, step = change["phase"], change["step"]
        is_here = name == current and change["after"] and step <= position.phase_step
        is_past = name in done or is_here
        if is_past and name in by_name and change["after"]:
            by_name[name].change_length(step, change["after"])
        elif not is_past:
            later.append(dict(change))
    return later


def describe_length(before: int, after: int, per_epoch: int) -> str:
    """`from 40 to 11 epochs`, or in steps where one of them is not a whole number of epochs."""
    if before % per_epoch or after % per_epoch:
        return f"from {before:,} to {after:,} steps"
    epochs = after // per_epoch
    return f"from {before // per_epoch:,} to {epochs:,} {'epoch' if epochs == 1 else 'epochs'}"


def describe_step(seconds: float) -> str:
    """`1.3 s a step` or `12 ms a step`."""
    return f"{seconds:.2g} s a step" if seconds >= 0.1 else f"{seconds * 1000:.2g} ms a step"
