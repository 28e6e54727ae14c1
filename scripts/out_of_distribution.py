"""Measure how well `ood_score` tells other inputs: `python scripts/out_of_distribution.py DATA`.

A model is trained on a part of a packaged data set, without some of its classes. Examples of the
rest get scores, of those classes, and of other packaged data sets. Printed is scikit-learn's area
under the ROC curve, beside that of the confidence (the highest probability), and the share of
inputs with an `ood_score` above 1, which of examples like the training data is to be 5%.

    python scripts/out_of_distribution.py mnist5k --others digits --set model=small_cnn
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

import fmkit
from fmkit.config import registry
from fmkit.data.examples import Examples
from fmkit.data.sources import registry as sources


def collect(name: str, root: str | None) -> Examples:
    """The examples of a packaged data set with classes."""
    config = registry.config_class("data", name)(name=name)
    config.root = root or getattr(config, "root", None)
    if hasattr(config, "labels"):
        config.labels = "classes"
    return sources.collect(config)


def inputs(examples: Examples, rows: np.ndarray, folder: Path) -> Path | list[str]:
    """Some examples as `Run.predict` takes them: a file of arrays, or texts or paths."""
    content: Any = examples.content
    if hasattr(content, "pixels"):
        path = folder / "inputs.npz"
        np.savez(path, images=content.pixels[rows])
        return path
    kept = content.texts if content.modality == "text" else content.paths
    return [str(kept[row]) for row in rows]


def write(examples: Examples, rows: np.ndarray, folder: Path) -> Path:
    """A data set of some examples, as a user has it: arrays, or a table of texts or paths."""
    content: Any = examples.content
    if hasattr(content, "pixels"):
        path = folder / "train.npz"
        np.savez(path, images=content.pixels[rows], labels=examples.labels[rows])
        return path
    column = "text" if content.modality == "text" else "path"
    names = [examples.classes[label] for label in examples.labels[rows]]
    path = folder / "train.csv"
    table = {column: inputs(examples, rows, folder), "label": names}
    pd.DataFrame(table).to_csv(path, index=False)
    return path


def measure(options: argparse.Namespace, seed: int) -> dict[str, dict[str, float]]:
    """Figures of each kind of inputs for one model."""
    examples, draw = collect(options.data, options.root), np.random.default_rng(seed)
    unseen = draw.choice(len(examples.classes), options.unseen, replace=False)
    order = draw.permutation(len(examples))[: options.examples]
    known = order[~np.isin(examples.labels[order], unseen)]
    own, rest = np.split(known, [len(known) // 4])
    groups = {"unseen classes": (examples, order[np.isin(examples.labels[order], unseen)])}
    for name in options.others:
        other = collect(name, options.root)
        groups[name] = (other, draw.permutation(len(other))[: len(own)])
    with tempfile.TemporaryDirectory() as folder:
        path = write(examples, rest, Path(folder))
        settings = [f"runs_dir={folder}", f"runtime.seed={seed}", "runtime.report=false"]
        run = fmkit.finetune(str(path), "runtime.verbose=false", *settings, *options.set)
        like = run.predict(inputs(examples, own, Path(folder)))
        tables = {
            name: run.predict(inputs(*group, Path(folder)))
            for name, group in groups.items()
            if len(group[1])
        }
    figures = {options.data: {"above 1": float((like["ood_score"] > 1).mean())}}
    for name, table in tables.items():
        is_other = np.repeat([0, 1], [len(like), len(table)])
        figures[name] = {
            column: float(roc_auc_score(is_other, _concatenated(like, table, column)))
            for column in ("ood_score", "confidence")
        } | {"above 1": float((table["ood_score"] > 1).mean())}
    return figures


def _concatenated(like: pd.DataFrame, table: pd.DataFrame, column: str) -> np.ndarray:
    """Scores of both, higher where an input is less like the training data."""
    if column == "ood_score":
        return np.concatenate([like[column], table[column]])
    return -np.concatenate(
        [part.filter(regex="^probability_").max(axis=1) for part in (like, table)]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure with several seeds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", help="packaged data set to train on")
    parser.add_argument(
        "--others", nargs="*", default=[], help="packaged data sets to tell from it"
    )
    parser.add_argument("--unseen", type=int, default=2, help="classes that training does not see")
    parser.add_argument("--examples", type=int, default=5000, help="of the data set, at most")
    parser.add_argument("--seeds", type=int, default=3, help="models to train")
    parser.add_argument("--root", help="folder of data sets that are no Python package")
    parser.add_argument("--set", nargs="*", default=[], help="settings of fmkit finetune")
    options = parser.parse_args(arguments)
    results = [measure(options, seed) for seed in range(options.seeds)]
    for name in results[0]:
        for key in results[0][name]:
            figures = [result[name][key] for result in results]
            listed = ", ".join(f"{figure:.3f}" for figure in figures)
            print(
                f"{options.data}, {name}, {key}: mean {np.mean(figures):.3f} ({listed})", flush=True
            )


if __name__ == "__main__":
    main()
