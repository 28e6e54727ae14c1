"""Images and labels in one `.npz` file, also with an array for each split, as MedMNIST has them.

Pixels are whole numbers from 0 to 255. Floats are refused, not scaled: whether 0.0 to 1.0 means the
full range cannot be seen in the file, and a wrong guess would go unnoticed until deployment.
"""

import contextlib
import dataclasses
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import MAGIC_PREFIX

from fmkit.config.schema.data import ArraysData
from fmkit.core import machine, safe_io
from fmkit.core.errors import DataError, combine_messages, join_names, plural, received
from fmkit.core.npz import NpzReader, open_npz
from fmkit.core.safe_io import UnsafeContent
from fmkit.data.content.images import ImageArray
from fmkit.data.examples import Examples, from_names, without_classes
from fmkit.data.sources.label_readers import LARGEST, exclusive_labels
from fmkit.data.sources.paths import existing_path, name_findings
from fmkit.data.sources.table_rows import row_id
from fmkit.data.targets import LabelSets, Numbers

SPLITS = ("train", "val", "test")
"""What names of the arrays of splits begin with, before `_images`, or end with, after `x_`."""
_SHAPES = "(N, H, W), (N, H, W, 1), (N, H, W, 3) or (N, H, W, 4)"
_LABELS = {
    "classes": ((1,), "(N,)", "uibSU", "whole numbers or texts"),
    "sets": ((2,), "(N, K), a column per label", "uibf", "0 and 1, or truth values"),
    "numbers": ((1, 2), "(N,) or (N, K)", "uif", "numbers"),
}
"""By `data.labels`, dimensions and kinds of NumPy types of the labels, each also in words."""
_RESHAPE = {
    ("classes", 2): "Rows with several labels are for task=multi_label.",
    ("sets", 1): "A single label: save labels.reshape(-1, 1).",
}
"""By `data.labels` and dimensions, what to do."""


def list_examples(config: ArraysData) -> Examples:
    """The images of `config.root`; ids are positions, such as `row-000012`."""
    path = existing_path(config.root, "file")
    kind = "classes" if config.labels == "auto" else config.labels
    optional = [] if kind == "classes" else [config.name_key]
    keys = [config.image_key, config.label_key]
    (images, labels, *name_arrays), splits = _read(path, keys, optional)
    if kind == "classes" and labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    elif kind == "classes" and is_one_hot(labels):
        labels = labels.argmax(axis=1)
    problems = [
        *_image_problems(config.image_key, images),
        *_label_problems(kind, config.label_key, labels),
    ]
    if name_arrays and not problems:
        problems += _name_problems(config, name_arrays[0], labels)
    if not problems and len(images) != len(labels):
        problems.append(
            f"{config.image_key} has {len(images)} rows, {config.label_key} {len(labels)}."
        )
    elif not problems and splits[0] != splits[1]:
        counts = [{name: rows.count(name) for name in SPLITS} for rows in splits[:2]]
        problems.append(f"{keys[0]} has the rows {counts[0]}, {keys[1]} {counts[1]}.")
    if problems:
        raise DataError(combine_messages([f"{path.name}: {problem}" for problem in problems]))
    if kind == "classes":
        examples = from_rows(images, labels)
        findings = name_findings(examples.classes, ())
        return dataclasses.replace(examples, findings=tuple(findings), splits=_array(splits[0]))
    labels = labels.reshape(len(labels), -1)
    # A single column has the name of its array, several have their position after it.
    key, width = config.label_key, labels.shape[1]
    names = [f"{key}_{position}" for position in range(width)] if width > 1 else [key]
    if name_arrays:
        names = [name.strip() for name in _texts(name_arrays[0])]
    targets: LabelSets | Numbers = Numbers(tuple(names), labels.astype(np.float64))
    ids = [row_id(index) for index in range(len(images))]
    content, findings = ImageArray(_pixels(images)), name_findings(names, ids)
    if kind == "sets":
        targets = LabelSets(tuple(names), labels.astype(bool))
        findings += exclusive_labels(names, labels.astype(bool), f"{key}.argmax(axis=1)")
    examples = without_classes(ids, content, targets, findings=findings)
    return dataclasses.replace(examples, splits=_array(splits[0]))


def _array(splits: list[str]) -> np.ndarray | None:
    """The split of each row, (N,); None where the file has none."""
    return np.array(splits, dtype=str) if splits else None


def is_one_hot(labels: np.ndarray) -> bool:
    """Whether labels are one-hot rows, (N, K) with one 1 in each, and zeros."""
    if labels.ndim != 2 or labels.shape[1] < 2 or labels.dtype.kind not in "uibf":
        return False
    return bool(np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all())


def split_arrays(key: str, names: Iterable[str]) -> dict[str, str]:
    """By split, the array of a key that no array is called; or none.

    They are called `train_images`, as in MedMNIST, or `x_train`, as in Keras' data sets.
    """
    for pattern, fewest in (("{split}_{key}", 1), ("{key}_{split}", 2)):
        parts = {split: pattern.format(split=split, key=key) for split in SPLITS}
        parts = {split: name for split, name in parts.items() if name in names}
        if SPLITS[0] in parts and len(parts) >= fewest and key not in names:
            return parts
    return {}


def read_images(path: Path, key: str) -> np.ndarray:
    """The images of a file without their labels, (N, H, W) or (N, H, W, C) uint8.

    Args:
        key: their array; where the file lacks it, the only array of three dimensions or more.

    Raises:
        DataError: they cannot be read, or are not images.
    """
    with contextlib.suppress(UnsafeContent, OSError, ValueError), open_npz(path) as reader:
        if key not in reader.members and not split_arrays(key, reader.members):
            names = [name for name in reader.members if len(reader.header(name).shape) > 2]
            if len(names) > 1:
                raise DataError(
                    received(
                        f"{path.name}, arrays of images", names, f"one, or one called {key!r}"
                    ),
                    "Save the one that is meant alone: numpy.savez('images.npz', images=...)",
                )
            key = names[0] if names else key
    (images,), _ = _read(path, [key], [])
    if problems := _image_problems(key, images):
        raise DataError(combine_messages([f"{path.name}: {problem}" for problem in problems]))
    return _pixels(images)


def from_rows(images: np.ndarray, labels: np.ndarray) -> Examples:
    """Examples from images (N, H, W) or (N, H, W, C) of 0 to 255, and whole numbers or texts (N,).

    The classes are the labels as texts, in order.
    """
    values, numbers = np.unique(labels, return_inverse=True)
    classes = _texts(values)
    ids = [row_id(index) for index in range(len(images))]
    names = [classes[number] for number in numbers]
    return from_names(ids, names, ImageArray(_pixels(images)), classes=tuple(classes))


def _texts(values: np.ndarray) -> list[str]:
    """Whole numbers, texts or bytes in UTF-8 as texts."""
    return [v.decode() if isinstance(v, bytes) else str(v) for v in values.tolist()]


def _pixels(images: np.ndarray) -> np.ndarray:
    if images.dtype == bool:
        return images * np.uint8(255)
    return images.astype(np.uint8, copy=False)


def _read(
    path: Path, keys: list[str], optional: list[str]
) -> tuple[list[np.ndarray], list[list[str]]]:
    """The arrays under all `keys`, and under those of `optional` that are in the file.

    Returns:
        The arrays, and of each the split of every row; empty where the file has no splits.
    """
    problems, arrays, splits = [], [], []
    try:
        with safe_io.open_regular(path) as stream:
            if stream.read(len(MAGIC_PREFIX)) == MAGIC_PREFIX:
                raise DataError(f"{path} holds a single array: save both with numpy.savez.")
        # Blank images compress a thousandfold: what bounds an array here is the free memory.
        with open_npz(path, max_ratio=None) as reader:
            for key in [*keys, *(name for name in optional if name in reader.members)]:
                parts = split_arrays(key, reader.members)
                if key not in reader.members and not parts:
                    problems.append(received(f"{path.name}, key", key, list(reader.members)))
                    continue
                try:
                    array, lengths = _joined(reader, [*parts.values()] or [key])
                    arrays.append(array)
                    rows = zip(parts, lengths, strict=True) if parts else ()
                    splits.append([split for split, count in rows for _ in range(count)])
                except UnsafeContent as error:
                    problems.append(f"{path.name}, {key}: {error}.")
    except (UnsafeContent, OSError) as failure:
        raise DataError(f"{path} is not a readable .npz file: {failure}") from None
    if problems:
        hint = "Name the arrays with data.image_key and data.label_key."
        raise DataError(combine_messages(problems), hint)
    return arrays, splits


def _joined(reader: NpzReader, names: list[str]) -> tuple[np.ndarray, list[int]]:
    """Arrays one after the other, and how many rows each has.

    Raises:
        UnsafeContent: they take more memory than is free, are damaged, or of different shapes.
    """
    headers = [reader.header(name) for name in names]
    size = sum(header.nbytes for header in headers)
    if size > (machine.free_memory() or sys.maxsize):
        raise UnsafeContent(f"it would take {size / 2**30:.1f} GiB of memory, more than is free")
    if len(names) == 1:
        return reader.read(names[0]), [(*headers[0].shape, 0)[0]]
    if len({header.shape[1:] for header in headers}) > 1 or not all(h.shape for h in headers):
        shapes = [f"{name} {h.shape}" for name, h in zip(names, headers, strict=True)]
        raise UnsafeContent(f"splits of different shapes, {join_names(shapes)}")
    return np.concatenate([*map(reader.read, names)]), [header.shape[0] for header in headers]


def _image_problems(name: str, images: np.ndarray) -> list[str]:
    shape_fits = images.ndim == 3 or (images.ndim == 4 and images.shape[-1] in (1, 3, 4))
    if not shape_fits or 0 in images.shape:
        hint = "Channels come last." if images.ndim == 4 and images.shape[1] in (1, 3) else ""
        return [received(f"shape of {name}", images.shape, _SHAPES, hint)]
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        fits = np.isfinite(images).reshape(len(images), -1).all(axis=1)
        return _row_problems(name, "NaN or infinite values", fits, "image")
    if images.dtype.kind == "f":
        low, high = float(images.min()), float(images.max())
        scale = "images * 255" if high <= 1 else "images"
        if low < 0:  # normalised, mostly to -1 to 1
            ends = (-1, 1) if low >= -1 and high <= 1 else (low, high)
            scale = f"numpy.interp(images, ({ends[0]:g}, {ends[1]:g}), (0, 255))"
        return [
            f"{name} is {images.dtype} from {low:g} to {high:g}; expected whole numbers from 0 to "
            f"255. Save numpy.round({scale}).astype('uint8') if that is what they mean."
        ]
    if images.dtype.kind not in "uib":
        return [received(f"type of {name}", str(images.dtype), "uint8")]
    if images.dtype.kind != "b" and (images.min() < 0 or images.max() > 255):
        span = f"({images.min()}, {images.max()})"
        return [
            f"{name} goes from {images.min()} to {images.max()}; expected 0 to 255. Save "
            f"numpy.interp(images, {span}, (0, 255)).round().astype('uint8') if these are grey "
            "values of more than 8 bits."
        ]
    return []


def _row_problems(name: str, values: str, fits: Any, noun: str = "row") -> list[str]:
    """Which rows of an array do not fit, (N,) bool; empty where all do."""
    rows = np.flatnonzero(~fits)
    shown = join_names([row_id(row) for row in rows[:5]])
    return [f"{name} has {values} in {plural(len(rows), noun)}: {shown}."] if len(rows) else []


def _label_problems(kind: str, name: str, labels: np.ndarray) -> list[str]:
    dimensions = labels.ndim
    allowed, shape, type_kinds, types = _LABELS[kind]
    if dimensions not in allowed or (dimensions == 2 and not labels.shape[1]):
        hint = _RESHAPE.get((kind, dimensions), "")
        return [received(f"shape of {name}", labels.shape, shape, hint)]
    if labels.dtype.kind not in type_kinds:
        return [received(f"type of {name}", str(labels.dtype), types)]
    if kind == "sets":
        fits = np.isin(labels, (0, 1)).all(axis=1)
        return _row_problems(name, "other values than 0 and 1", fits)
    if kind == "numbers":
        values = labels.reshape(len(labels), -1).astype(np.float64)
        fits = (np.abs(values) <= LARGEST).all(axis=1)
        return _row_problems(name, "NaN, infinite values, or some that 32 bits cannot hold,", fits)
    if labels.dtype.kind == "i" and len(labels) and labels.min() < 0:
        count = int((labels < 0).sum())
        return [
            f"{name} has {count} negative labels, such as {labels.min()}: they often mean "
            "`unknown`. Leave those rows out, or give them a name."
        ]
    if labels.dtype.kind in "SU" and (np.char.strip(labels) == labels.dtype.type()).any():
        return [f"{name} has empty class names."]
    return []


def _name_problems(config: ArraysData, names: np.ndarray, labels: np.ndarray) -> list[str]:
    """What is wrong with the names of K labels or numbers."""
    key, width = config.name_key, labels.shape[1] if labels.ndim == 2 else 1
    if names.shape != (width,) or names.dtype.kind not in "SU":
        shown = f"{names.dtype} {names.shape}"
        return [received(key, shown, f"texts of shape ({width},), a name per column")]
    stripped = [name.strip() for name in _texts(names)]
    if not all(stripped) or len(set(stripped)) < width:
        return [f"{key} has empty or duplicate names."]
    return []
