"""A stage as data: which blocks train, for how long, how fast."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from fmkit.config import units
from fmkit.config.schema.optimizer import OptimizerConfig
from fmkit.config.schema.runtime import PhaseConfig


@dataclass(frozen=True)
class Phase:
    """One phase with its lengths in steps.

    Attributes:
        name: its key in the stage.
        train: as the config writes it; config/trainable.py reads it.
        batchnorm: `frozen` or `train`.
        learning_rate: peak, absolute.
        steps: optimizer calls, the batches that are accumulated counted one by one.
        steps_per_epoch: batches in one pass over the training split.
        patience: epochs without a better monitored value before the phase stops, or None.
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

    def steps_of(self, epochs: int) -> int:
        """Steps that have been done when so many epochs have ended."""
        return min(epochs * self.steps_per_epoch, self.steps)


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
            # A solver takes no steps of its own; it counts as one.
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
