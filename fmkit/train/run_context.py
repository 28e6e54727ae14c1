"""`RunContext`: what all phases of one run share."""

from __future__ import annotations

import dataclasses
import shlex
import signal
import time
from dataclasses import dataclass, field
from typing import Any

from fmkit.core import files, signals
from fmkit.core.errors import Interrupted
from fmkit.store.metrics_log import MetricsLog
from fmkit.store.run_dir import RunWriter
from fmkit.train.assemble import Assembly
from fmkit.train.checkpoints import checkpoint
from fmkit.train.checkpoints.resume import SavedState
from fmkit.train.features.cache import Features
from fmkit.train.freeze_audit import FreezeAudit
from fmkit.train.phases import Phase
from fmkit.train.position import Position
from fmkit.train.progress import TrainingProgress
from fmkit.train.signal_stop import SignalStop


@dataclass
class RunContext:
    """What all phases of one run share.

    Attributes:
        saved: what the run resumes from, until its phase has taken it over; else None.
        phase_began: monotonic time when the current phase began, less the time that earlier
            processes spent on it.
    """

    assembly: Assembly
    run: RunWriter
    audit: FreezeAudit
    signal_stop: SignalStop
    metrics_log: MetricsLog
    progress: TrainingProgress
    position: Position = field(default_factory=Position)
    saved: SavedState | None = None
    phase_began: float = 0.0

    def resume(self, saved: SavedState) -> None:
        """Continue where a checkpoint was saved."""
        self.saved = saved
        self.position = dataclasses.replace(saved.position, results=list(saved.position.results))
        self.audit.reopen(saved.phase)
        self.run.update(best=self.position.best, phases=self.position.results)

    def begin_phase(self, phase: Phase) -> None:
        """Begin a phase, or resume it where a checkpoint was saved in it."""
        self.phase_began = time.monotonic() - (self.saved.seconds if self.saved else 0.0)
        if self.saved is None:
            self.position.begin_phase()
        self.run.update(phase=phase.name, epoch=self.position.epoch, step=self.position.step)

    @property
    def phase_seconds(self) -> float:
        """Time that the current phase has taken."""
        return round(time.monotonic() - self.phase_began, 3)

    def on_features_batch(self, done: int, steps: int) -> None:
        """Show how far a pass over the inputs is; a signal ends it."""
        if self.progress.is_due():
            self.progress.step(1, done, "features")
        self.raise_if_stopped()

    def raise_if_stopped(self) -> None:
        """End the run if a signal has arrived.

        Raises:
            Interrupted: one has.
        """
        number = signals.stop_signal()
        if number is not None:
            saved = checkpoint.list_checkpoints(self.run.checkpoints)
            raise Interrupted(
                f"stopped by {signal.Signals(number).name} at step {self.position.step} "
                f"(phase {self.run.status['phase']}), "
                f"{'checkpoint saved' if saved else 'before there was anything to save'}.",
                f"Resume with: fmkit resume {shlex.quote(files.display_path(self.run.folder))}",
                number,
            )

    def state_facts(self, features: Features | None) -> dict[str, Any]:
        """What `resume` needs besides the position."""
        return {
            "rows": self.metrics_log.sync(),
            "seconds": self.phase_seconds,
            "skipped": self.assembly.skipped,
            "features": None if features is None else features.record["sha256"],
            "config": self.assembly.flat_config,
        }
