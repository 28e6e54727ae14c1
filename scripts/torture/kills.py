"""T2: kill -9 at any moment of a run, resume, kill again; the end is that of an untouched run."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fmkit.core.errors import ArtifactError
from fmkit.train.checkpoints import checkpoint
from torture import runs, zygote
from torture.suite import Result, Suite, Trial, cache, say
from torture.zygote import Victim

_MIXTURE = (
    ("plain", 3), ("two_phases", 3), ("features", 2), ("everything", 2), ("refit", 2)
)  # fmt: skip
"""Recipes, and how often in twelve each is tried."""
_LONGEST = 120.0
Moment = Callable[[Path], bool]
"""Whether the moment has come, from the trial's folder."""


@dataclass
class Life:
    """A run that is killed and resumed until it is done.

    Attributes:
        trial: its folder and its random choices.
        words: the command that begins it.
        kills: how many kills were delivered.
        lost: what was missing after one of them.
        ends: the exit status of each process.
    """

    trial: Trial
    words: list[str]
    kills: int = 0
    lost: list[str] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def process(self) -> Victim:
        """The next process: a resume where there is a run that can be resumed."""
        run = runs.only_run(self.trial.folder)
        words = runs.resume(run) if run is not None else self.words
        return zygote.fmkit(words, self.trial.folder, environment=cache(self.trial.folder))

    def kill_at(self, moment: Moment) -> bool:
        """Start or resume, and kill at a moment; False where it was done before."""
        victim, end, seen = self.process(), time.monotonic() + _LONGEST, -1
        while victim.poll() is None and not moment(self.trial.folder):
            seen = max(seen, newest_name(self.trial.folder))
            if time.monotonic() > end:
                break
            time.sleep(0.002)
        victim.send(signal.SIGKILL)
        code = victim.wait()
        self.ends.append(code)
        if code != -signal.SIGKILL:
            return False
        self.kills += 1
        kept = last_whole(self.trial.folder)
        if kept < seen:
            self.lost.append(f"step {seen} was saved, and step {kept} is what is left")
        return True

    def finish(self) -> str:
        """Resume to the end; what went wrong."""
        victim = self.process()
        code = victim.wait()
        self.ends.append(code)
        return "" if code == 0 else f"exit {code} after {self.ends}: {victim.text()[-400:]!r}"


def newest_name(folder: Path) -> int:
    """The step of the newest visible checkpoint of a trial's run; -1 where there is none."""
    steps = [path.name.rpartition("-")[2] for path in folder.glob("runs/*/*/checkpoints/step-*")]
    return max((int(each) for each in steps if each.isdigit()), default=-1)


def last_whole(folder: Path) -> int:
    """The step from which a resume would go on; -1 where there is none."""
    run = runs.only_run(folder)
    try:
        return checkpoint.newest(run / "checkpoints")[0].step if run else -1
    except ArtifactError:
        return -1


def drawn(draws: random.Random, folder: Path, longest: float) -> Moment:
    """A moment: after so many rows more, after something appears on disk, or after so long."""
    kind = draws.choices(("rows", "appears", "time"), (5, 4, 2))[0]
    began, delay = time.monotonic(), draws.uniform(0, 0.08)
    after, pattern = draws.uniform(0.2 * longest, longest), draws.choice(_APPEARS)
    wanted = _rows_of(folder) + draws.randrange(20)
    if kind == "time" or (kind == "appears" and next(folder.glob(pattern), None) is not None):
        return lambda _: time.monotonic() - began >= after
    came: list[float] = []

    def is_there(folder: Path) -> bool:
        if kind == "appears":
            return next(folder.glob(pattern), None) is not None
        return _rows_of(folder) >= wanted

    def moment(folder: Path) -> bool:
        if not came and is_there(folder):
            came.append(time.monotonic())
        return bool(came) and time.monotonic() - came[0] >= delay

    return moment


def _rows_of(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.glob(_ROWS))


_ROWS = "runs/*/*/metrics.jsonl"
_APPEARS = (
    "cache/fmkit/features/.tmp-*", "runs/*/*/checkpoints/.tmp-*", "runs/*/*/checkpoints/.trash-*",
    "runs/*/*/checkpoints", "runs/*/*/.*.model.keras", "runs/*/*/eval", "runs/*/*/eval/val.json",
    "runs/*/*/freeze.json", "runs/*/*/environment.json",
)  # fmt: skip
"""Extraction, a save, a rotation, the model file, evaluation, the start of a phase."""


def _lives(work: tuple[Trial, str, Path, int, float]) -> tuple[int, list[str], str]:
    """One run with so many kills: kills delivered, checkpoints lost, what is not equal."""
    trial, recipe, reference, kills, longest = work
    draws = trial.random()
    life = Life(trial, runs.RECIPES[recipe])
    while life.kills < kills and life.kill_at(drawn(draws, trial.folder, longest)):
        pass
    failure = life.finish() if not life.ends or life.ends[-1] != 0 else ""
    run = runs.only_run(trial.folder)
    if not failure and run is not None:
        failure = "; ".join(runs.differences(run, reference)[:6])
    lost = life.lost
    told = f"{recipe}, {life.kills} kills: {failure or lost[0]}" if failure or lost else ""
    return life.kills, lost, trial.clean(told)


def train_kills(suite: Suite) -> Result:
    """T2, and its control: without the states of the seeds the end must be another."""
    wanted = suite.size("kills", 200, 2)
    names = [name for name, often in _MIXTURE for _ in range(often)]
    names = ["two_phases"] if suite.quick else names
    references, longest = {}, 0.0
    for name in dict.fromkeys(names):
        references[name] = suite.reference(name)
        longest = max(longest, 1.2 * float(runs.status(references[name])["seconds"]))
    result, kills, lost, began = Result("train-kills"), 0, 0, time.monotonic()
    number, pause = 0, max(20, wanted // 5)
    while kills < wanted:  # some runs are done before their kill comes
        works = []
        planned = kills
        while planned < wanted and len(works) < 12:
            trial = suite.trials("kills", number + 1)[-1]
            times = min(2 if suite.quick else 1 + number % 3, wanted - planned)
            name = names[number % len(names)]
            works.append((trial, name, references[name], times, longest))
            number, planned = number + 1, planned + times
        before = kills
        for delivered, gone, failure in zygote.spread(_lives, works, suite.workers):
            kills, lost = kills + delivered, lost + len(gone)
            result.add(failure)
        if kills == before and result.failures:
            break
        if kills // pause > before // pause:
            say(f"  {kills} of {wanted} kills in {time.monotonic() - began:.0f} s")
    equal = f"{result.good} of {result.total}" if result.failures else f"{result.total}"
    result.note = f"{lost} checkpoints lost, {equal} finals equal"
    result.total, result.good = kills, kills - len(result.failures)
    if not suite.quick:
        result.controls["without seed states the end differs"] = _forgets(suite)
    return result


def is_seed(name: str) -> bool:
    """Whether a tensor of a checkpoint is the state of a random generator."""
    return "seed" in name


def _forgets(suite: Suite) -> bool:
    """Whether a run differs when a checkpoint's seed states are zero; checksums are renewed."""
    trial = suite.trials("kills-control", 1)[0]
    life = Life(trial, runs.RECIPES["two_phases"])
    life.kill_at(lambda folder: newest_name(folder) >= 28)
    run = runs.only_run(trial.folder)
    if run is None or not forget(run, is_seed):
        return False
    differs = not life.finish() and bool(runs.differences(run, suite.reference("two_phases")))
    trial.clean("")
    return differs


def forget(run: Path, what: Callable[[str], bool]) -> int:
    """Set values of the newest checkpoint to zero, as if they had not been kept; how many."""
    found, _ = checkpoint.newest(run / "checkpoints")
    parts = [checkpoint.read_weights(found), checkpoint.read_training(found)]
    state = checkpoint.read_state(found)
    count = 0
    for part in parts:
        for name, value in part.items():
            if what(name):
                part[name] = value * 0
                count += 1
    if count:
        state = {key: value for key, value in state.items() if key != "step"}
        checkpoint.save(run / "checkpoints", found.step, parts[0], parts[1], state)
    return count
