"""T19: what safety costs: a save beside Keras' own, a resume's decision, a config error."""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.train.checkpoints import checkpoint, variables
from torture.saves import state
from torture.suite import Result, Suite
from torture.zygote import Victim

_MAX_RATIO, _MAX_DECISION, _MAX_CONFIG = 1.3, 0.5, 1.0
_UNITS = 1400  # four square kernels of 1400: 31 MB of weights, and AdamW's two slots for each
_REPEATS = 9


def _median_of_each(actions: list[Callable[[], object]], repeats: int) -> list[float]:
    """Median seconds of each action; they take turns, so that a busy machine is fair to all.

    Before each turn the disk has what was written: an fsync brings along what others left to it.
    """
    seconds: list[list[float]] = [[] for _ in actions]
    for _ in range(repeats):
        for action, taken in zip(actions, seconds, strict=True):
            os.sync()
            began = time.perf_counter()
            action()
            taken.append(time.perf_counter() - began)
    return [float(np.median(each)) for each in seconds]


def _network() -> Any:
    """A network as people fine-tune it: MobileNetV2, some 270 variables."""
    import keras

    return keras.applications.MobileNetV2((64, 64, 3), weights=None, classes=10)


def _few_tensors() -> Any:
    """The same amount and more in four kernels, where Keras' writer has the least to do."""
    import keras

    layers = [keras.layers.Dense(_UNITS, name=f"dense{number}") for number in range(4)]
    return keras.Sequential([keras.Input((_UNITS,)), *layers])


def _compare(folder: Path, make: Callable[[], Any], repeats: int) -> int:
    """In a victim: a full save and Keras' `save_weights` of the same model and optimizer."""
    import keras

    model = make()
    model.compile(optimizer=keras.optimizers.AdamW(), loss="mse")
    model.optimizer.build(model.trainable_variables)
    for variable in model.optimizer.variables[2:]:
        variable.assign(keras.random.normal(variable.shape, seed=1))

    steps = itertools.count(1)

    def ours() -> None:
        step = next(steps)
        values = variables.collect(model, {"": model.optimizer})
        checkpoint.save(folder / "ours", step, *values, state(step))

    def kerases() -> None:
        model.save_weights(folder / "theirs.weights.h5")

    ours_took, theirs_took = _median_of_each([ours, kerases], repeats)
    newest = checkpoint.list_checkpoints(folder / "ours")[-1].folder
    sizes = [sum(path.stat().st_size for path in newest.glob("*.safetensors")),
             (folder / "theirs.weights.h5").stat().st_size]  # fmt: skip
    (folder / "seconds.txt").write_text(f"{ours_took} {theirs_took} {sizes[0]} {sizes[1]}")
    return 0


def _decision(folder: Path) -> float:
    """Seconds to choose among fifty checkpoints of 1 MB."""
    kernel = {"kernel": np.ones(250_000, np.float32)}
    for step in range(50):
        checkpoint.save(folder, step, kernel, {"optimizer/m": kernel["kernel"]}, state(step))
    return _median_of_each([lambda: checkpoint.newest(folder)], 5)[0]


def _config_error(folder: Path) -> float:
    """Seconds until a misspelled key is told, in a fresh process."""
    words = [sys.executable, "-m", "fmkit.cli", "finetune", "optt.lr=1"]

    def misspelled() -> None:
        done = subprocess.run(words, cwd=folder, capture_output=True, check=False, env=os.environ)
        if done.returncode != 2:
            raise RuntimeError(f"exit {done.returncode}: {done.stderr[-300:]!r}")

    return _median_of_each([misspelled], 5)[0]


def price(suite: Suite) -> Result:
    """T19."""
    folder = suite.folder / "price"
    result = Result("price")
    ratios, told = [], []
    for name, make in (("a network", _network), ("four kernels", _few_tensors)):
        compare = functools.partial(_compare, folder / name, make, _REPEATS)
        victim = Victim(compare, folder / name)
        if victim.wait(300):
            result.add(victim.text()[-300:])
            return result
        ours, theirs, size, _ = map(float, (folder / name / "seconds.txt").read_text().split())
        ratios.append(ours / theirs)
        told.append(f"{ratios[-1]:.2f} for {name} of {size / 1e6:.0f} MB")
    decision, error = _decision(folder / "fifty"), _config_error(folder)
    limits = (("a save", ratios[0], _MAX_RATIO), ("decision", decision, _MAX_DECISION),
              ("config error", error, _MAX_CONFIG))  # fmt: skip
    for name, value, most in limits:
        result.add("" if value <= most else f"{name}: {value:.2f}, at most {most}")
    result.note = (
        f"a save costs {', '.join(told)} times save_weights, "
        f"resume decision {decision:.2f} s, config error {error:.2f} s"
    )
    shutil.rmtree(folder)
    return result
