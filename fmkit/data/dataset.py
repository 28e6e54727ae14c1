"""A data set that is listed and split: the input of every command."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from fmkit.config.schema.data import DataConfig
from fmkit.core import console
from fmkit.core.errors import DataError, join_names
from fmkit.core.types import DataSpec
from fmkit.data import splits
from fmkit.data.content import images
from fmkit.data.examples import Examples
from fmkit.data.sources import registry as source_registry
from fmkit.data.targets import normalise_name, refuse_mismatch


@dataclass(frozen=True)
class Dataset:
    """Examples, their splits, and the specification of the whole."""

    examples: Examples  # all of them, in a stable order
    splits: dict[str, np.ndarray]  # by split name, sorted indices into `examples`
    spec: DataSpec  # classes, counts, fingerprints

    def replace(self, **changes: object) -> Dataset:
        """The same data set with other attributes of its examples, and a new specification."""
        examples = dataclasses.replace(self.examples, **changes)  # type: ignore[arg-type]
        return Dataset(examples, self.splits, splits.describe(examples, self.splits))


def read(config: DataConfig, split_seed: int) -> Dataset:
    """List the examples and split them. No file is opened; `data/load.py` inspects files, too.

    Raises:
        DataError: what is wrong with the data, all at once.
    """
    examples = source_registry.list_examples(config)
    made = splits.make_splits(
        examples, config.val_fraction, config.test_fraction, split_seed, config.shots
    )
    return Dataset(examples, made, splits.describe(examples, made))


def with_grey_range(data: Dataset, chosen: list[float] | None, learned: DataSpec) -> Dataset:
    """The same data with its grey photos of more than 8 bits scaled as a run scaled its own, or by
    the range that was chosen instead."""
    grey_range = (chosen[0], chosen[1]) if chosen else learned.grey_range
    content = images.with_grey_range(data.examples.content, grey_range)
    return data if content is data.examples.content else data.replace(content=content)


def match_classes(
    examples: Examples, classes: tuple[str, ...], indices: np.ndarray | None = None
) -> np.ndarray:
    """Labels in the order of a run's classes, (N,), matched by name and never by position.

    Names that look the same are the same: an accented letter may be one character or two, as it is
    on macOS, and white space around a name does not count. `Cat` and `cat` are two classes. A class
    of the run may be absent: a few new examples need not have all.

    Args:
        indices: of the examples that count, None: all. The others may have classes that the run
            does not know; their labels are -1.

    Raises:
        DataError: a class was not in the training data; all are listed.
    """
    position = {normalise_name(name): index for index, name in enumerate(classes)}
    spelling = {normalise_name(name): name for name in examples.classes}
    missing = [name for name in classes if normalise_name(name) not in spelling]
    if not examples.classes:
        refuse_mismatch("classes", classes, missing, [], "The data has no classes.")
    counted = range(len(examples.classes)) if indices is None else examples.labels[indices]
    extra = [examples.classes[label] for label in np.unique(counted)]
    extra = [name for name in extra if normalise_name(name) not in position]
    if extra:
        lower, hint = {name.casefold(): name for name in extra}, "exactly."
        pairs = [(name, lower[name.casefold()]) for name in missing if name.casefold() in lower]
        if pairs:
            differences = join_names([f"{name!r} is not {other!r}" for name, other in pairs], 5)
            hint = f"and upper and lower case differ: {differences}."
        hint = f"Classes are matched by name, {hint}"
        refuse_mismatch("classes", classes, missing, extra, hint)
    if len(spelling) < len(examples.classes):
        repeated = [ascii(name) for name in examples.classes if name not in spelling.values()]
        verb = "has" if len(repeated) == 1 else "have"
        raise DataError(f"classes do not match: {join_names(repeated)} {verb} two spellings.")
    order = [position.get(normalise_name(name), -1) for name in examples.classes]
    return np.array(order, np.int32)[examples.labels]


def align_annotations(data: Dataset, learned: DataSpec) -> Dataset:
    """The same data with its annotations in the order of the names that a run learned.

    Raises:
        DataError: the annotations are of another kind, a name is missing, or it was not in the
            training data.
    """
    annotations = data.examples.annotations
    if annotations is None or annotations.kind != learned.annotations:
        has = "has none" if annotations is None else f"has {annotations.kind}"
        raise DataError(f"the run learned {learned.annotations}, and the data {has}.")
    if annotations.names != learned.names:
        annotations = annotations.align(learned.names)
        data = data.replace(annotations=annotations)
    for name, unit in getattr(annotations, "units", {}).items():
        if learned.units.get(name, unit) != unit:
            console.warning(unit_difference(name, learned.units[name], unit))
    return data


def unit_difference(name: str, learned: str, unit: str) -> str:
    """That a run learned numbers in another unit than the data's, which are read as they are.

    Args:
        name: of the numbers.
        learned: their unit in the run's training data, empty for plain numbers.
        unit: likewise in the data.
    """
    shown = [f"in {text}" if text else "without a unit" for text in (learned, unit)]
    hint = " (Excel's 55% is 0.55, as it stores it)" if "%" in (learned, unit) else ""
    return (
        f"{name}: the run learned numbers {shown[0]}, and these are {shown[1]}{hint}. They are "
        "compared as they stand; convert them first unless they mean the same."
    )


def align_present_annotations(
    data: Dataset, learned: DataSpec
) -> tuple[Dataset, np.ndarray | None]:
    """As `align_annotations`, but numbers and labels with columns of their own may be missing.

    Returns:
        The data with the names that it has, in the run's order, and their positions among the
        run's names, (K,); None: it has all.

    Raises:
        DataError: the annotations are of another kind, all names are missing, or one was not in
            the training data.
    """
    annotations = data.examples.annotations
    if annotations is None or annotations.kind not in ("numbers", "sets"):
        return align_annotations(data, learned), None
    names = {normalise_name(name) for name in annotations.names}
    positions = [k for k, name in enumerate(learned.names) if normalise_name(name) in names]
    is_whole = len(positions) == len(learned.names)
    is_open = getattr(annotations, "is_open", False)
    if (
        annotations.kind != learned.annotations
        or is_whole
        or is_open
        or len(positions) < len(names)
    ):
        return align_annotations(data, learned), None
    present = dataclasses.replace(learned, names=tuple(learned.names[k] for k in positions))
    return align_annotations(data, present), np.array(positions)


def align_classes_if_same(data: Dataset, classes: tuple[str, ...]) -> Dataset:
    """The same data with its classes in a run's order; unchanged where the classes differ.

    So a head that was trained on a table continues with a folder that lists its classes in another
    order.
    """
    if data.examples.classes == classes:
        return data
    if set(map(normalise_name, data.examples.classes)) != set(map(normalise_name, classes)):
        return data
    try:
        labels = match_classes(data.examples, classes)
    except DataError:  # two spellings of one name
        return data
    return data.replace(labels=labels, classes=classes)


def align_annotations_if_same(data: Dataset, learned: DataSpec) -> Dataset:
    """The same data with its annotations in a run's order; unchanged where the names differ."""
    annotations = data.examples.annotations
    if annotations is None or annotations.kind != learned.annotations:
        return data
    same = set(map(normalise_name, annotations.names)) == set(map(normalise_name, learned.names))
    return align_annotations(data, learned) if same else data
