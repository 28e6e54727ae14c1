"""Classes that cannot be learned: only one, too few examples for the splits, or probable typos."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fmkit.config.saved_config import shell_setting
from fmkit.config.schema.data import DataConfig
from fmkit.core.errors import join_names
from fmkit.core.files import display_path
from fmkit.data.examples import Examples

SHOWN = 10
"""Names that an error shows before it only counts."""


_ANOTHER_CLASS = "Add examples of another one; of class folders, data.root is the folder above."
_NESTED = 3  # parts of the path of a file in a folder of a class folder


def class_problems(examples: Examples, config: DataConfig) -> list[str]:
    """Why the classes cannot be learned: only one, or too few examples for the splits.

    Data without classes has no such problems. Where splits are named or groups stay together, no
    class has to be in every split.
    """
    labels, classes = examples.labels, examples.classes
    are_divided = examples.splits is None and examples.groups is None
    if not classes:
        return []
    problems = []
    if len(classes) == 1:
        problem = f"There is only one class, {classes[0]!r}: nothing can be learned. "
        problems.append(problem + (_inner_folders_hint(examples, config) or _ANOTHER_CLASS))
    split_count = 1 + (config.val_fraction > 0) + (config.test_fraction > 0)
    if are_divided and (small := small_class_message(labels, classes, split_count)):
        larger_limit = "" if config.limit is None else " or a larger data.limit"
        typos = "".join(
            f" Is {classes[rare]!r} a typo for {classes[frequent]!r}?"
            for rare, frequent in probable_typos(labels, classes)[:SHOWN]
        )
        problems.append(f"{small} Add some{larger_limit}, or remove the class.{typos}")
        if numbers := number_classes_message(labels, classes):
            problems = [*problems[:-1], numbers, problems[-1]]
    return problems


def _inner_folders_hint(examples: Examples, config: DataConfig) -> str:
    """That the folders in the only class folder may be the classes; empty where it has none."""
    name = examples.classes[0]
    parts = [path.split("/") for path in examples.ids]
    inner = {folders[1] for folders in parts if len(folders) >= _NESTED and folders[0] == name}
    if len(inner) < 2 or any(len(folders) < _NESTED for folders in parts):
        return ""
    inside = display_path(Path(str(getattr(config, "root", ""))) / name)
    root = shell_setting("data.root", inside)
    names = join_names(sorted(inner), SHOWN)
    return f"If the folders in it ({names}) are the classes or splits: {root}"


def small_class_message(labels: np.ndarray, classes: Sequence[str], needed: int) -> str:
    """One sentence on classes with fewer than `needed` examples, one per split; empty if none."""
    counts = np.bincount(labels, minlength=len(classes))
    pairs = zip(classes, counts.tolist(), strict=True)
    small = [f"{name!r} has {count}" for name, count in pairs if count < needed]
    if not small:
        return ""
    return (
        f"A class needs at least {needed} examples, one for each of {needed} splits: "
        f"{join_names(small, SHOWN)}."
    )


_FEW = 10  # numbers with decimals that may still be names
_MANY = 20  # whole numbers, likewise


def number_classes_message(labels: np.ndarray, classes: Sequence[str]) -> str:
    """One sentence where classes are probably quantities and not names; empty if they are not.

    Whole numbers that follow one another from 0 or 1 are taken for numbers of classes.
    """
    names = [classes[label] for label in np.unique(labels)]
    numbers = sorted(number for name in names if (number := as_number(name)) is not None)
    if len(numbers) < max(len(names), _FEW):
        return ""
    if all(number.is_integer() for number in numbers):
        first = numbers[0]
        follow = first in (0, 1) and numbers == [first + k for k in range(len(numbers))]
        if follow or len(numbers) < _MANY:
            return ""
    return (
        f"All {len(names):,} classes are numbers, such as {join_names(names[:3])}: if they are "
        "quantities and not names, task=regression learns them."
    )


def as_number(name: str) -> float | None:
    """The finite number that a class name is, or None."""
    try:
        number = float(name) if name.isascii() and "_" not in name else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


RARE = 10
"""A class is rare compared with one that has this many times its examples."""

_SHORT, _LONG = 4, 8  # letters from which one and two edits make another name unlikely
_MAX_PAIRS = 50_000  # comparisons; some seconds
_LONGEST = 200  # letters of a name that is compared


def probable_typos(labels: np.ndarray, classes: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs (a rare class, the frequent class that it may mean), by their positions.

    Names that differ only in numbers or in upper and lower case are left out, and so are short
    ones, which differ by little anyway, and those where one is longer by two letters or more, as
    `active` and `inactive` are.

    Args:
        labels: (N,) positions in `classes`.
    """
    counts = np.bincount(labels, minlength=len(classes))
    names = [name.casefold() for name in classes]
    order = np.argsort(-counts, kind="stable").tolist()
    typos: list[tuple[int, int]] = []
    pairs = 0
    for rare in order[::-1]:
        if not counts[rare] or len(names[rare]) < _SHORT:
            continue
        for frequent in order:
            if counts[frequent] < RARE * counts[rare]:
                break
            if not _comparable(names[rare], names[frequent]):
                continue
            pairs += 1
            if pairs > _MAX_PAIRS:
                return typos
            most = 1 if len(names[rare]) < _LONG else 2
            if edit_distance(names[rare], names[frequent]) <= most:
                typos.append((rare, frequent))
                break
    return typos


def _comparable(first: str, second: str) -> bool:
    """A cheap test that two names may differ by a typo only."""
    if abs(len(first) - len(second)) > 1 or len(first) > _LONGEST or len(second) < _SHORT:
        return False
    if first[0] != second[0] and first[-1] != second[-1]:
        return False
    return re.sub(r"\d+", "0", first) != re.sub(r"\d+", "0", second)


def edit_distance(first: str, second: str) -> int:
    """Letters to insert, delete, replace or swap with the next until two texts are equal.

    The restricted edit distance of Damerau (1964), in which no letter is edited twice.
    """
    earlier: list[int] = []  # the row before the previous one, for swaps
    row = list(range(len(second) + 1))
    for i, letter in enumerate(first, start=1):
        previous, before_previous, row = row, earlier, [i]
        for j, target in enumerate(second, start=1):
            cost = min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (letter != target))
            if i > 1 and j > 1 and letter == second[j - 2] and first[i - 2] == target:
                cost = min(cost, before_previous[j - 2] + 1)
            row.append(cost)
        earlier = previous
    return row[-1]
