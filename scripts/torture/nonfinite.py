"""T15: numbers that are not finite end the run at their step, and no file ever holds one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from torture import runs, zygote
from torture.suite import Result, Suite, Trial, cache, collect

_WILD = ["optimizer=sgd", "optimizer.schedule=constant", "optimizer.clip_norm=null",
         "optimizer.warmup=0%"]  # fmt: skip


@dataclass(frozen=True)
class _Injection:
    """Something that leaves the finite numbers.

    Attributes:
        recipe: of the run.
        step: the step whose loss is touched, from 1 on; 0: the words alone do it.
        kind: `nan`, `inf`, `gradient` (the loss stays finite) or `validation`.
        told: the step that the message must name; 0: any.
        kept: the step whose checkpoint must be the last one; -1: any.
        words: overrides.
    """

    recipe: str
    step: int = 0
    kind: str = "nan"
    told: int = 0
    kept: int = -1
    words: tuple[str, ...] = ()


INJECTIONS = {
    "a rate of 1e12": _Injection("plain", words=(*_WILD, "optimizer.learning_rate=1e12")),
    "a rate of 1e30 on features": _Injection(
        "features", words=(*_WILD, "optimizer.learning_rate=1e30")
    ),
    "NaN in the first step": _Injection("plain", 1, "nan", 1, -1),
    "NaN in the last step of an epoch": _Injection("plain", 14, "nan", 14, 7),
    "infinity within an epoch": _Injection("plain", 17, "inf", 17, 14),
    # Two batches an update, and the seventh of an epoch alone: update 9 begins with step 15.
    "NaN with a moving average": _Injection("everything", 9, "nan", 15, 14),
    "a gradient in the last step of an epoch": _Injection("plain", 14, "gradient", 0, 7),
    "NaN in validation": _Injection("plain", 14, "validation", 14, 7),
}


def _inject(injection: _Injection) -> Callable[[], None] | None:
    if not injection.step:
        return None

    def before() -> None:
        from keras import ops

        from fmkit.train import task_model

        compute = task_model.TaskModel.compute_loss
        shape = {"nan": math.nan, "inf": math.inf}

        def touched(self: Any, x: Any = None, y: Any = None, y_pred: Any = None,
                    sample_weight: Any = None, training: bool = True) -> Any:  # fmt: skip
            loss = compute(self, x, y, y_pred, sample_weight, training)
            done = ops.cast(self.optimizer.iterations, "int32")
            if injection.kind == "validation":
                is_here = done >= injection.step
                return loss if training else ops.where(is_here, math.nan, loss)
            is_here = ops.equal(done, injection.step - 1)
            if not training:
                return loss
            if injection.kind == "gradient":
                return _with_gradient(loss, ops.where(is_here, math.nan, 1.0))
            return ops.where(is_here, shape[injection.kind], loss)

        task_model.TaskModel.compute_loss = touched

    return before


def _with_gradient(loss: Any, factor: Any) -> Any:
    """The same loss, with a gradient that is multiplied."""
    from keras import ops

    @ops.custom_gradient
    def same(value: Any) -> Any:
        def gradient(*values: Any, upstream: Any = None) -> Any:
            return (values[0] if upstream is None else upstream) * factor

        return value, gradient

    return same(loss)


def broken_arrays(run: Path) -> list[str]:
    """Arrays of any checkpoint that are not finite."""
    return [
        f"{folder.name}/{name}"
        for folder in runs.checkpoints(run)
        for name, value in runs.arrays(folder).items()
        if not np.isfinite(value.astype(np.float64)).all()
    ]


def _wrong(injection: _Injection, run: Path | None, code: int, text: str) -> str:
    if code != 5:
        return f"exit {code} instead of 5: {text[-400:]!r}"
    if run is None:
        return "there is no run"
    if broken := broken_arrays(run):
        return f"not finite: {broken[:4]}"
    best = runs.status(run)["best"]
    if best is not None and not math.isfinite(best["value"]):
        return f"best is {best}"
    if (run / "model.keras").exists():
        return "it wrote a model file"
    if injection.told and f"step {injection.told}" not in text:
        return f"step {injection.told} is not named: {text[-400:]!r}"
    return _record_wrong(run) or _last_wrong(injection, run)


def _record_wrong(run: Path) -> str:
    path = run / "nonfinite.json"
    if not path.exists():
        return "there is no nonfinite.json"
    record = json.loads(path.read_text())
    return "" if "step" in json.dumps(record) else f"nonfinite.json names no step: {record}"


def _last_wrong(injection: _Injection, run: Path) -> str:
    steps = [int(path.name.rpartition("-")[2]) for path in runs.checkpoints(run)]
    if injection.kept >= 0 and max(steps, default=-1) != injection.kept:
        return f"checkpoints {steps} instead of {injection.kept}"
    return ""


def _trial(work: tuple[Trial, str]) -> str:
    trial, name = work
    injection = INJECTIONS[name]
    words = [*runs.RECIPES[injection.recipe], *injection.words]
    victim = zygote.fmkit(
        words, trial.folder, environment=cache(trial.folder), before=_inject(injection)
    )
    code = victim.wait()
    wrong = _wrong(injection, runs.only_run(trial.folder), code, victim.text())
    return trial.clean(wrong and f"{name}: {wrong}")


def nonfinite(suite: Suite) -> Result:
    """T15, and its control: the same injection with the checks off must leave a broken file."""
    names = list(INJECTIONS)[6:7] if suite.quick else list(INJECTIONS)
    works = list(zip(suite.trials("nonfinite", len(names)), names, strict=True))
    result = collect(Result("nonfinite"), _trial, works, suite.workers)
    if not suite.quick:
        trial = suite.trials("nonfinite-control", 1)[0]
        result.controls["without checks NaN is saved"] = _unchecked(trial)
        trial.clean("")
    return result


def _unchecked(trial: Trial) -> bool:
    def before() -> None:
        from fmkit.models.weights import safetensors as safetensors_file
        from fmkit.train.callbacks import nonfinite as guard

        _inject(INJECTIONS["a gradient in the last step of an epoch"])()  # type: ignore[misc]
        safetensors_file.not_finite = lambda arrays: []
        guard.TerminateOnNonFinite._stop = lambda self, found: None

    words = [*runs.RECIPES["plain"], "stage.full.epochs=2"]
    victim = zygote.fmkit(words, trial.folder, environment=cache(trial.folder), before=before)
    victim.wait()
    run = runs.only_run(trial.folder)
    return run is not None and bool(broken_arrays(run))
