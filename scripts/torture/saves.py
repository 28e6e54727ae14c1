"""T1: a process is killed while it saves. Every save that was acknowledged is there, whole."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fmkit.core.errors import ArtifactError
from fmkit.train.checkpoints import checkpoint
from torture.suite import Result, Suite, Trial, collect
from torture.zygote import Victim

_VALUES = 400_000  # 1.6 MB of weights and 3.2 MB beside, so that a save takes some 20 ms
_WINDOW = 0.12
"""Seconds after a save in which the kill comes: some three saves."""
Save = Callable[[Path, int], None]


def state(step: int) -> dict[str, object]:
    """Where a run stands, in the least words."""
    return {"phase": "full", "epoch": step, "phase_step": step, "stale": 0,
            "best": None, "phase_best": None}  # fmt: skip


_RAMP = np.arange(_VALUES, dtype=np.float32)
_ARRAYS = {name: _RAMP.copy() for name in ("kernel", "optimizer/m", "optimizer/v")}


def contents(step: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Weights and training values that tell their step, in no time: only saving is to take any."""
    for array in _ARRAYS.values():
        array[::1000] = step
    kernel = _ARRAYS["kernel"]
    return {"kernel": kernel}, {n: a for n, a in _ARRAYS.items() if a is not kernel}


def ours(parent: Path, step: int) -> None:
    """Save as a run does: the new one, then the old ones go."""
    checkpoint.save(parent, step, *contents(step), state(step))
    checkpoint.prune(parent, 1, set())


def in_place(parent: Path, step: int) -> None:
    """What most programs do: the one file is written over."""
    parent.mkdir(parents=True, exist_ok=True)
    weights, training = contents(step)
    np.savez(parent / "all.npz", step=np.int64(step), **weights, **training)


def last_of_ours(parent: Path) -> int:
    """The step that a resume would go on from, read and compared value by value; -1: none."""
    try:
        found, _ = checkpoint.newest(parent)
    except ArtifactError:
        return -1
    read = {**checkpoint.read_weights(found), **checkpoint.read_training(found)}
    weights, training = contents(found.step)
    same = all(np.array_equal(read[name], value) for name, value in {**weights, **training}.items())
    return found.step if same and checkpoint.read_state(found)["epoch"] == found.step else -1


def last_in_place(parent: Path) -> int:
    """The same of the plain writer."""
    try:
        with np.load(parent / "all.npz") as read:
            step = int(read["step"])
            weights, training = contents(step)
            same = all(np.array_equal(read[n], v) for n, v in {**weights, **training}.items())
    except Exception:  # a torn archive may fail in any way
        return -1
    return step if same else -1


def kill_while_saving(trial: Trial, save: Save, last: Callable[[Path], int]) -> str:
    """Saves go on until a kill comes; the newest is to be the last one that was acknowledged."""
    reading, writing = os.pipe()
    parent = trial.folder / "checkpoints"

    def saves() -> int:
        for step in range(1, 10_000):
            save(parent, step)
            os.write(writing, f"{step}\n".encode())
        return 0

    victim = Victim(saves, trial.folder)
    os.close(writing)
    select.select([reading], [], [], 30.0)  # the first one is there
    time.sleep(trial.random().uniform(0, _WINDOW))
    victim.send(signal.SIGKILL)
    victim.wait()
    told = b""
    while part := os.read(reading, 65536):
        told += part
    os.close(reading)
    acknowledged = int(told.split()[-1])
    kept = last(parent)
    lost = "" if kept >= acknowledged else f"save {acknowledged} was acknowledged, {kept} is there"
    return trial.clean(lost)


def _ours(trial: Trial) -> str:
    return kill_while_saving(trial, ours, last_of_ours)


def _in_place(trial: Trial) -> str:
    failure = kill_while_saving(trial, in_place, last_in_place)
    trial.clean("")
    return failure


def save_kills(suite: Suite) -> Result:
    """T1, and its control: a plain writer must lose more than half."""
    count = suite.size("saves", 200, 12)
    result = collect(Result("save-kills"), _ours, suite.trials("saves", count), suite.workers)
    plain, lost = suite.trials("saves-in-place", max(12, count // 4)), 0
    for trial in plain:
        lost += bool(_in_place(trial))
    result.note = f"0 acknowledged saves lost; written in place: {lost}/{len(plain)} lost"
    if result.failures:
        result.note = result.note.replace("0 ack", f"{len(result.failures)} ack")
    result.controls["a writer in place loses"] = lost > len(plain) / 2
    return result
