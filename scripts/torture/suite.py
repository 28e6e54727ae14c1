"""What every part of the suite gets, and what it gives back."""

from __future__ import annotations

import random
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torture import runs, zygote


@dataclass
class Result:
    """What came of one part.

    Attributes:
        name: as the last line of the suite has it.
        good: trials that ended as they must.
        total: trials.
        note: figures to show beside the count.
        failures: a line for each trial that ended otherwise.
        controls: by name, whether what was broken on purpose was caught.
        seconds: how long the part took.
    """

    name: str
    good: int = 0
    total: int = 0
    note: str = ""
    failures: list[str] = field(default_factory=list)
    controls: dict[str, bool] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, failure: str) -> None:
        """Count a trial; an empty text is a good one."""
        self.total += 1
        self.good += not failure
        if failure:
            self.failures.append(failure)
            say(f"  FAILED {self.name}: {failure}")

    @property
    def is_met(self) -> bool:
        """Whether every trial was good and every control caught what it was to catch."""
        return self.total > 0 and self.good == self.total and all(self.controls.values())

    def words(self) -> str:
        """For the last line."""
        note = f" ({self.note})" if self.note else ""
        return f"{self.name} {self.good}/{self.total}{note}"


@dataclass
class Suite:
    """How much to do, where, and from which seed.

    Attributes:
        folder: an empty folder; trials that fail stay in it.
        seed: of all random choices.
        workers: trials at a time.
        quick: the slice that runs with the tests.
        sizes: numbers of trials given on the command line.
    """

    folder: Path
    seed: int
    workers: int
    quick: bool
    sizes: dict[str, int] = field(default_factory=dict)

    def size(self, name: str, full: int, quick: int) -> int:
        """How many trials."""
        return self.sizes.get(name) or (quick if self.quick else full)

    def trials(self, part: str, count: int) -> list[Trial]:
        """Numbered trials of a part, each with a folder and a seed of its own."""
        return [
            Trial(self.folder / part / f"{number:04d}", f"{self.seed}/{part}/{number}")
            for number in range(count)
        ]

    def reference(self, recipe: str) -> Path:
        """The finished run of a recipe that nobody touched; made once."""
        return self.reference_of(recipe, runs.RECIPES[recipe])

    def reference_of(self, name: str, words: list[str]) -> Path:
        """The same of any command, under a name."""
        folder = self.folder / "reference" / name
        if not folder.exists():
            victim = zygote.fmkit(words, folder, environment=cache(folder))
            if victim.wait() != 0:
                raise RuntimeError(f"{name}: {victim.text()[-3000:]}")
        run = runs.only_run(folder)
        if run is None:
            raise RuntimeError(f"{folder} has no run")
        return run


@dataclass(frozen=True)
class Trial:
    """One trial: its folder, and a seed that `random.Random` takes."""

    folder: Path
    seed: str

    def random(self) -> random.Random:
        """The random choices of this trial."""
        return random.Random(self.seed)

    def clean(self, failure: str) -> str:
        """Remove the folder of a good trial; say of a bad one where it is and how to repeat it."""
        if not failure:
            shutil.rmtree(self.folder, ignore_errors=True)
            return ""
        return f"{failure} [seed {self.seed}, folder {self.folder}]"


def cache(folder: Path) -> dict[str, str]:
    """An environment in which features are computed anew."""
    return {"XDG_CACHE_HOME": str(folder / "cache")}


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


def collect(
    result: Result, trial: Callable[[Any], str], arguments: list[Any], workers: int
) -> Result:
    """Run trials that give an empty text or what went wrong, and count them."""
    began = time.monotonic()
    for done, failure in enumerate(zygote.spread(trial, arguments, workers), start=1):
        result.add(failure)
        if done % max(20, len(arguments) // 5) == 0:
            seconds = time.monotonic() - began
            say(f"  {result.name}: {done} of {len(arguments)} in {seconds:.0f} s")
    return result
