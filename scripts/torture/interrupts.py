"""T4: signals in every phase of a run. The right exit status, soon; what ran is saved, whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fmkit.train.checkpoints import checkpoint
from torture import moments, runs, zygote
from torture.kills import last_whole, newest_name
from torture.suite import Result, Suite, Trial, cache

TERM, INT, HUP, USR1 = signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1
_SECOND = 0.3
"""Seconds between signals: what comes sooner counts as one with the first."""


@dataclass(frozen=True)
class Place:
    """A place of a run.

    Attributes:
        recipe: of the run.
        where: for `moments.at`.
        number: at which pass.
        step: a first signal must leave a checkpoint of this step or later; 0: none is due.
        before: the same where the process was told to leave at once.
    """

    recipe: str
    where: str
    number: int
    step: int
    before: int


PLACES = {
    "data scan": Place("plain", "fmkit.data.load:for_training", 1, 0, 0),
    "extraction": Place("features", "extract.shard", 1, 0, 0),
    "tracing": Place("plain", "keras:layers.Dropout.call", 1, 0, 0),
    "train step": Place("plain", "train.step", 10, 10, 7),
    "validation": Place("plain", "fmkit.train.task_model:TaskModel.evaluate", 2, 14, 7),
    "mid-save": Place("plain", "save.mid_write", 2, 14, 7),
    "rotation": Place("plain", "rotate.mid", 1, 7, 7),
    "final evaluation": Place("plain", "fmkit.commands.training.training_run:_evaluate", 1, 35, 35),
    "model writing": Place("plain", "model.write", 1, 35, 35),
}
ORDERS = {
    "TERM": ((TERM,), 143), "INT": ((INT,), 130), "INT INT": ((INT, INT), 130),
    "INT INT INT": ((INT, INT, INT), 130), "USR1": ((USR1,), 0), "HUP": ((HUP,), 129),
    "TERM INT": ((TERM, INT), 143),
}  # fmt: skip
"""By name, signals and the exit status that is due."""


@dataclass(frozen=True)
class _Work:
    trial: Trial
    place: str
    order: str
    reference: Path


def _deafen() -> None:
    """The control: this process is as one that handles no signals."""
    for number in (TERM, HUP, USR1):
        signal.signal(number, signal.SIG_DFL)
    signal.signal = lambda *_: signal.SIG_DFL  # type: ignore[assignment]


def _start(work: _Work, deaf: bool) -> zygote.Victim:
    place, (numbers, _) = PLACES[work.place], ORDERS[work.order]
    draws = work.trial.random()
    gaps = [draws.choice((0.0, draws.uniform(0, 0.05)))]
    gaps += [_SECOND + draws.uniform(0, 0.2) for _ in numbers[1:]]

    def before() -> None:
        if deaf:
            _deafen()
        moments.at(place.where, place.number, moments.signalled(numbers, gaps))

    folder = work.trial.folder
    return zygote.fmkit(
        runs.RECIPES[place.recipe], folder, environment=cache(folder), before=before
    )


def _torn(folder: Path) -> list[str]:
    """Visible checkpoints that are not whole."""
    run = runs.only_run(folder)
    found = checkpoint.list_checkpoints(run / "checkpoints") if run else []
    return [wrong for each in found if (wrong := checkpoint.find_damage(each))]


def _wrong(work: _Work, code: int, text: str) -> str:
    """What is wrong after a signal, before any resume."""
    place, (numbers, due) = PLACES[work.place], ORDERS[work.order]
    folder = work.trial.folder
    if not (folder / "signalled").exists():
        return f"no signal was sent: exit {code}: {text[-300:]!r}"
    if torn := _torn(folder):
        return torn[0]
    if code != due:
        return f"exit {code} instead of {due}: {text[-400:]!r}"
    if "Traceback" in text:
        return f"a traceback: {text[-600:]!r}"
    step = place.step if len(numbers) == 1 else place.before
    kept = last_whole(folder)
    if step and kept < step:
        return f"the newest checkpoint is of step {kept} instead of {step}"
    return ""


def _goes_on(work: _Work) -> str:
    """After SIGUSR1 the run is as any other; after others a resume makes it so."""
    folder, run = work.trial.folder, runs.only_run(work.trial.folder)
    if work.order == "USR1":
        return "; ".join(runs.differences(run, work.reference)[:6]) if run else "no run"
    if run is None or newest_name(folder) < 0 or work.order not in ("TERM", "INT INT"):
        return ""
    victim = zygote.fmkit(runs.resume(run), folder, environment=cache(folder), output="resume.txt")
    if code := victim.wait():
        return f"the resume ended with {code}: {victim.text()[-300:]!r}"
    return "; ".join(runs.differences(run, work.reference)[:6])


def _interrupt(work: _Work) -> tuple[str, float | None]:
    """What is wrong, and the seconds from the first signal to the end."""
    victim = _start(work, deaf=False)
    code = victim.wait()
    ended = time.monotonic()
    stamp = work.trial.folder / "signalled"
    seconds = ended - float(stamp.read_text()) if stamp.exists() else None
    wrong = _wrong(work, code, victim.text()) or _goes_on(work)
    failure = work.trial.clean(wrong and f"{work.order} in {work.place}: {wrong}")
    return failure, seconds if work.order != "USR1" else None


def _while_importing(trial: Trial, number: int) -> str:
    """A signal to a real process that is still importing; nothing is there to be saved."""
    trial.folder.mkdir(parents=True)
    words = [sys.executable, "-m", "fmkit.cli", *runs.RECIPES["plain"]]
    with (trial.folder / "out.txt").open("wb") as stream:
        process = subprocess.Popen(
            words, cwd=trial.folder, stdout=stream, stderr=stream,
            env={**os.environ, **cache(trial.folder)},
        )  # fmt: skip
    time.sleep(trial.random().uniform(0.3, 4.0))
    process.send_signal(number)
    try:
        code = process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        return trial.clean("it did not end within a minute")
    text = (trial.folder / "out.txt").read_text(errors="replace")
    # In the first tenths of a second Python has not come to fmkit yet, and ends as it always does.
    wrong = "" if code in (128 + number, -number) else f"exit {code}"
    if "Traceback" in text and code != -number:
        wrong = "a traceback"
    run = runs.only_run(trial.folder)
    if run is not None and runs.status(run)["state"] == "running" and code != -number:
        wrong = wrong or "its status is still `running`"
    return trial.clean(
        wrong and f"{signal.Signals(number).name} in import: {wrong}: {text[-400:]!r}"
    )


def _works(suite: Suite) -> list[_Work]:
    pairs = [(place, order) for order in ORDERS for place in PLACES]
    if suite.quick:
        pairs = [("mid-save", "INT")]
    pairs = (pairs * 4)[: suite.size("signals", 114, 1)]
    references = {
        recipe: Path() if suite.quick else suite.reference(recipe)
        for recipe in {PLACES[place].recipe for place, _ in pairs}
    }
    trials = suite.trials("signals", len(pairs))
    return [
        _Work(trial, place, order, references[PLACES[place].recipe])
        for trial, (place, order) in zip(trials, pairs, strict=True)
    ]


def interrupts(suite: Suite) -> Result:
    """T4, and its control: a process that handles no signal saves nothing of the epoch."""
    result, works = Result("signals"), _works(suite)
    seconds = []
    for failure, took in zygote.spread(_interrupt, works, suite.workers):
        result.add(failure)
        seconds += [] if took is None else [took]
    if not suite.quick:
        for trial, number in zip(suite.trials("importing", 6), (TERM, INT, HUP) * 2, strict=True):
            result.add(_while_importing(trial, number))
        trial = suite.trials("signals-control", 1)[0]
        work = _Work(trial, "train step", "TERM", works[0].reference)
        code = _start(work, deaf=True).wait()
        result.controls["without handlers nothing is saved"] = (
            code == -TERM and last_whole(trial.folder) < PLACES["train step"].step
        )
        trial.clean("")
    ninety_five = float(np.quantile(seconds, 0.95)) if seconds else 0.0
    result.note = f"95% ended within {ninety_five:.1f} s"
    return result
