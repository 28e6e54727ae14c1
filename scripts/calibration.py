"""Measure what temperature scaling does on test splits: `python scripts/calibration.py [DATA ...]`.

Models are trained with several seeds, which also draw the validation split. Printed are the
expected calibration error and the log loss on the test split, before and after.

    python scripts/calibration.py digits mnist5k --seeds 3 --set model=small_cnn stage=scratch
"""

import argparse
import json
import tempfile
from typing import Any

import numpy as np

import fmkit

FIGURES = ("expected_calibration_error", "loss")


def measure(name: str, seed: int, command: str, settings: list[str]) -> dict[str, Any]:
    """The temperature of one model, and each figure without and with it."""
    with tempfile.TemporaryDirectory() as folder:
        words = [f"data={name}", f"runtime.seed={seed}", f"runs_dir={folder}", *settings]
        train = fmkit.pretrain if command == "pretrain" else fmkit.finetune
        run = train(*words, "runtime.report=false", "runtime.verbose=false")
        metrics = json.loads((run.folder / "eval" / "test.json").read_text(encoding="utf-8"))
    scaled = metrics["temperature_scaling"]
    figures = {key: (metrics[key], scaled[key]) for key in FIGURES}
    return {"temperature": scaled["temperature"], **figures}


def main() -> None:
    """Measure each data set with several seeds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", nargs="*", default=["digits"], help="packaged data sets")
    parser.add_argument("--seeds", type=int, default=3, help="models to train")
    parser.add_argument("--command", choices=("finetune", "pretrain"), default="finetune")
    parser.add_argument("--set", nargs="*", default=[], help="settings of the command")
    options = parser.parse_args()
    for name in options.data:
        results = [
            measure(name, seed, options.command, options.set) for seed in range(options.seeds)
        ]
        temperatures = ", ".join(f"{result['temperature']:.3f}" for result in results)
        print(f"{name} temperature: {temperatures}", flush=True)
        for key in FIGURES:
            before, after = np.mean([result[key] for result in results], axis=0)
            pairs = ", ".join("{:.4f} -> {:.4f}".format(*result[key]) for result in results)
            print(f"{name} {key}: mean {before:.4f} -> {after:.4f} ({pairs})", flush=True)


if __name__ == "__main__":
    main()
