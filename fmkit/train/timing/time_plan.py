"""`TimePlan`: what the phases of a run take, and what is decided by it under a time limit."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from fmkit.config import units
from fmkit.store.run_dir import RunWriter
from fmkit.train.assemble import Assembly
from fmkit.train.phases import Phase, Position
from fmkit.train.timing import time_limit
from fmkit.train.timing.deadline import RECORD, REPORT_TAKES, TimeLimit
from fmkit.train.timing.time_limit import OutOfTime, PhaseCost

_REFIT = "refit"
"""What the record calls the refit as a whole, where it is left out."""
_LEAST_REFIT = 0.5
"""A refit that may have only a smaller part of its steps is left out."""
_NO_TIME = "the time limit left no time for it"


@dataclass
class TimePlan:
    """What the phases of a run take, and what is decided by it under a time limit.

    Attributes:
        limit: None: there is none, or it is used up and the plan on record is followed to its end.
        clock: seconds, monotonic.
        costs: by phase, as measured in this process or on record.
        replays: changes on record that this process has still to make.
        left_out: why the phase that is running ends without a validation, or empty.
        refit: its phases, once they are known.
        phase_entered: when this process began or resumed the phase, by `clock`.
    """

    assembly: Assembly
    run: RunWriter
    position: Position
    limit: TimeLimit | None = None
    clock: Callable[[], float] = field(init=False)
    costs: dict[str, PhaseCost] = field(default_factory=dict)
    replays: list[dict[str, Any]] = field(default_factory=list)
    left_out: str = ""
    refit: Sequence[Phase] = ()
    phase_entered: float = 0.0
    _pass_began: float = 0.0

    def __post_init__(self) -> None:
        self.clock = time.monotonic if self.limit is None else self.limit.clock

    @property
    def record(self) -> dict[str, Any]:
        """What the run's status has about the limit; empty without one."""
        return dict(self.run.status.get(RECORD) or {})

    def restore(self, phase: str) -> None:
        """Take costs and lengths from the record of a run that resumes in `phase`."""
        for name, cost in (self.record.get("phases") or {}).items():
            self.costs[name] = PhaseCost(**cost)
        changes = time_limit.recorded_changes(self.run.status)
        self.replays = time_limit.apply_record(self.assembly.phases, changes, self.position, phase)
        if self.limit is not None and self.limit.replans and self.replays:
            self._write(changes=[change for change in changes if change not in self.replays])
            self.replays = []

    def begin_refit(self, phases: Sequence[Phase], resumed_in: str) -> None:
        """Take the phases of the refit, with the lengths on record if a run resumes in one."""
        self.refit = phases
        changes = time_limit.recorded_changes(self.run.status)
        time_limit.apply_record(phases, changes, self.position, resumed_in)

    def begin_phase(self, phase: Phase, features: float) -> None:
        """A phase begins to train, after so many seconds of computing features."""
        self.costs[phase.name], self.left_out = PhaseCost(features=features), ""
        if self._is_left_out(phase):
            self.skip_from(phase, _NO_TIME)

    def end_phase(self, phase: Phase) -> None:
        """A phase has ended: record what it took."""
        cost = self.costs[phase.name]
        if not cost.begin:  # solved, or over before its first step
            cost.begin = self.clock() - self.phase_entered
        if self.limit is not None:
            self._write(phases={name: asdict(cost) for name, cost in self.costs.items()})

    def record_change(self, phase: str, step: int, before: int, after: int) -> None:
        """Record a change of length, before it takes effect; 0 leaves the phase out."""
        cost = self.costs.get(phase, PhaseCost())
        change = {
            "phase": phase, "step": step, "before": before, "after": after,
            "measured": {name: round(value or 0.0, 6) for name, value in asdict(cost).items()},
        }  # fmt: skip
        self._write(changes=[*time_limit.recorded_changes(self.run.status), change])

    def _write(self, **facts: Any) -> None:
        self.run.update(**{RECORD: {**self.record, **facts}})

    @property
    def refits(self) -> bool:
        """Whether the run ends with a refit, as far as is known."""
        changes = time_limit.recorded_changes(self.run.status)
        return self.assembly.refit and all(change["phase"] != _REFIT for change in changes)

    # What is left to do

    def later_phases(self, phase: Phase) -> int:
        """How many phases of the stage train by gradients after this one."""
        names = [other.name for other in self.assembly.phases]
        following = self.assembly.phases[names.index(phase.name) + 1 :]
        skipped = self.assembly.skipped
        return sum(not other.is_solved and other.name not in skipped for other in following)

    def _evaluation(self, splits: Sequence[str], cost: PhaseCost) -> float:
        sizes = {name: len(indices) for name, indices in self.assembly.splits.items()}
        examples = sum(sizes.get(split, 0) for split in splits)
        batch_size = self.assembly.config.data.batch_size
        return time_limit.evaluation_seconds(examples, cost, sizes.get("val", 0), batch_size)

    def finish_seconds(self, cost: PhaseCost, refits: bool) -> float:
        """Estimate for what comes after the last phase, which is like one of that cost."""
        splits = ("test",) if refits else ("val", "test")
        report = 0.0 if self.assembly.config.runtime.report == "false" else REPORT_TAKES
        contention = 1.0 if self.limit is None else self.limit.contention()
        saving = (time_limit.SAVING_SECONDS + report) * contention
        return saving + self._evaluation(splits, cost)

    def refit_seconds(self, cost: PhaseCost, current: Phase | None = None) -> float:
        """Estimate for a refit of the phases that are done, with the evaluation before it.

        Args:
            cost: of the phase whose network is evaluated.
            current: a phase that will be repeated, too; its steps do not count here.
        """
        seconds = self._evaluation(("val",), cost)
        results = {result["name"]: result for result in self.position.results}
        for phase in self.assembly.phases:
            best = (results.get(phase.name) or {}).get("best")
            if best and phase.name in self.costs:
                steps = phase.steps_after(best["epoch"])
                seconds += self.costs[phase.name].again(steps, best["epoch"])
        return seconds + (cost.again(0, 0) if current is not None else 0.0)

    def rest_of_refit(self, current: str = "", share: float = 1.0) -> float:
        """Estimate for the phases of the refit after one of them, or for all; with fewer steps."""
        names = [phase.name for phase in self.refit]
        following = self.refit[names.index(current) + 1 if current else 0 :]
        return sum(
            self.costs[phase.refit_of].again(phase.steps * share, phase.epochs * share)
            for phase in following
            if phase.refit_of in self.costs
        )

    # What is left out

    def _is_left_out(self, phase: Phase, begun: bool = True) -> bool:
        """Whether the record says that a phase ends where the run is, without a validation."""
        step = self.position.phase_step if begun else 0
        return any(
            change["phase"] == phase.name and not change["after"] and change["step"] <= step
            for change in self.replays
        )

    def why_not_begin(self, phase: Phase) -> str:
        """Why a phase of the stage is not begun, as a phrase; empty where it is.

        Raises:
            ConfigError: there is no time for the first phase that trains.
        """
        if self._is_left_out(phase, begun=False):
            self.skip_from(phase, _NO_TIME)
            return self.left_out
        if self.limit is None or phase.refit_of:
            return ""
        cost = next(reversed(self.costs.values()), PhaseCost())
        if self.limit.left > self.finish_seconds(cost, refits=False):
            return ""
        self.leave_out(phase, self.finish_seconds(cost, refits=False))
        return self.left_out

    def why_not_refit(self) -> str:
        """Why the refit is left out, as a phrase; empty where it is not."""
        if not self.refits:
            return _NO_TIME
        if self.limit is None:
            return ""
        cost = self.costs.get(self.refit[-1].refit_of, PhaseCost())
        needed = self._evaluation(("val",), cost) + self.rest_of_refit(share=_LEAST_REFIT)
        needed += self.finish_seconds(cost, refits=True)
        left = max(self.limit.left, 0.0)
        if needed <= left:
            return ""
        self.leave_out_refit()
        took, given = units.format_time(needed), units.format_time(left)
        part = f"{_LEAST_REFIT:.0%} of it"
        return f"{part} would take about {took}, and {given} of the time limit are left"

    def leave_out_refit(self) -> None:
        """Record that the run ends without a refit."""
        self.record_change(_REFIT, 0, 0, 0)

    def leave_out(self, phase: Phase, needed: float) -> None:
        """Leave a phase out, and those after it, for which there is less time still.

        Args:
            needed: seconds that its shortest form and the end of the run take.

        Raises:
            ConfigError: nothing was trained before it.
        """
        limit = self.limit
        if limit is None:  # only a limit leaves phases out
            return
        if not any(result["best"] for result in self.position.results):
            spent = limit.seconds - (limit.deadline - self.clock())
            raise limit.too_short(
                f"{spent:.0f} s went by until phase {phase.name} could be planned, and the least "
                "that it can train, validation, test and saving take about "
                f"{needed:.0f} s more",
                needed,
            )
        step = 0 if phase.name not in self.costs else self.position.phase_step
        self.record_change(phase.name, step, phase.steps, 0)
        left = units.format_time(max(limit.left, 0.0))
        reason = f"time limit {limit.text}: {left} left, and it needs {needed:.0f} s at least"
        self.skip_from(phase, reason)

    def skip_from(self, phase: Phase, reason: str = _NO_TIME) -> None:
        """Take a phase as left out, and those after it."""
        self.left_out = reason
        names = [other.name for other in self.assembly.phases]
        for name in names[names.index(phase.name) :]:
            self.assembly.skipped[name] = reason

    def on_features_batch(self, done: int, steps: int) -> None:
        """A batch of a pass over the inputs is done.

        Raises:
            OutOfTime: the pass will not end within the limit.
        """
        now = self.clock()
        if done <= 1:
            self._pass_began = now
        elif self.limit is not None and not self.refit:  # a refit finds them in the cache
            left = (now - self._pass_began) / (done - 1) * (steps - done)
            if left > self.limit.left and now - self._pass_began > 0.02 * self.limit.seconds:
                raise OutOfTime(left)
