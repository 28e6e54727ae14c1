"""T14: after three hundred epochs the process holds what it held after thirty."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from torture import runs, zygote
from torture.kills import newest_name
from torture.suite import Result, Suite, Trial, cache, say

_MAX_PER_EPOCH = 64 * 1024
_LEAK = 256 * 1024
_KEEP = 2


def _leak() -> None:
    """Have every epoch of this process keep some memory."""
    from fmkit.core import machine as memory

    kept: list[bytearray] = []
    measured = memory.resident_bytes

    def leaking() -> int:
        kept.append(bytearray(b"x" * _LEAK))
        return measured()

    memory.resident_bytes = leaking


def _held(pid: int) -> tuple[int, int]:
    """Open files and threads of a process; zeros when it has gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        threads = next(int(line.split()[1]) for line in lines if line.startswith("Threads:"))
        return len(list(Path(f"/proc/{pid}/fd").iterdir())), threads
    except (OSError, StopIteration):
        return 0, 0


def growth(memory: list[int]) -> float:
    """Bytes an epoch after the first tenth: the median slope between pairs of epochs (Theil 1950,
    Sen 1968), which a single jump of an allocator does not move."""
    values = np.asarray(memory[len(memory) // 10 :], float)
    first, second = np.triu_indices(len(values), k=max(1, len(values) // 4))
    return float(np.median((values[second] - values[first]) / (second - first)))


def _endure(
    trial: Trial, epochs: int, before: Callable[[], None] | None = None
) -> tuple[float, list[str]]:
    """Growth of memory in bytes an epoch, and what else grew."""
    words = [*runs.base("finetune"), "stage=scratch", f"stage.full.epochs={epochs}",
             f"runtime.keep={_KEEP}"]  # fmt: skip
    victim = zygote.fmkit(words, trial.folder, environment=cache(trial.folder), before=before)
    seen: list[tuple[int, int]] = []
    most = 0
    while victim.poll() is None:
        run = runs.only_run(trial.folder)
        if run is not None and newest_name(trial.folder) > 0.1 * 7 * epochs:
            if len(runs.rows(run)) < epochs:
                seen.append(_held(victim.pid))
            most = max(most, len(list((run / "checkpoints").iterdir())))
        time.sleep(0.25)
    run = runs.only_run(trial.folder)
    if victim.code != 0 or run is None:
        return 0.0, [f"exit {victim.code}: {victim.text()[-300:]!r}"]
    memory = [row["rss_bytes"] for row in _memory_rows(run)]
    failures = [] if len(memory) == epochs else [f"{len(memory)} rows"]
    # A checkpoint that is being written and one that is being deleted may stand beside them.
    if most > _KEEP + 1 + 2 or len(runs.checkpoints(run)) > _KEEP + 1:
        failures.append(f"{most} checkpoints at a time, {len(runs.checkpoints(run))} at the end")
    seen = [each for each in seen if each[1]]
    half = len(seen) // 2
    for number, what in enumerate(("open files", "threads")):
        early, late = (max((each[number] for each in part), default=0)
                       for part in (seen[:half], seen[half:]))  # fmt: skip
        if late > early:
            failures.append(f"{what} grew from {early} to {late}")
    return growth(memory), failures


def _memory_rows(run: Path) -> list[dict[str, int]]:
    import json

    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def endurance(suite: Suite) -> Result:
    """T14, and its control: a leak of 256 kB an epoch must be seen."""
    epochs = suite.size("epochs", 300, 40)
    result = Result("endurance")
    trial = suite.trials("endurance", 1)[0]
    slope, failures = _endure(trial, epochs)
    if slope > _MAX_PER_EPOCH and not suite.quick:  # forty epochs are hardly a warm-up
        failures.append(f"{slope / 1024:.0f} kB an epoch")
    result.add(trial.clean("; ".join(failures)))
    result.note = f"{epochs} epochs, {slope / 1024:.0f} kB an epoch"
    if not suite.quick:
        trial = suite.trials("endurance-leak", 1)[0]
        leaked, failed = _endure(trial, max(60, epochs // 5), _leak)
        say(f"  a leak of {_LEAK // 1024} kB was seen as {leaked / 1024:.0f} kB; {failed}")
        result.controls["a leak is seen"] = leaked > _MAX_PER_EPOCH
        trial.clean("")
    return result
