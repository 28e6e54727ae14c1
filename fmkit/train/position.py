"""Where a run is: phase, epoch, step, and the best epoch so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


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
        results: what `PhaseResult.as_dict` says of the phases before.
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

    def begin_phase(self) -> None:
        """A phase begins here."""
        self.phase_start, self.epoch = self.step, 0
        self.phase_best, self.stale = None, 0
