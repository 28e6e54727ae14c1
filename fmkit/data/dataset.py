"""A data set, listed and split: what every command starts from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fmkit.config.schema import DataConfig
from fmkit.data import splits, table
from fmkit.data.examples import Examples
from fmkit.errors import DataError, listed
from fmkit.spec import DataSpec


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
    examples = table.list_examples(config)
    found = splits.make_splits(examples, config.val_fraction, config.test_fraction, split_seed)
    return Dataset(examples, found, splits.describe(examples, found))


def match_classes(examples: Examples, classes: tuple[str, ...]) -> np.ndarray:
    """Labels in the order of a run's classes, (N,), matched by name.

    Raises:
        DataError: a class is missing or unknown; both are named.
    """
    missing = [each for each in classes if each not in examples.classes]
    extra = [each for each in examples.classes if each not in classes]
    if missing or extra:
        problems = []
        if missing:
            problems.append(f"the data has no {listed([repr(each) for each in missing], 10)}")
        if extra:
            problems.append(f"the run does not know {listed([repr(each) for each in extra], 10)}")
        raise DataError(
            f"classes do not match: {'; '.join(problems)}.",
            f"The run was trained on {listed(classes, 10)}. Classes are matched by name.",
        )
    order = np.array([classes.index(each) for each in examples.classes], np.int32)
    return order[examples.labels]
