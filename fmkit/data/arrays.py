"""Images and labels in one `.npz` file.

Pixels are whole numbers from 0 to 255. Floats are refused, not scaled: whether 0.0 to 1.0 means the
full range cannot be seen in the file, and a wrong guess would go unnoticed until deployment.
"""

from __future__ import annotations

import math
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from fmkit import memory
from fmkit.config.data_schema import ArraysData
from fmkit.data import check
from fmkit.data.examples import Examples, ImageArray, from_names
from fmkit.errors import DataError, all_at_once, listed, received

_SHAPES = "(N, H, W), (N, H, W, 1), (N, H, W, 3) or (N, H, W, 4)"


def list_examples(config: ArraysData) -> Examples:
    """The images of `config.root`, each under the id `row-000012` of its place.

    Raises:
        DataError: the file, a key, a shape or a value is wrong; all problems at once.
    """
    path = check.existing(config.root, "file")
    images, labels = _read(path, [config.image_key, config.label_key])
    problems = [*_image_problems(config, images), *_label_problems(config, labels)]
    if not problems and len(images) != len(labels):
        problems.append(
            f"{config.image_key} has {len(images)} rows, {config.label_key} {len(labels)}."
        )
    if problems:
        raise DataError(all_at_once([f"{path.name}: {each}" for each in problems]))
    return from_rows(images, labels)


def from_rows(
    images: np.ndarray, labels: np.ndarray, classes: tuple[str, ...] | None = None
) -> Examples:
    """Examples from arrays that were checked.

    Args:
        images: (N, H, W) or (N, H, W, C), whole numbers from 0 to 255.
        labels: (N,), whole numbers or texts.
        classes: their names in order; empty means the labels as text, numbers in numeric order.
    """
    values, numbers = np.unique(labels, return_inverse=True)
    names = [each.decode() if isinstance(each, bytes) else str(each) for each in values.tolist()]
    rows = [f"row-{index:06d}" for index in range(len(images))]
    pixels = images * np.uint8(255) if images.dtype == bool else images.astype(np.uint8, copy=False)
    return from_names(
        rows, [names[each] for each in numbers], ImageArray(pixels), classes=classes or tuple(names)
    )


def _read(path: Path, keys: list[str]) -> list[np.ndarray]:
    problems, arrays = [], []
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise DataError(f"{path} holds a single array: save both with numpy.savez.")
        with file:
            for key in keys:
                if key not in file.files:
                    problems.append(received(f"{path.name}, key", key, file.files))
                    continue
                wrong = _header_problem(file, key)
                if wrong:
                    problems.append(f"{path.name}, {key}: {wrong}")
                else:
                    arrays.append(file[key])
    except (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError) as error:
        raise DataError(f"{path} is no readable .npz file: {error}") from None
    if problems:
        hint = "Name the arrays with data.image_key and data.label_key."
        raise DataError(all_at_once(problems), hint)
    return arrays


def _header_problem(file: np.lib.npyio.NpzFile, key: str) -> str:
    """Why an array must not be read, by its header; empty when it may be.

    A header costs its writer nothing: without a look at it, 100 bytes could ask for all memory.
    """
    archive = file.zip
    if not isinstance(archive, zipfile.ZipFile):
        return ""
    member = key if key in archive.namelist() else f"{key}.npy"
    with archive.open(member) as stream:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(stream)
    if dtype.hasobject:
        return "it holds Python objects, and reading those would run code; save plain numbers."
    needed, there = math.prod(shape) * dtype.itemsize, archive.getinfo(member).file_size
    if needed > there:
        return f"it says {shape} {dtype}, {needed:,} bytes, and {there:,} bytes are there."
    if needed > (memory.free() or sys.maxsize):
        return f"it would take {needed / 2**30:.1f} GiB of memory, more than is free."
    return ""


def _image_problems(config: ArraysData, images: np.ndarray) -> list[str]:
    name = config.image_key
    shape_fits = images.ndim == 3 or (images.ndim == 4 and images.shape[-1] in (1, 3, 4))
    if not shape_fits or 0 in images.shape:
        hint = "Channels come last." if images.ndim == 4 and images.shape[1] in (1, 3) else ""
        return [received(f"shape of {name}", images.shape, _SHAPES, hint)]
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        rows = np.flatnonzero(~np.isfinite(images).reshape(len(images), -1).all(axis=1))
        shown = listed([f"row-{row:06d}" for row in rows[:5]])
        return [f"{name} has NaN or infinite values in {len(rows)} images: {shown}."]
    if images.dtype.kind == "f":
        low, high = float(images.min()), float(images.max())
        scale = "images * 255" if high <= 1 else "images"
        return [
            f"{name} is {images.dtype} from {low:g} to {high:g}; expected whole numbers from 0 to "
            f"255. Save numpy.round({scale}).astype('uint8') if that is what they mean."
        ]
    if images.dtype.kind not in "uib":
        return [received(f"type of {name}", str(images.dtype), "uint8")]
    if images.dtype.kind != "b" and (images.min() < 0 or images.max() > 255):
        return [f"{name} goes from {images.min()} to {images.max()}; expected 0 to 255."]
    return []


def _label_problems(config: ArraysData, labels: np.ndarray) -> list[str]:
    name = config.label_key
    if labels.ndim != 1:
        hint = "One-hot rows: save labels.argmax(axis=1)." if labels.ndim == 2 else ""
        return [received(f"shape of {name}", labels.shape, "(N,)", hint)]
    if labels.dtype.kind not in "uibSU":
        return [received(f"type of {name}", str(labels.dtype), "whole numbers or texts")]
    if labels.dtype.kind == "i" and len(labels) and labels.min() < 0:
        count = int((labels < 0).sum())
        return [
            f"{name} has {count} negative labels, such as {labels.min()}: they often mean "
            "`unknown`. Leave those rows out, or give them a name."
        ]
    if labels.dtype.kind in "SU" and (np.char.strip(labels) == labels.dtype.type()).any():
        return [f"{name} has empty class names."]
    return []
