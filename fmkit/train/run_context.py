"""What the phases of one run share."""

from __future__ import annotations

import shlex
import signal
import time
from dataclasses import dataclass, field
from typing import Any

from fmkit.core import files, signals
from fmkit.core.errors import Interrupted
from fmkit.store.metrics_log import MetricsLog
from fmkit.store.run_dir import Run
from fmkit.train.assemble import Assembly
from fmkit.train.callbacks.progress import TrainingProgress
from fmkit.train.callbacks.signal_stop import SignalStop
from fmkit.train.checkpoints import checkpoint
from fmkit.train.checkpoints.state import SavedState
from fmkit.train.features.cache import Features
from fmkit.train.freeze_audit import FreezeAudit
from fmkit.train.position import Position


@dataclass
class RunContext:
    """What the phases of one run share.

    Attributes:
        saved: what the run goes on from, until its phase has taken it over.
        phase_began: the time when the current phase began, earlier processes' time included.
    """

    assembly: Assembly
    run: Run
    proof: FreezeAudit
    stopper: SignalStop
    log: MetricsLog
    progress: TrainingProgress
    position: Position = field(default_factory=Position)
    saved: SavedState | None = None
    phase_began: float = 0.0

    def tick(self, done: int, steps: int) -> None:
        """A pass over the images has come so far; a signal ends it."""
        if self.progress.is_due():
            self.progress.step(1, done, "features")
        self.stop_if_asked()

    def stop_if_asked(self) -> None:
        """End the run if a signal has come.

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
                f"Go on with: fmkit resume {shlex.quote(files.display_path(self.run.folder))}",
                number,
            )

    def facts(self, features: Features | None) -> dict[str, Any]:
        """What of a checkpoint's state the callbacks do not know."""
        return {
            "rows": self.log.sync(),
            "facts": {
                "seconds": round(time.monotonic() - self.phase_began, 3),
                "skipped": self.assembly.skipped,
                "features": None if features is None else features.record["sha256"],
                "config": self.assembly.settings,
            },
        }
