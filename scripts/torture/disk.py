"""T4b: the disk is full. The old checkpoint stays, the message says what is needed."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fmkit.core import fault_injection
from torture import moments, runs, zygote
from torture.kills import last_whole
from torture.suite import Result, Suite, Trial, cache, collect, say

_WORDS = ["model.hidden=2048"]
"""Makes the arrays, 200 kB, the largest files of a run: a limit stops them and nothing else."""
_POINTS = ("save.before_write", "save.mid_write", "save.before_manifest", "save.before_rename")
_LEAST = 20_000
"""Bytes that what a victim prints may have: its output is a file, too."""
_LEVELS = (0.0, 0.25, 0.5, 0.75, 0.99)


@dataclass(frozen=True)
class _Full:
    """How a disk is full.

    Attributes:
        name: for messages.
        save: from which save on, counted from 1.
        level: limit of a file's size, as a share of the largest file of a checkpoint; or None.
        point: where an error is raised; empty for none.
        number: that error.
        lasts: whether it is raised from then on, or once.
    """

    name: str
    save: int
    level: float | None = None
    point: str = ""
    number: int = errno.ENOSPC
    lasts: bool = True


def _kinds() -> list[_Full]:
    found = [
        _Full(f"files of {level:.0%}", save, level=level) for save in (1, 2, 4) for level in _LEVELS
    ]
    found += [
        _Full(f"{errno.errorcode[number]} at {point}", save, None, point, number)
        for point in _POINTS
        for number in (errno.ENOSPC, errno.EDQUOT)
        for save in (1, 2, 3)
    ]
    found += [
        _Full(f"once ENOSPC at {point}", save, None, point, lasts=False)
        for point in _POINTS
        for save in (2, 3)
    ]
    return found


def _fill(kind: _Full, largest: int) -> Callable[[], None]:
    def limited() -> None:
        size = max(_LEAST, int((kind.level or 0.0) * largest))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def refusing() -> None:
        original, passed = fault_injection.point, 0

        def refused(name: str) -> None:
            nonlocal passed
            if name == kind.point:
                passed += 1
                if passed >= kind.save if kind.lasts else passed == kind.save:
                    raise OSError(kind.number, os.strerror(kind.number), "file")
            original(name)

        fault_injection.point = refused

    def before() -> None:
        if kind.level is not None:
            moments.at("save.before_write", kind.save, limited)
        else:
            refusing()

    return before


def _trial(work: tuple[Trial, _Full, Path, int]) -> str:
    trial, kind, reference, largest = work
    words = [*runs.RECIPES["plain"], *_WORDS]
    victim = zygote.fmkit(
        words, trial.folder, environment=cache(trial.folder), before=_fill(kind, largest)
    )
    code = victim.wait()
    failure = _judged(trial.folder, code, victim.text(), kind) or _resumed(trial, words, reference)
    return trial.clean(failure and f"{kind.name}, save {kind.save}: {failure}")


def _judged(folder: Path, code: int, text: str, kind: _Full) -> str:
    """What is wrong with the end of a run whose disk is full."""
    if code == 0 and not kind.lasts:
        return ""  # room was made, and the second try went well
    if code != 6:
        return f"exit {code} instead of 6: {text[-400:]!r}"
    if kind.save > 1 and last_whole(folder) < 7 * (kind.save - 1):
        return f"the last checkpoint is of step {last_whole(folder)}"
    told = text.replace("\n", " ")
    missing = [word for word in ("checkpoints", "needs", "free", "step") if word not in told]
    return f"the message has no {missing}: {text[-400:]!r}" if missing else ""


def _resumed(trial: Trial, words: list[str], reference: Path) -> str:
    """There is room again: a resume ends as if there always had been."""
    run = runs.only_run(trial.folder)
    if run is None:
        return "there is no run"
    if runs.status(run)["state"] != "done":
        resumes = last_whole(trial.folder) >= 0
        victim = zygote.fmkit(
            runs.resume(run) if resumes else words,
            trial.folder, environment=cache(trial.folder), output="resume.txt",
        )  # fmt: skip
        if code := victim.wait():
            return f"the resume ended with {code}: {victim.text()[-300:]!r}"
    run = runs.only_run(trial.folder)
    return "; ".join(runs.differences(run, reference)[:6]) if run else "there is no run"


def _on_a_small_disk(trial: Trial, size: int, words: list[str]) -> str:
    """A real file system that fills up; None where nothing can be mounted."""
    folder = trial.folder
    folder.mkdir(parents=True)
    options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        say("  no file system can be mounted here; the disk of a fixed size is left out")
        trial.clean("")
        return "not mounted"
    try:
        cached = {"XDG_CACHE_HOME": str(trial.folder.with_suffix(".cache"))}
        victim = zygote.fmkit(words, folder, environment=cached)
        code, whole = victim.wait(), last_whole(folder)
        if code not in (0, 6) or (code == 6 and -1 < whole < 7):
            return f"{size} bytes: exit {code}, step {whole} is left: {victim.text()[-300:]!r}"
        return ""
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def full_disks(suite: Suite) -> Result:
    """T4b: at several levels, at every point of a save, and on a disk of a fixed size."""
    reference = suite.reference_of("wide", [*runs.RECIPES["plain"], *_WORDS])
    largest = max(path.stat().st_size for path in runs.checkpoints(reference)[-1].iterdir())
    kinds = _kinds()
    kinds = [kinds[7]] if suite.quick else kinds[: suite.size("disk", len(kinds), 1)]
    trials = suite.trials("disk", len(kinds))
    works = [(trial, kind, reference, largest) for trial, kind in zip(trials, kinds, strict=True)]
    result = collect(Result("disk"), _trial, works, suite.workers)
    if not suite.quick:
        whole = sum(path.stat().st_size for path in runs.checkpoints(reference)[-1].iterdir())
        for trial, share in zip(suite.trials("small-disk", 3), (1.5, 2.2, 2.6), strict=True):
            words = [*runs.RECIPES["plain"], *_WORDS]
            failure = _on_a_small_disk(trial, int(share * whole) + 2**17, words)
            if failure == "not mounted":
                break
            result.add(failure)
    result.note = f"{sum('last checkpoint' in each for each in result.failures)} checkpoints lost"
    return result
