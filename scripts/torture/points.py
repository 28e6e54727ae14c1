"""T9 and F: a run that was stopped at each of its steps, and at each fault point, ends the same."""

from __future__ import annotations

import signal
from pathlib import Path

from fmkit.core import fault_injection
from torture import runs, zygote
from torture.kills import forget
from torture.suite import Result, Suite, Trial, cache, collect

_RECIPE = "two_phases"
STEPS = 42
"""Of the recipe: two phases of 3 epochs of 7 steps."""
_WRITES = tuple(each for each in fault_injection.POINTS if each != "train.step")


def _stopped(trial: Trial, fault: str) -> tuple[int, str]:
    """Begin a run that meets a fault; its exit status and what it printed."""
    environment = {**cache(trial.folder), fault_injection.VARIABLE: fault}
    victim = zygote.fmkit(runs.RECIPES[_RECIPE], trial.folder, environment=environment)
    return victim.wait(), victim.text()


def _ended(trial: Trial, reference: Path) -> str:
    """Resume to the end; what is not as in the reference."""
    run = runs.only_run(trial.folder)
    words = runs.RECIPES[_RECIPE] if run is None else runs.resume(run)
    victim = zygote.fmkit(words, trial.folder, environment=cache(trial.folder), output="resume.txt")
    code = victim.wait()
    run = runs.only_run(trial.folder)
    if code != 0 or run is None:
        return f"the resume ended with {code}: {victim.text()[-400:]!r}"
    return "; ".join(runs.differences(run, reference)[:6])


def _resume_point(work: tuple[Trial, Path, int]) -> str:
    trial, reference, step = work
    code, text = _stopped(trial, f"train.step:{step}:term")
    failure = ""
    if code != 128 + signal.SIGTERM:
        failure = f"exit {code} instead of 143: {text[-300:]!r}"
    elif step < STEPS:  # after the last step of all the run may as well be done
        run = runs.only_run(trial.folder)
        at = -1 if run is None else int(runs.checkpoints(run)[-1].name.rpartition("-")[2])
        # The point may come by after the signals were looked at: then one more step is made.
        failure = "" if at in (step, step + 1) else f"the newest checkpoint is of step {at}"
    failure = failure or _ended(trial, reference)
    return trial.clean(failure and f"step {step}: {failure}")


def resume_points(suite: Suite) -> Result:
    """T9, and its control: with the optimizer's count of steps forgotten the end must differ."""
    reference = suite.reference(_RECIPE)
    count = suite.size("points", STEPS, 1)
    steps = list(range(1, STEPS + 1)) if count >= STEPS else [18, 24, 21, 33, 1, 42, 7][:count]
    trials = suite.trials("points", len(steps))
    works = [(trial, reference, step) for trial, step in zip(trials, steps, strict=True)]
    result = collect(Result("resume points"), _resume_point, works, suite.workers)
    if not suite.quick:
        result.controls["a schedule that starts again differs"] = _schedule_restarts(
            suite, reference
        )
    return result


def _schedule_restarts(suite: Suite, reference: Path) -> bool:
    trial = suite.trials("points-control", 1)[0]
    _stopped(trial, "train.step:30:term")
    run = runs.only_run(trial.folder)
    differs = run is not None and bool(forget(run, lambda name: name.endswith("iteration")))
    failure = _ended(trial, reference)
    trial.clean("")
    return differs and bool(failure) and "the resume ended" not in failure


def _fault_point(work: tuple[Trial, Path, str]) -> str:
    trial, reference, fault = work
    code, text = _stopped(trial, fault)
    kind = fault.rpartition(":")[2]
    expected = {"kill": (-signal.SIGKILL,)}.get(kind, (6, 0))
    failure = "" if code in expected else f"exit {code}: {text[-300:]!r}"
    if not failure and code == 0:  # it could do without what it could not write
        run = runs.only_run(trial.folder)
        failure = "; ".join(runs.differences(run, reference)[:6]) if run else "no run"
    elif not failure:
        failure = _ended(trial, reference)
    return trial.clean(failure and f"{fault}: {failure}")


def fault_points(suite: Suite) -> Result:
    """F: every point, killed and, where something is written, on a full disk."""
    reference = suite.reference(_RECIPE)
    faulty = [f"{point}:{number}:kill" for point in fault_injection.POINTS for number in (1, 2)
              if number == 1 or point not in ("extract.shard", "model.write")]  # fmt: skip
    faulty += [f"{point}:{number}:{kind}" for point in _WRITES
               for number, kind in ((1, "ENOSPC"), (2, "EDQUOT"))
               if number == 1 or point not in ("extract.shard", "model.write")]  # fmt: skip
    faulty = faulty[: suite.size("faults", len(faulty), 1)]
    trials = suite.trials("faults", len(faulty))
    works = [(trial, reference, fault) for trial, fault in zip(trials, faulty, strict=True)]
    return collect(Result("faults"), _fault_point, works, suite.workers)
