"""`RunContext`: what all phases of one run share."""

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from fmkit.core import console, files, signals
from fmkit.core.errors import Interrupted
from fmkit.store import run_dir
from fmkit.store.metrics_log import MetricsLog
from fmkit.store.run_dir import RunWriter
from fmkit.train.assemble import Assembly
from fmkit.train.checkpoints import checkpoint
from fmkit.train.checkpoints.resume import SavedState
from fmkit.train.forgetting import ForgettingEvents
from fmkit.train.freeze_audit import FreezeAudit
from fmkit.train.phases import Phase, Position
from fmkit.train.progress import TrainingProgress
from fmkit.train.signal_stop import SignalStop
from fmkit.train.timing.deadline import TimeLimit
from fmkit.train.timing.time_plan import TimePlan


@dataclass
class RunContext:
    """What all phases of one run share.

    Attributes:
        saved: what the run resumes from, until its phase has taken it over; else None.
        initial_weights: the network's at the start, by path, where a phase needs them later.
        limit: on the time of the run, or None.
        time_plan: what phases take, and what is decided by it.
        forgetting: how often examples went from right to wrong, or None.
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
    initial_weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    phase_began: float = 0.0
    limit: TimeLimit | None = None
    forgetting: ForgettingEvents | None = None
    time_plan: TimePlan = field(init=False)

    def __post_init__(self) -> None:
        if self.saved is not None:
            self.position = replace(self.saved.position, results=list(self.saved.position.results))
        self.time_plan = TimePlan(self.assembly, self.run, self.position, self.limit)

    def begin_phase(self, phase: Phase) -> None:
        """Begin a phase, or resume it where a checkpoint was saved in it."""
        position = self.position
        self.time_plan.phase_entered = self.time_plan.clock()
        self.phase_began = time.monotonic() - (self.saved.seconds if self.saved else 0.0)
        if self.saved is None:
            position.phase_start, position.epoch = position.step, 0
            position.phase_best, position.stale = None, 0
        self.run.update(phase=phase.name, epoch=position.epoch, step=position.step)

    def start_step(self, phase: Phase) -> int | None:
        """The step whose weights a phase began with; None: those at the start of the run."""
        refits = {f"{run_dir.REFIT}{name}" for name in self.assembly.config.stage}
        before = [
            result["best"]["step"]
            for result in self.position.results
            if result["best"] and (result["name"] in refits) == bool(phase.refit_of)
        ]
        return before[-1] if before else None

    def start_weights(self, phase: Phase) -> Mapping[str, np.ndarray]:
        """The weights that a phase began with, by path."""
        step = self.start_step(phase)
        if step is None:
            return self.initial_weights
        return checkpoint.read_weights(checkpoint.best_or_newest(self.run.checkpoints, step))

    def report(self, line: str) -> None:
        """Log a line, and show it."""
        self.run.log(line)
        if self.assembly.config.runtime.verbose:
            console.info(line)

    @property
    def phase_seconds(self) -> float:
        """Time that the current phase has taken."""
        return round(time.monotonic() - self.phase_began, 3)

    def on_features_batch(self, done: int, steps: int) -> None:
        """Show how far a pass over the inputs is; a signal or the time limit ends it."""
        self.time_plan.on_features_batch(done, steps)
        if self.progress.is_due():
            self.progress.step(1, done, "features")
        self.raise_if_stopped()

    def raise_if_stopped(self) -> None:
        """Raise `Interrupted` if a signal has arrived."""
        if (number := signals.stop_signal()) is not None:
            saved = checkpoint.list_checkpoints(self.run.checkpoints)
            raise Interrupted(
                f"stopped by {signals.name_of(number)} at step {self.position.step} "
                f"(phase {self.run.status['phase']}), "
                f"{'checkpoint saved' if saved else 'before there was anything to save'}.",
                f"Resume with: fmkit resume {shlex.quote(files.display_path(self.run.folder))}",
                number,
            )
