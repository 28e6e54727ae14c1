"""A data set, listed and split: what every command starts from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from fmkit.config.schema.data import DataConfig
from fmkit.core.errors import DataError, join_names
from fmkit.core.types import DataSpec
from fmkit.data import splits
from fmkit.data.examples import Examples
from fmkit.data.sources import registry as source_registry
from fmkit.data.targets import normalise_name


@dataclass(frozen=True)
class Dataset:
    """Examples, which of them are in which split, and what the whole looks like.

    Attributes:
        examples: all of them, in a stable order.
        splits: by split's name, sorted indices into `examples`.
        spec: classes, counts, fingerprints.
    """

    examples: Examples
    splits: dict[str, np.ndarray]
    spec: DataSpec


def read(config: DataConfig, split_seed: int) -> Dataset:
    """List the examples and split them. No file is opened; `admission` looks at them, too.

    Raises:
        DataError: what is wrong with the data, all at once.
    """
    examples = source_registry.list_examples(config)
    found = splits.make_splits(
        examples, config.val_fraction, config.test_fraction, split_seed, config.shots
    )
    return Dataset(examples, found, splits.describe(examples, found))


def match_classes(examples: Examples, classes: tuple[str, ...]) -> np.ndarray:
    """Labels in the order of a run's classes, (N,), matched by name and never by position.

    Names that look the same are the same: an accented letter may be one character or two, as it is
    on macOS, and space around a name does not count. `Cat` and `cat` are two classes.

    Raises:
        DataError: a class is missing or unknown; both are named.
    """
    known = {normalise_name(each): number for number, each in enumerate(classes)}
    there = {normalise_name(each): each for each in examples.classes}
    missing = [each for each in classes if normalise_name(each) not in there]
    extra = [name for each, name in there.items() if each not in known]
    if missing or extra:
        problems = []
        if missing:
            problems.append(f"the data has no {join_names([ascii(each) for each in missing], 10)}")
        if extra:
            problems.append(
                f"the run does not know {join_names([ascii(each) for each in extra], 10)}"
            )
        raise DataError(
            f"classes do not match: {'; '.join(problems)}.",
            f"The run was trained on {join_names(classes, 10)}. Classes are matched by name, "
            f"{_nearly(missing, extra)}",
        )
    if len(there) < len(examples.classes):
        twins = [ascii(each) for each in examples.classes if each not in there.values()]
        raise DataError(f"classes do not match: {join_names(twins)} is there in two spellings.")
    order = np.array([known[normalise_name(each)] for each in examples.classes], np.int32)
    return order[examples.labels]


def in_order_of_names(data: Dataset, learned: DataSpec) -> Dataset:
    """The same data with its annotations in the order of a run's names.

    Args:
        data: what is to be judged.
        learned: what the run's data looked like.

    Raises:
        DataError: the data is annotated otherwise, or a name is missing or unknown.
    """
    found = data.examples.annotations
    if found is None or found.kind != learned.annotations:
        came = "has none" if found is None else f"has {found.kind}"
        raise DataError(f"the run learned {learned.annotations}, and the data {came}.")
    if found.names == learned.names:
        return data
    examples = dataclasses.replace(data.examples, annotations=found.matched(learned.names))
    return Dataset(examples, data.splits, splits.describe(examples, data.splits))


def _nearly(missing: list[str], extra: list[str]) -> str:
    """A hint where names differ in upper and lower case alone."""
    lower = {each.casefold(): each for each in extra}
    pairs = [(each, lower[each.casefold()]) for each in missing if each.casefold() in lower]
    if not pairs:
        return "letter by letter."
    told = join_names([f"{one!r} is not {other!r}" for one, other in pairs], 5)
    return f"upper and lower case count: {told}."


def in_order_of(data: Dataset, classes: tuple[str, ...]) -> Dataset:
    """The same data with a run's classes in the run's order; as it is where they are not the same.

    So a head that was trained on a table goes on with a folder that lists its classes otherwise.
    """
    if data.examples.classes == classes:
        return data
    try:
        labels = match_classes(data.examples, classes)
    except DataError:
        return data
    examples = dataclasses.replace(data.examples, labels=labels, classes=classes)
    return Dataset(examples, data.splits, splits.describe(examples, data.splits))


def in_names_of(data: Dataset, learned: DataSpec) -> Dataset:
    """The same data with the names of annotations in a run's order; as it is if they differ."""
    known = data.examples.annotations
    if known is None or known.kind != learned.annotations or known.names == learned.names:
        return data
    if {normalise_name(e) for e in known.names} != {normalise_name(e) for e in learned.names}:
        return data
    return in_order_of_names(data, learned)
