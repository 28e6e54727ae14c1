"""T8: the same command twice gives the same bytes. T10: what is frozen stays as it was."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from torture import runs, zygote
from torture.suite import Result, Suite, Trial, cache, collect
from torture.zygote import Victim


def _run(folder: Path, words: list[str]) -> Victim:
    return zygote.fmkit(words, folder, environment=cache(folder))


def _pair(trial: Trial, one: list[str], other: list[str]) -> tuple[str, list[str]]:
    """Two commands in two processes: what failed, and where their runs differ."""
    folders = trial.folder / "one", trial.folder / "other"
    victims = [_run(folder, words) for folder, words in zip(folders, (one, other), strict=True)]
    codes = [victim.wait() for victim in victims]
    if any(codes):
        return f"exit {codes}: {victims[0].text()[-300:]!r}", []
    found = [run for run in map(runs.only_run, folders) if run is not None]
    return "", runs.differences(*found)


def _twins(work: tuple[Trial, str, str]) -> str:
    trial, recipe, jit = work
    words = [*runs.RECIPES[recipe], f"runtime.jit={jit}"]
    failure, apart = _pair(trial, words, words)
    told = failure or "; ".join(apart[:6])
    return trial.clean(told and f"{recipe}, jit {jit}: {told}")


def twins(suite: Suite) -> Result:
    """T8, and its control: another seed must give something else."""
    kinds = [(name, jit) for jit in ("false", "true") for name in runs.RECIPES]
    if suite.quick:
        kinds = [("everything", "false")]
    kinds = kinds[: suite.size("twins", len(kinds), 1)]
    trials = suite.trials("twins", len(kinds))
    works = [(trial, *kind) for trial, kind in zip(trials, kinds, strict=True)]
    result = collect(Result("twins"), _twins, works, max(1, suite.workers // 2))
    if not suite.quick:
        trial, words = suite.trials("twins-control", 1)[0], runs.RECIPES["plain"]
        failure, apart = _pair(trial, words, [*words, "runtime.seed=1"])
        result.controls["another seed differs"] = not failure and bool(apart)
        trial.clean("")
    return result


_FROZEN = {
    "head only": ["stage=frozen", "stage.head.epochs=2", "runtime.cache=never"],
    "head on features": ["stage=frozen", "stage.head.epochs=2"],
    "top block": ["stage=scratch", "stage.full.epochs=2", "stage.full.train=top:1",
                  "stage.full.batchnorm=frozen"],
    "all, BatchNorm frozen": ["stage=scratch", "stage.full.epochs=2",
                              "stage.full.batchnorm=frozen"],
}  # fmt: skip
"""Stages, by what is left frozen."""


def _is_frozen(kind: str, path: str) -> bool:
    """Whether a variable is to stay as it was made, by its path; the plugin's blocks are known."""
    is_statistic = "moving_" in path
    if kind.startswith("head"):
        return "stem_" in path or "block1_" in path
    return "stem_" in path or is_statistic if kind == "top block" else is_statistic


def _weights(run: Path) -> dict[str, np.ndarray]:
    return {
        name.partition(":")[2]: value
        for name, value in runs.arrays(runs.checkpoints(run)[-1]).items()
        if name.startswith("model.")
    }


def _moved(folder: Path, words: list[str], kind: str) -> tuple[int, list[str]]:
    """How many variables were to stay, and which of them moved, against those at the start."""

    def remember() -> None:
        from fmkit.train import loop
        from fmkit.train.checkpoints import variables

        train = loop.train

        def noted(assembly, *arguments, **options):
            values = variables.arrays(assembly.model.variables)
            np.savez(folder / "before.npz", **{n.replace("/", "|"): v for n, v in values.items()})
            return train(assembly, *arguments, **options)

        loop.train = noted

    victim = zygote.fmkit(words, folder, environment=cache(folder), before=remember)
    run = victim.wait() == 0 and runs.only_run(folder)
    if not run:
        return 0, [f"exit {victim.code}: {victim.text()[-300:]!r}"]
    with np.load(folder / "before.npz") as stored:
        before = {name.replace("|", "/"): stored[name] for name in stored.files}
    frozen = {name: value for name, value in _weights(run).items() if _is_frozen(kind, name)}
    moved = [name for name, value in frozen.items() if value.tobytes() != before[name].tobytes()]
    return len(frozen), moved


def _frozen(work: tuple[Trial, str]) -> str:
    trial, kind = work
    words = [*runs.base("finetune"), *_FROZEN[kind]]
    count, moved = _moved(trial.folder, words, kind)
    failure = f"moved: {', '.join(moved[:4])}" if moved else ""
    return trial.clean(failure or ("" if count else "nothing was frozen"))


def frozen(suite: Suite) -> Result:
    """T10, and its control: the same comparison of a run that thaws all must find changes."""
    kinds = list(_FROZEN)[: 1 if suite.quick else None]
    works = list(zip(suite.trials("frozen", len(kinds)), kinds, strict=True))
    result = collect(Result("frozen"), _frozen, works, suite.workers)
    trial = suite.trials("frozen-control", 1)[0]
    thawed = ["stage=scratch", "stage.full.epochs=2", "stage.full.batchnorm=train"]
    moved = [_moved(trial.folder / kind, [*runs.base("finetune"), *thawed], kind)[1]
             for kind in kinds[:1]]  # fmt: skip
    result.controls["what is thawed moves"] = all(
        bool(each) and not each[0].startswith("exit") for each in moved
    )
    shutil.rmtree(trial.folder, ignore_errors=True)
    return result
