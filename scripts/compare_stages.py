"""Head only, full fine-tuning, head then full, and recipe=auto, side by side over seeds.

    python scripts/compare_stages.py clothes --root FASHION_MNIST_FOLDER
    python scripts/compare_stages.py solar_cells

`clothes` is 200 training pictures a class of Fashion-MNIST, drawn by the seed, and the first 500
test pictures a class; `solar_cells` is the package elpv-dataset at 96 pixels, split by the seed.
What trains unfrozen does so for as many epochs and at the same rate in `full` and `lp_ft`. Prints
test accuracies.
"""

import argparse
import gzip
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

WAYS = {
    "head": ["pretrain", "stage.head.epochs=8"],
    "full": ["finetune", "stage=unfrozen", "stage.full.epochs=4", "stage.full.learning_rate=3e-4"],
    "lp_ft": ["finetune"],
    "recipe=auto": ["finetune", "recipe=auto"],
}


def clothes(source: Path, folder: Path, seed: int) -> list[str]:
    """Write the four files of a small Fashion-MNIST; the overrides that use it."""
    train, labels = idx(source / "train-images-idx3-ubyte.gz"), idx(source / LABELS.format("train"))
    test, truth = idx(source / "t10k-images-idx3-ubyte.gz"), idx(source / LABELS.format("t10k"))
    drawn = np.random.default_rng(seed)
    chosen = np.concatenate(
        [drawn.choice(np.flatnonzero(labels == each), 200, replace=False) for each in range(10)]
    )
    judged = np.concatenate([np.flatnonzero(truth == each)[:500] for each in range(10)])
    for name, images, classes in (
        ("train", train[chosen], labels[chosen]), ("t10k", test[judged], truth[judged]),
    ):  # fmt: skip
        write_idx(folder / f"{name}-images-idx3-ubyte.gz", images)
        write_idx(folder / LABELS.format(name), classes)
    return ["data=fashion_mnist", f"data.root={folder}"]


LABELS = "{}-labels-idx1-ubyte.gz"


def idx(path: Path) -> np.ndarray:
    content = gzip.decompress(path.read_bytes())
    sides = [int.from_bytes(content[4 * each : 4 * each + 4], "big") for each in range(1, 4)]
    if content[3] == 3:
        return np.frombuffer(content, np.uint8, offset=16).reshape(sides)
    return np.frombuffer(content, np.uint8, offset=8)


def write_idx(path: Path, array: np.ndarray) -> None:
    numbers = [0x800 + array.ndim, *array.shape]
    header = b"".join(int(each).to_bytes(4, "big") for each in numbers)
    path.write_bytes(gzip.compress(header + array.tobytes()))


def accuracy(way: str, words: list[str], seed: int, folder: Path) -> float:
    """Test accuracy of one run."""
    fixed = [f"runtime.seed={seed}", "runtime.verbose=false", f"runs_dir={folder / way}"]
    fixed += ["data.refit=false"]  # stages by themselves
    command = [sys.executable, "-m", "fmkit.cli", *WAYS[way], *words, *fixed]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (status,) = (folder / way).rglob("status.json")
    return float(json.loads(status.read_text())["test"]["accuracy"])


def main() -> None:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("data", choices=["clothes", "solar_cells"])
    parser.add_argument("--root", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for seed in options.seeds:
        for way in WAYS:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                words = ["data=elpv", "model.image_size=96"]
                if options.data == "clothes":
                    words = clothes(options.root, folder, seed)
                found[way].append(accuracy(way, words, seed, folder))
                print(f"seed {seed} {way}: {found[way][-1]:.4f}", flush=True)
    print("\n| way | " + " | ".join(f"seed {each}" for each in options.seeds) + " | mean |")
    print("|---|" + "---|" * (len(options.seeds) + 1))
    for way, values in found.items():
        cells = " | ".join(f"{each:.4f}" for each in values)
        print(f"| {way} | {cells} | {statistics.mean(values):.4f} |")


if __name__ == "__main__":
    main()
