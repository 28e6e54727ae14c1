"""The phases of a stage: which blocks train, how long, how fast; and where a run is in them."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fmkit.config import solvers, units
from fmkit.config.schema.optimizer import OptimizerConfig
from fmkit.config.schema.stage import PhaseConfig
from fmkit.optim.rescaling import MOST_CHANGES

AUTO_SMOOTHING = 0.1
"""What `stage.PHASE.label_smoothing=auto` stands for, on few labels (Mueller et al. 2019)."""


@dataclass
class Position:
    """Where a run is. All callbacks of a run share one object.

    Attributes:
        step: training steps since the run began, over all phases.
        phase_start: the value of `step` at which the current phase began.
        epoch: epochs of the current phase that have ended.
        best: phase, epoch, step, monitor and value of the run's best epoch so far, or None.
        phase_best: the same of the current phase.
        stale: epochs of the current phase since `phase_best`.
        row_loss: the steps of the current epoch at the last row that was written for a step, and
            their mean loss.
        results: each `PhaseResult` of the phases before, as a dict.
    """

    step: int = 0
    phase_start: int = 0
    epoch: int = 0
    best: dict[str, Any] | None = None
    phase_best: dict[str, Any] | None = None
    stale: int = 0
    row_loss: tuple[int, float] = (0, 0.0)
    results: list[dict[str, Any]] = field(default_factory=list)

    @property
    def phase_step(self) -> int:
        """Steps of the current phase that are done."""
        return self.step - self.phase_start


class LengthChange(NamedTuple):
    """From `step` of a phase on it has `after` steps in all, and had `before`."""

    step: int
    before: int
    after: int


@dataclass
class Phase:
    """One phase with its lengths in steps. All that runs it share one object.

    Attributes:
        train: what trains, as in the config; `fmkit.config.trainable` parses it.
        learning_rate: peak, absolute.
        steps: batches that are trained on, also where several are accumulated into one update; a
            time limit may change it while the phase runs.
        steps_per_epoch: batches in one pass over the training split.
        patience: epochs without a better monitored value after which the phase stops, or None.
        rates: factors on the learning rate by pattern of block names.
        augment: augmentation preset, or None for the data's own.
        interpolate: whether weights between its start and its end are tried at its end.
        refit_of: the phase that this one repeats on all that is not the test split; empty for a
            phase of the stage.
        splits: what it trains on.
        schedule_steps: batches that the learning rate is scheduled for, where they are not `steps`.
        share: of its change that is kept, where an earlier phase has decided it.
        label_smoothing: of its targets; None: that of the task.
        head_temperature: as in the config: what it divides the head's logits by, or `auto`.
        changes: of its length, in order, which its learning rate follows; a refit follows those of
            the phase that it repeats, too.
        first_length: `steps` before the first change of its own, or None.
    """

    name: str
    train: str
    batchnorm: str
    learning_rate: float
    steps: int
    steps_per_epoch: int
    patience: int | None
    rates: Mapping[str, float] = field(default_factory=dict)
    augment: str | None = None
    solver: str = "gradient"
    interpolate: bool = False
    refit_of: str = ""
    splits: tuple[str, ...] = ("train",)
    schedule_steps: int | None = None
    share: float | None = None
    label_smoothing: float | None = None
    head_temperature: str | None = None
    changes: tuple[LengthChange, ...] = ()
    first_length: int | None = None

    @property
    def whole_length(self) -> int:
        """Steps where no time limit changes them."""
        return self.steps if self.first_length is None else self.first_length

    @property
    def can_change(self) -> bool:
        """Whether its schedule can follow one more change of its length."""
        return len(self.changes) < MOST_CHANGES

    def change_length(self, step: int, after: int) -> None:
        """From `step` on, have `after` steps in all."""
        self.first_length = self.whole_length
        if after > step:  # else it ends here, and no update follows
            self.changes = (*self.changes, LengthChange(step, self.steps, after))
        self.steps = after

    def reset_length(self) -> None:
        """Have the length again that the phase had before changes of its own."""
        if self.first_length is not None:
            self.steps, self.first_length, self.changes = self.first_length, None, ()

    @property
    def is_solved(self) -> bool:
        """Whether a solver finds the head's optimum at once, without gradients."""
        return self.solver in solvers.SOLVERS

    @property
    def ends_with_last_epoch(self) -> bool:
        """Whether the last epoch counts as the best one.

        The best of many epochs by few validation examples is the luckiest one, and its learning
        rate has not fallen yet. Weights between the start and the end are tried instead.
        """
        return self.interpolate and self.patience is None

    @property
    def epochs(self) -> int:
        """Passes over the data, the last one perhaps cut short."""
        return math.ceil(self.steps / self.steps_per_epoch)

    @property
    def most_epochs(self) -> int:
        """Passes over the data where no time limit changes them."""
        return math.ceil(self.whole_length / self.steps_per_epoch)

    def steps_after(self, epochs: int) -> int:
        """Steps that are done when so many epochs have ended."""
        return min(epochs * self.steps_per_epoch, self.steps)

    def is_epoch_end(self, position: Position) -> bool:
        """Whether the epochs that have ended are all that was trained: no epoch is begun."""
        return position.phase_step == self.steps_after(position.epoch)

    def is_finished(self, position: Position) -> bool:
        """Whether nothing is left to train: all steps are done, or patience has run out.

        False while the last epoch has not been validated.
        """
        is_over = position.phase_step >= self.steps or self.has_run_out_of_patience(position)
        return is_over and self.is_epoch_end(position)

    def has_run_out_of_patience(self, position: Position) -> bool:
        """Whether `patience` epochs were no better than the best of the phase."""
        return self.patience is not None and position.stale >= self.patience


def plan(
    stage: Mapping[str, PhaseConfig],
    optimizer: OptimizerConfig,
    steps_per_epoch: int,
    interpolated: Collection[str] = (),
    task_smoothing: float = 0.0,
    divides_logits: bool = False,
) -> list[Phase]:
    """The phases of a stage in the order they are written.

    Args:
        interpolated: names of phases, those where `label_smoothing=auto` smooths labels.
        task_smoothing: what it then stands for; 0: `AUTO_SMOOTHING`.
        divides_logits: `head_temperature=auto` divides a head's logits. Such a phase does not end
            too sure of itself, and `label_smoothing=auto` leaves its labels as they are.
    """
    auto_smoothing = task_smoothing or AUTO_SMOOTHING
    smoothed = {
        name
        for name in interpolated
        if not (divides_logits and stage[name].head_temperature == "auto")
    }
    return [
        Phase(
            name=name,
            train=config.train,
            batchnorm=config.batchnorm,
            learning_rate=config.learning_rate or optimizer.learning_rate,
            # A solver makes no steps; it counts as one, so that its checkpoint has a number.
            steps=1
            if config.solver in solvers.SOLVERS
            else units.parse_duration(config.epochs, "epochs").steps(steps_per_epoch),
            steps_per_epoch=steps_per_epoch,
            patience=config.patience,
            augment=config.augment,
            solver=config.solver,
            rates=config.rates,
            interpolate=name in interpolated,
            label_smoothing=_label_smoothing(config, auto_smoothing if name in smoothed else None),
            head_temperature=config.head_temperature,
        )
        for name, config in stage.items()
    ]


def _label_smoothing(config: PhaseConfig, auto: float | None) -> float | None:
    if config.label_smoothing in (None, "auto"):
        return None if config.label_smoothing is None else auto
    return float(config.label_smoothing)
