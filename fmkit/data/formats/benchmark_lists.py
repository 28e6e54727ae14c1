"""Lists of public data sets of photos, as rows: several files that belong together by an id.

    CUB-200, NABirds        images.txt, image_class_labels.txt, train_test_split.txt, classes.txt
    CelebA                  list_attr_celeba.csv or .txt, list_eval_partition
    Oxford-IIIT Pet         annotations/list.txt, trainval.txt, test.txt
    Oxford Flowers          imagelabels.mat, setid.mat
    Stanford Dogs           file_list.mat, train_list.mat, test_list.mat
    Food-101                meta/classes.txt, labels.txt, train.txt, test.txt
    FGVC-Aircraft           variants.txt, images_variant_train.txt, _val.txt, _test.txt

Formats: the README of each. One file of a set stands for all; a row has its split.
"""

import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.data.findings import UnusableInput
from fmkit.data.formats.json_records import Record

IMAGE, CLASS = "image", "class"
"""Columns of the rows, but for CelebA's, which has its own."""

_PARTITION = {"0": "train", "1": "val", "2": "test"}  # CelebA's list_eval_partition
_IS_TRAINING = {"1": "train", "0": "test"}  # CUB's train_test_split
_SPECIES = {"1": "cat", "2": "dog"}
_FOLDERS = ("annotations", "Anno", "meta", "data")
_LARGEST = 2**26  # bytes of a .mat

_Rows = Iterator[tuple[dict[str, Any], str]]


def benchmark_list(folder: Path) -> Path | None:
    """The file in a folder that stands for the lists of a public data set; None without one."""
    for place in (folder, *(folder / name for name in _FOLDERS)):
        for name in _READERS:
            if is_benchmark_list(place / name):
                return place / name
    return None


def is_benchmark_list(path: Path) -> bool:
    """Whether a file stands for the lists of a public data set, by the names of those beside it."""
    if path.name not in _READERS or not path.is_file():
        return False
    _, beside = _READERS[path.name]
    return all(any(place.joinpath(name).is_file() for place in _places(path)) for name in beside)


def _places(path: Path) -> tuple[Path, Path]:
    """Where the other lists of a data set are: CelebA has them in `Anno` and `Eval`."""
    return path.parent, path.parent.parent / "Eval"


def benchmark_records(path: Path) -> Iterator[Record]:
    """The rows of a public data set (see `is_benchmark_list`).

    Raises:
        UnusableInput: a list cannot be read, or lacks an entry.
    """
    rows, _ = _READERS[path.name]
    try:
        for number, (row, split) in enumerate(rows(path), start=1):
            yield Record(number, row, split=split)
    except (OSError, KeyError, IndexError, ValueError, TypeError, NotImplementedError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UnusableInput("not_text", f"its lists do not belong together ({reason})") from None


def _pairs(path: Path) -> dict[str, str]:
    """The lines of a list by their first word; none where the file is missing."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return {key: rest.strip() for key, _, rest in (line.strip().partition(" ") for line in lines)}


def _cub_rows(path: Path) -> _Rows:
    labels = _pairs(path.with_name("image_class_labels.txt"))
    splits, names = (
        _pairs(path.with_name(f"{name}.txt")) for name in ("train_test_split", "classes")
    )
    for key, image in _pairs(path).items():
        if key:
            label = labels[key]
            yield (
                {IMAGE: image, CLASS: names.get(label, label)},
                _IS_TRAINING.get(splits.get(key, ""), ""),
            )


def _celeba_rows(path: Path) -> _Rows:
    lists = [place / f"list_eval_partition{path.suffix}" for place in _places(path)]
    splits = {row[0]: row[1] for row in _cells(next(filter(Path.is_file, lists)))}
    header, *rows = _cells(path)
    header = header if header[0] == "image_id" else ["image_id", *header]
    for row in rows:
        yield dict(zip(header, row, strict=True)), _PARTITION.get(splits.get(row[0], ""), "")


def _cells(path: Path) -> list[list[str]]:
    """The rows of CelebA's lists, which are a CSV, or texts with a number of rows above."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [*csv.reader(file)] if path.suffix == ".csv" else [line.split() for line in file]
    return [row for row in rows if len(row) > 1]


def _pet_rows(path: Path) -> _Rows:
    splits = {
        name: split
        for split, file in (("train", "trainval.txt"), ("test", "test.txt"))
        for name in _pairs(path.with_name(file))
    }
    for name, numbers in _pairs(path).items():
        if name and not name.startswith("#"):
            species = _SPECIES[numbers.split()[1]]
            row = {IMAGE: f"{name}.jpg", CLASS: name.rpartition("_")[0], "species": species}
            yield row, splits.get(name, "")


def _flower_rows(path: Path) -> _Rows:
    ids = _mat(path.with_name("setid.mat"))
    splits = {
        int(number): split
        for key, split in (("trnid", "train"), ("valid", "val"), ("tstid", "test"))
        for number in ids[key].ravel()
    }
    for number, label in enumerate(_mat(path)["labels"].ravel(), start=1):
        yield {IMAGE: f"image_{number:05d}.jpg", CLASS: str(int(label))}, splits.get(number, "")


def _dog_rows(path: Path) -> _Rows:
    for split in ("train", "test"):
        for cell in _mat(path.with_name(f"{split}_list.mat"))["file_list"].ravel():
            image = str(cell.item() if isinstance(cell, np.ndarray) else cell)
            yield {IMAGE: image, CLASS: image.partition("/")[0]}, split


def _food_rows(path: Path) -> _Rows:
    for split in ("train", "test"):
        for name in _pairs(path.with_name(f"{split}.txt")):
            if name:
                yield {IMAGE: f"{name}.jpg", CLASS: name.partition("/")[0]}, split


def _aircraft_rows(path: Path) -> _Rows:
    for split in ("train", "val", "test"):
        columns = {
            column: _pairs(path.with_name(f"images_{kind}_{split}.txt"))
            for column, kind in ((CLASS, "variant"), ("family",) * 2, ("manufacturer",) * 2)
        }
        for name, label in columns[CLASS].items():
            if name:
                others = {c: names[name] for c, names in columns.items() if name in names}
                yield {IMAGE: f"{name}.jpg", CLASS: label, **others}, split


def _mat(path: Path) -> Mapping[str, np.ndarray]:
    """The arrays of a file of MATLAB."""
    from scipy.io import loadmat

    if path.stat().st_size > _LARGEST:
        raise ValueError(f"{path.name} is larger than {_LARGEST:,} bytes")
    result: Mapping[str, np.ndarray] = loadmat(path)
    return result


_READERS: dict[str, tuple[Callable[[Path], _Rows], tuple[str, ...]]] = {
    "images.txt": (_cub_rows, ("image_class_labels.txt", "train_test_split.txt")),
    "list_attr_celeba.csv": (_celeba_rows, ("list_eval_partition.csv",)),
    "list_attr_celeba.txt": (_celeba_rows, ("list_eval_partition.txt",)),
    "list.txt": (_pet_rows, ("trainval.txt", "test.txt")),
    "imagelabels.mat": (_flower_rows, ("setid.mat",)),
    "classes.txt": (_food_rows, ("labels.txt", "train.txt", "test.txt")),
    "variants.txt": (_aircraft_rows, ("images_variant_train.txt", "images_variant_test.txt")),
    "file_list.mat": (_dog_rows, ("train_list.mat", "test_list.mat")),
}
"""By the file that stands for a data set, what reads it and the files that are beside it."""
