"""What is wrong with a data set, found before anything is trained."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from fmkit.config.schema.data import DataConfig, ImageFolderData, TextFolderData
from fmkit.core.errors import join_names

SHOWN = 10
"""Names that an error shows before it only counts."""


def splits_to_make(config: DataConfig) -> int:
    """How many splits the fractions of a config ask for, training included."""
    return 1 + (config.val_fraction > 0) + (config.test_fraction > 0)


def class_problems(
    labels: np.ndarray, classes: Sequence[str], splits: np.ndarray | None, config: DataConfig
) -> list[str]:
    """Why these classes cannot be learned: only one, or too few examples for the splits.

    Nothing is asked of data without classes.
    """
    if not classes:
        return []
    problems = []
    more = "Add examples of another one."
    if isinstance(config, ImageFolderData):
        more = "Add a folder of another one, or name the folder above in data.root."
    if isinstance(config, TextFolderData):
        more = "Add a folder or a file of another one, or name the folder above in data.root."
    if len(classes) == 1:
        problems.append(f"There is only one class, {classes[0]!r}: nothing can be learned. {more}")
    if splits is None:
        small = small_class_message(labels, classes, splits_to_make(config))
        if small:
            cause = "" if config.limit is None else " or a larger data.limit"
            meant = "".join(
                f" Is {classes[rare]!r} a typing error for {classes[large]!r}?"
                for rare, large in probable_typos(labels, classes)[:SHOWN]
            )
            problems.append(f"{small} Add some{cause}, or remove the class.{meant}")
    return problems


def small_class_message(labels: np.ndarray, classes: Sequence[str], needed: int) -> str:
    """One sentence on classes with fewer than `needed` examples, one per split; empty if none."""
    if not classes:
        told = f"{needed} splits need {needed} examples at least; there are {len(labels)}."
        return told if len(labels) < needed else ""
    counts = np.bincount(labels, minlength=len(classes))
    pairs = zip(classes, counts.tolist(), strict=True)
    small = [f"{name!r} has {count}" for name, count in pairs if count < needed]
    if not small:
        return ""
    return (
        f"A class needs at least {needed} examples, one for each of {needed} splits: "
        f"{join_names(small, SHOWN)}."
    )


RARE = 10
"""A class is rare beside one with this many times its examples."""

_SHORT, _LONG = 4, 8  # letters from which one and two edits make another name unlikely
_MAX_PAIRS = 50_000  # that are compared; some seconds


def probable_typos(labels: np.ndarray, classes: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs (a rare class, the frequent class that it may mean), by their positions.

    Names that differ in numbers or in upper and lower case alone are left out, and so are short
    ones, which differ by little anyway, and those where one is longer by two letters and more, as
    `active` and `inactive` are.

    Args:
        labels: (N,) positions in `classes`.
        classes: their names.
    """
    counts = np.bincount(labels, minlength=len(classes))
    names = [each.casefold() for each in classes]
    order = np.argsort(-counts, kind="stable").tolist()
    found: list[tuple[int, int]] = []
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
                return found
            most = 1 if len(names[rare]) < _LONG else 2
            if 0 < edit_distance(names[rare], names[frequent]) <= most:
                found.append((rare, frequent))
                break
    return found


def _comparable(one: str, other: str) -> bool:
    """Whether two names may be the same but for a typing error, at a glance."""
    if abs(len(one) - len(other)) > 1 or len(one) > 200 or len(other) < _SHORT:
        return False
    if one[0] != other[0] and one[-1] != other[-1]:
        return False
    return re.sub(r"\d+", "0", one) != re.sub(r"\d+", "0", other)


def edit_distance(one: str, other: str) -> int:
    """Letters to insert, delete, replace or swap with the next until two texts are equal.

    The restricted edit distance of Damerau (1964), in which no letter is edited twice.
    """
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        before, last, row = row, before, [i]
        for j, wanted in enumerate(other, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]
