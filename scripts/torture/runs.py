"""Recipes of tiny runs, where they are on disk, and whether two of them are equal bit for bit."""

from __future__ import annotations

import hashlib
import itertools
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

OWN = Path(__file__).with_name("own.py")
_BASE = [
    f"plugins={OWN}", "data=stripes", "model=two_convolutions", "model.weights=none",
    "data.batch_size=8", "data.augment=none", "model.dropout=0.3", "runtime.verbose=false",
]  # fmt: skip


def base(command: str) -> list[str]:
    """The command line that all recipes share; only the stage is missing."""
    return [command, *_BASE]


RECIPES = {
    "two_phases": [*base("finetune"), "stage=lp_ft", "stage.head.epochs=3",
                   "stage.full.epochs=3", "stage.full.batchnorm=train",
                   "runtime.log_every=1"],
    "everything": [*base("finetune"), "stage=scratch", "stage.full.epochs=5",
                   "stage.full.augment=strong", "optimizer.ema=0.9", "optimizer.accumulation=2",
                   "optimizer.weight_decay=0.01"],
    "plain": [*base("finetune"), "stage=scratch", "stage.full.epochs=5", "runtime.log_every=1"],
    "features": [*base("pretrain"), "stage=frozen", "stage.head.epochs=6"],
    "partial": [*base("finetune"), "stage=scratch", "stage.full.epochs=3",
                "stage.full.train=top:1", "optimizer=sgd"],
    "refit": [*base("finetune"), "stage=lp_ft", "stage.head.epochs=2", "stage.full.epochs=2",
              "stage.full.interpolate=true", "data.refit=true", "optimizer.ema=0.9"],
    "patience": [*base("finetune"), "stage=scratch", "stage.full.epochs=30",
                 "stage.full.patience=2", "stage.full.learning_rate=0.03",
                 "task.monitor=val_accuracy"],
}  # fmt: skip
"""Command lines: 56 training examples in batches of 8, so 7 steps an epoch."""
_TIMES = ("seconds", "examples_per_second", "rss_bytes", "total_seconds")
_STATUS = ("state", "phase", "epoch", "step", "best", "phases", "test", "val", "parameters")


def resume(run: Path) -> list[str]:
    """The command line that goes on with a run; a plugin file is code, and is named each time."""
    return ["resume", str(run), f"plugins={OWN}"]


def only_run(folder: Path) -> Path | None:
    """The run below a trial's folder; None where none has begun yet.

    One without status.json was killed before it had begun: nothing has trained, and `fmkit resume`
    says to start it anew.
    """
    found = [path.parent for path in folder.glob("runs/*/*/status.json")]
    return max(found, key=lambda each: each.stat().st_mtime_ns) if found else None


def status(run: Path) -> dict[str, Any]:
    """A run's status."""
    return dict(json.loads((run / "status.json").read_text(encoding="utf-8")))


def rows(run: Path) -> list[dict[str, Any]]:
    """A run's metrics rows without what is measured in seconds or bytes."""
    path = run / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [_timeless(json.loads(line)) for line in lines]


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(each) for key, each in value.items() if key not in _TIMES}
    return [_timeless(each) for each in value] if isinstance(value, list) else value


def checkpoints(run: Path) -> list[Path]:
    """The visible checkpoint folders of a run, oldest first, damaged ones included."""
    return sorted((run / "checkpoints").glob("step-*"))


def arrays(folder: Path) -> dict[str, np.ndarray]:
    """All arrays of a checkpoint."""
    from safetensors.numpy import load_file

    found: dict[str, np.ndarray] = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= {f"{path.name}:{name}": value for name, value in load_file(path).items()}
    return found


def differences(one: Path, other: Path) -> list[str]:
    """Where two finished runs are not equal: their checkpoints' arrays and states, the model
    file's weights, the metrics and the status but for times. Empty when all are equal.
    """
    found = [f"status.{key}" for key in _STATUS if _known(one, key) != _known(other, key)]
    mine, theirs = rows(one), rows(other)
    if mine != theirs:
        same = sum(1 for _ in itertools.takewhile(_is_same, zip(mine, theirs, strict=False)))
        found.append(f"metrics.jsonl ({len(mine)} and {len(theirs)} rows) after row {same}")
    names = [[each.name for each in checkpoints(run)] for run in (one, other)]
    if names[0] != names[1]:
        found.append(f"checkpoints {names[0]} and {names[1]}")
    for name in sorted({*names[0]} & {*names[1]}):
        found += _checkpoint_differences(one / "checkpoints" / name, other / "checkpoints" / name)
    if _model_digest(one) != _model_digest(other):
        found.append("model.keras")
    return found


def _is_same(pair: tuple[Any, Any]) -> bool:
    return bool(pair[0] == pair[1])


def _known(run: Path, key: str) -> Any:
    return _timeless(status(run).get(key))


def _checkpoint_differences(one: Path, other: Path) -> list[str]:
    mine, theirs = arrays(one), arrays(other)
    found = [f"{one.name}/{name} is in one only" for name in sorted({*mine} ^ {*theirs})]
    for name in sorted({*mine} & {*theirs}):
        if (mine[name].dtype, mine[name].shape) != (theirs[name].dtype, theirs[name].shape) or (
            mine[name].tobytes() != theirs[name].tobytes()
        ):
            found.append(f"{one.name}/{name}")
    states = [json.loads((each / "state.json").read_text()) for each in (one, other)]
    if _timeless(states[0]) != _timeless(states[1]):
        found.append(f"{one.name}/state.json")
    return found


def _model_digest(run: Path) -> dict[str, str]:
    """SHA-256 of every array of the finished model file."""
    import h5py

    digests: dict[str, str] = {}

    def add(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            digests[name] = hashlib.sha256(np.ascontiguousarray(item[()]).tobytes()).hexdigest()

    path = run / "model.keras"
    if path.exists():
        with (
            zipfile.ZipFile(path) as archive,
            archive.open("model.weights.h5") as stream,
            h5py.File(stream, "r") as weights,
        ):
            weights.visititems(add)
    return digests
