"""From the command to its first word, and to the first step."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.measuring import interleaved, seconds, table

FMKIT = [sys.executable, "-m", "fmkit.cli"]


def startup(options: argparse.Namespace, folder: Path) -> str:
    make_runs(folder / "runs", 1000)
    bare = [sys.executable, "-c", "import hydra, numpy, rich"]
    imports = [sys.executable, "-c", "import tensorflow, keras"]
    compared = {
        "fmkit --help": (wall([*FMKIT, "--help"], folder), wall(bare, folder)),
        "a config error": (wall([*FMKIT, "finetune", "optt.lr=1"], folder), wall(bare, folder)),
        "fmkit runs, 1,000 runs": (wall([*FMKIT, "runs"], folder), wall(bare, folder)),
        "to the first step": (lambda: _first_step(folder), wall(imports, folder)),
    }
    rows = {
        name: interleaved({"fmkit": ours, "imports alone": limit}, options.repeats)
        for name, (ours, limit) in compared.items()
    }
    note = "Imports: Hydra, NumPy and rich; for the first step TensorFlow and Keras."
    return table("Start-up", "s", rows, note)


def make_runs(root: Path, count: int) -> None:
    """Folders of finished runs, as `fmkit runs` reads them."""
    for number in range(count):
        minute = f"{number // 60:02d}:{number % 60:02d}"
        folder = root / "finetune" / f"2026-01-01_{minute.replace(':', '')}00-{number:06x}"
        folder.mkdir(parents=True)
        status = {
            "state": "done", "command": "finetune", "started": f"2026-01-01T{minute}:00+00:00",
            "seconds": 60.0, "model": "small_cnn", "data": "digits", "stage": "head+full",
            "phase": "full", "epoch": 4, "step": 400, "test": {"n": 100, "accuracy": 0.9},
        }  # fmt: skip
        (folder / "status.json").write_text(json.dumps(status))


def wall(words: list[str], folder: Path) -> Callable[[], float]:
    def run() -> None:
        subprocess.run(words, cwd=folder, env=environment(), capture_output=True, check=False)

    return lambda: seconds(run)


def environment() -> dict[str, str]:
    """This process's, with the fmkit that it uses itself."""
    root = Path(importlib.util.find_spec("fmkit").origin).parent.parent  # type: ignore[union-attr]
    return {**os.environ, "PYTHONPATH": str(root)}


def _first_step(folder: Path) -> float:
    runs = Path(tempfile.mkdtemp(dir=folder))
    words = [*FMKIT, "finetune", "data=digits", "model=small_cnn", f"runs_dir={runs}"]
    words += ["runtime.log_every=1", "stage.head.epochs=1 steps", "stage.full.epochs=1 steps"]
    began = time.perf_counter()
    process = subprocess.Popen(
        words, cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    found = first_row(runs, lambda: process.poll() is None) - began
    process.wait()
    return found


def first_row(runs: Path, goes_on: Callable[[], bool]) -> float:
    """When the first metrics row of a run was seen; not a number when it ends without."""
    while goes_on():
        if any(each.stat().st_size for each in runs.rglob("metrics.jsonl")):
            return time.perf_counter()
        time.sleep(0.005)
    return float("nan")
