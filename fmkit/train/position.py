"""Where a run is: phase, epoch and step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Position:
    """Where a run stands. One object is shared by all callbacks of a run.

    Attributes:
        step: optimizer calls since the run began, over all phases.
        phase_start: the value of `step` at which the current phase began.
        epoch: epochs that have ended in the current phase.
        best: phase, epoch, step, monitor and value of the best epoch so far, or None.
        stale: epochs of the current phase since it last had a best of its own.
        row_loss: steps of the epoch when the last row for a step was written, and their mean loss.
        results: what came of the phases before, as JSON.
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
        """Steps of the current phase that were done."""
        return self.step - self.phase_start

    def begin(self) -> None:
        """A phase begins."""
        self.phase_start, self.epoch = self.step, 0
        self.phase_best, self.stale = None, 0
