"""The phases of a stage: which blocks train, for how long, at which learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from fmkit.config import units
from fmkit.config.schema.optimizer import OptimizerConfig
from fmkit.config.schema.runtime import PhaseConfig
from fmkit.train.position import Position


@dataclass(frozen=True)
class Phase:
    """One phase with its lengths in steps.

    Attributes:
        name: its key in the stage.
        train: what trains, as in the config; `fmkit.config.trainable` parses it.
        batchnorm: `frozen` or `train`.
        learning_rate: peak, absolute.
        steps: batches that are trained on, also where several are accumulated into one update.
        steps_per_epoch: batches in one pass over the training split.
        patience: epochs without a better monitored value after which the phase stops, or None.
        rates: factors on the learning rate by pattern of block names.
        augment: augmentation preset, or None for the data's own.
        solver: `gradient` or `lbfgs`.
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

    @property
    def epochs(self) -> int:
        """Passes over the data, the last one perhaps cut short."""
        return math.ceil(self.steps / self.steps_per_epoch)

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
        if not self.is_epoch_end(position):
            return False
        return self.has_run_out_of_patience(position) or position.phase_step >= self.steps

    def has_run_out_of_patience(self, position: Position) -> bool:
        """Whether `patience` epochs were no better than the best of the phase."""
        return self.patience is not None and position.stale >= self.patience


def plan(
    stage: Mapping[str, PhaseConfig], optimizer: OptimizerConfig, steps_per_epoch: int
) -> list[Phase]:
    """The phases of a stage in the order they are written."""
    return [
        Phase(
            name=name,
            train=config.train,
            batchnorm=config.batchnorm,
            learning_rate=config.learning_rate or optimizer.learning_rate,
            # A solver makes no steps; it counts as one, so that its checkpoint has a number.
            steps=1
            if config.solver == "lbfgs"
            else units.parse_duration(config.epochs, "epochs").steps(steps_per_epoch),
            steps_per_epoch=steps_per_epoch,
            patience=config.patience,
            augment=config.augment,
            solver=config.solver,
            rates=config.rates,
        )
        for name, config in stage.items()
    ]
