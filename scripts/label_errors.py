"""Measure how well planted label errors are found: `python scripts/label_errors.py [DATA ...]`.

A share of the labels of a packaged data set is changed at random, by `data.relabel`, and
`fmkit check label_errors=true` looks for them. Printed is scikit-learn's average precision of the
scores of all examples.

    python scripts/label_errors.py mnist5k elpv --seeds 5
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score

from fmkit.config import registry
from fmkit.data.sources import registry as sources


def plant(name: str, share: float, seed: int, path: Path) -> set[str]:
    """Write a table that changes a share of the labels of a data set; the ids that it changes."""
    config = registry.config_class("data", name)(name=name)
    if hasattr(config, "labels"):
        config.labels = "classes"
    examples, draw = sources.collect(config), np.random.default_rng(seed)
    count, classes = len(examples), len(examples.classes)
    chosen = draw.choice(count, round(share * count), replace=False)
    labels = (examples.labels[chosen] + draw.integers(1, classes, len(chosen))) % classes
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["example", "label"])
        rows = zip(chosen.tolist(), labels.tolist(), strict=True)
        writer.writerows((examples.ids[k], examples.classes[label]) for k, label in rows)
    return {examples.ids[k] for k in chosen.tolist()}


def measure(name: str, share: float, seed: int, settings: list[str]) -> dict[str, float]:
    """Average precision, and precision and recall of the labels that are called likely wrong."""
    with tempfile.TemporaryDirectory() as folder:
        flips = Path(folder) / "flips.csv"
        wrong = plant(name, share, seed, flips)
        words = [f"data={name}", f"data.relabel={flips}", "label_errors=true", f"output={folder}"]
        command = [sys.executable, "-m", "fmkit", "check", *words, *settings]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with (Path(folder) / "label_scores.csv").open(encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        report = json.loads((Path(folder) / "data_report.json").read_text(encoding="utf-8"))
    is_wrong = np.array([row["example"] in wrong for row in rows])
    scores = np.array([float(row["score"]) for row in rows])
    likely = {row["example"] for row in report["label_errors"]["errors"]}
    found = len(likely & wrong)
    return {
        "average_precision": float(average_precision_score(is_wrong, scores)),
        "precision": found / max(1, len(likely)),
        "recall": found / len(wrong),
    }


def main() -> None:
    """Measure each data set with several seeds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", nargs="*", default=["mnist5k"], help="packaged data sets")
    parser.add_argument("--seeds", type=int, default=3, help="flips to draw")
    parser.add_argument("--share", type=float, default=0.05, help="of labels that are changed")
    parser.add_argument("--set", nargs="*", default=[], help="settings of fmkit check")
    options = parser.parse_args()
    for name in options.data:
        results = [measure(name, options.share, seed, options.set) for seed in range(options.seeds)]
        for key in results[0]:
            values = [result[key] for result in results]
            each = ", ".join(f"{value:.3f}" for value in values)
            print(f"{name} {key}: mean {np.mean(values):.3f} ({each})", flush=True)


if __name__ == "__main__":
    main()
