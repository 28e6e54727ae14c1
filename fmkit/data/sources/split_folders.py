"""Which folders and files are splits: above class folders as `train/cats`, or in them.

They are where their names or those of all their siblings say so (`split_names.py`), and one is of
training. What looks like a split and cannot be one is refused, what may be one is a warning.
"""

import contextlib
import itertools
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from fmkit.core.errors import join_names
from fmkit.core.files import display_path, is_ignored
from fmkit.data.class_checks import SHOWN
from fmkit.data.findings import Finding
from fmkit.data.split_names import (
    SPLIT_NAMES,
    are_parts,
    named_splits,
    split_of,
    split_of_name,
)
from fmkit.store import run_dir

_FIRST_WORD = re.compile(r"[a-z]+")
_TABLE = "or name each file and its class in a table."
_SAMPLE = 1000  # names of files in a folder that are looked at
_LEAST_SHARED = 2
"""Subfolders that all classes have, from which these may be the classes."""


def folder_splits(
    folders: Sequence[Path], is_data: Callable[[str], bool], class_files: bool
) -> tuple[dict[Path, str], list[Finding]]:
    """The split of each folder below the root, or nothing where the folders are classes.

    Args:
        folders: all of them.
        is_data: whether a file is of the data, by its path.
        class_files: a file may be a class.

    Returns:
        Split by folder, of which a lone subfolder (`seg_train/seg_train`) takes the place, and what
        contradicts or is doubtful.
    """
    named = {folder: split for folder in folders if (split := split_of_name(folder.name))}
    others = [folder.name for folder in folders if folder not in named]
    inside = {folder: subfolders(folder) for folder in named}
    nested = {folder: split for folder, split in named.items() if inside[folder]}
    is_exact = all(folder.name.lower() in SPLIT_NAMES for folder in named)
    names = join_names([folder.name for folder in named])
    if not named:
        return {}, _part_findings(folders)
    if not others:
        if nested and (is_exact or "train" in named.values() or len(named) == 1):
            return _without_lone_folders(named, is_data), []
        if class_files and _are_class_files(named):
            return named, []
        if is_exact or named_splits([folder.name for folder in named]):
            hold = "look like splits but hold no class folders"
            words = _first_words(named)
            why = f"{names} {hold}{words}: put a folder per class into each, {_TABLE}"
            if words:
                training = next((f for f, split in named.items() if split == "train"), folders[0])
                why += f" How to write that: fmkit finetune {display_path(training)}"
            return {}, [Finding("mixed_layout", "", why)]
        return {}, []
    # One class may be called `test`; two with folders inside are splits.
    shared = set.intersection(*(set(inside[folder]) for folder in nested)) if nested else set()
    if len(set(nested.values())) > 1 and (is_exact or shared):
        verb = "does" if len(others) == 1 else "do"
        subject = f"{join_names([folder.name for folder in nested])} look like splits"
        why = f"{subject}, {join_names(others, 5)} {verb} not: keep either split folders only, or "
        return {}, [Finding("mixed_layout", "", f"{why}class folders only.")]
    if named_splits([folder.name for folder in named]):
        why = f"{names} have names of splits, and are read as classes, as {join_names(others, 5)}"
        verb = "is" if len(others) == 1 else "are"
        return {}, [Finding("unclear_folders", "", f"{why} {verb} beside them.")]
    return {}, []


def _part_findings(folders: Sequence[Path]) -> list[Finding]:
    """That folders which are read as classes have names of parts of a data set."""
    names = [folder.name for folder in folders]
    if not are_parts(names):
        return []
    why = f"{join_names(names, 3)} have names of parts, by number or date, and are read as "
    why += "classes. Where they are not: put the photos into a folder for each class, "
    return [Finding("unclear_folders", "", why + _TABLE)]


def file_findings(paths: Sequence[Path]) -> list[Finding]:
    """That files which would be classes look like splits."""
    named = [path for path in paths if split_of_name(path.stem)]
    is_exact = all(path.stem.lower() in SPLIT_NAMES for path in paths)
    if not named or not (is_exact or named_splits([path.stem for path in named])):
        return []
    subject = join_names([path.name for path in named])
    why = f"{subject} look like splits, and here a file is a class: put a file per class into a "
    why += "folder per split, or make one table of all (data=text_table)."
    return [Finding("mixed_layout", "", why)]


def splits_in_classes(ids: Sequence[str]) -> tuple[list[str], list[Finding]]:
    """The split of each example, as in `cats/train/1.jpg`, or else as in `cats/train_1.jpg`.

    Args:
        ids: paths of the examples, relative to the root, all of them in class folders.

    Returns:
        Nothing where these are not splits, and what is doubtful: some classes have such
        folders, or all have the same ones, which may be the classes.
    """
    inner: dict[str, set[str]] = {}
    for name in ids:
        class_name, *folders, _ = name.split("/")
        inner.setdefault(class_name, set()).add(folders[0] if folders else "")
    distinct = sorted(set().union(*inner.values()))
    if named_splits(distinct):
        by_name = {name: split_of_name(name) for name in distinct}
        return [by_name[name.split("/", 2)[1]] for name in ids], []
    if splits := _splits_of_file_names(ids):
        return splits, []
    divided = [name for name, folders in inner.items() if named_splits(sorted(folders - {""}))]
    if divided:
        also = join_names(sorted(set().union(*(inner[name] for name in divided)) - {""}), 5)
        why = f"{join_names(divided, 3)}: in a class folder, {also} look like splits, and are not "
        why += "read as splits, since not all files of all classes are in such folders."
        return [], [Finding("unclear_folders", "", why)]
    shared = set.intersection(*inner.values()) if inner else set()
    if len(inner) > 1 and "" not in distinct and len(shared) >= _LEAST_SHARED:
        same = join_names(sorted(shared), 5)
        why = f"{join_names(sorted(inner), 5)} are read as the classes, and all have the folders "
        why += f"{same}. If those are the classes: name one of the upper folders in data.root, or "
        return [], [Finding("unclear_folders", "", f"{why}give all of them names of splits.")]
    return [], []


def _splits_of_file_names(ids: Sequence[str]) -> list[str]:
    """The split that the name of each file begins with; nothing where one has none."""
    splits = []
    for name in ids:
        word = _FIRST_WORD.match(name.rpartition("/")[2].lower())
        split = SPLIT_NAMES.get(word.group(), "") if word else ""
        if not split:
            return []
        splits.append(split)
    return splits if "train" in splits and len(set(splits)) > 1 else []


def splits_of_unlabelled(
    ids: Sequence[str], by_file_name: bool = False
) -> tuple[list[str], list[Finding]]:
    """The split of each file without a class, by the uppermost folder that it is in.

    Args:
        ids: paths of the files, relative to the root.
        by_file_name: a file's own name and the other folders above it count, too.

    Returns:
        Nothing where the fractions decide; and that only some files are in split folders.
    """
    if by_file_name:
        splits = [split_of(name) for name in ids]
    else:
        splits = [split_of_name(name.partition("/")[0]) if "/" in name else "" for name in ids]
    are_loose = not by_file_name and not all("/" in name for name in ids)
    if len({*splits} - {""}) < 2 or "train" not in splits or are_loose:
        return [], []
    if all(splits):
        return splits, []
    first = {split: name for name, split in reversed([*zip(ids, splits, strict=True)])}
    unnamed = first.pop("")
    why = (
        f"{join_names(sorted(first.values()))} look like parts of splits, and {unnamed} does not: "
    )
    why += "all are divided by data.val_fraction and test_fraction."
    return [], [Finding("unclear_folders", "", why)]


def table_findings(ids: Sequence[str]) -> list[Finding]:
    """That the paths in a table which names no splits say what they are."""
    if not splits_of_unlabelled(ids, by_file_name=True)[0]:
        return []
    why = "All paths in the table have the name of a split in them, and the table is divided by "
    why += "data.val_fraction and test_fraction. To keep the splits: data.split_column=COLUMN"
    return [Finding("unclear_folders", "", why)]


def _first_words(folders: Iterable[Path]) -> str:
    """The words that the names of files begin with, where they may be the classes, as a remark."""
    words: Counter[str] = Counter()
    for folder in folders:
        with contextlib.suppress(OSError):  # reported where it is listed
            names = (entry.name for entry in itertools.islice(os.scandir(folder), _SAMPLE))
            words.update(match.group() for match in map(_FIRST_WORD.match, names) if match)
    frequent = sorted(word for word, count in words.items() if count > 1)
    if not 1 < len(frequent) <= SHOWN:
        return ""
    return f" (their files' names begin with {join_names(frequent)})"


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in a folder that are not ignored; none where it cannot be listed."""
    try:
        return sorted(
            entry.name
            for entry in os.scandir(folder)
            if entry.is_dir()
            and not is_ignored(entry.name)
            and not run_dir.is_output(Path(entry.path))
        )
    except OSError:  # reported where it is listed
        return []


def _without_lone_folders(
    splits: Mapping[Path, str], is_data: Callable[[str], bool]
) -> dict[Path, str]:
    """Splits, with the lone folder in each in its place if all have the same or a split's name."""
    inner: dict[Path, str] = {}
    for folder, split in splits.items():
        names = subfolders(folder)
        if len(names) != 1 or any(is_data(str(path)) for path in folder.iterdir()):
            return dict(splits)
        inner[folder / names[0]] = split
    are_same = len({folder.name for folder in inner}) == 1
    are_splits = all(split_of_name(folder.name) == split for folder, split in inner.items())
    if not (are_same or are_splits) or not all(map(subfolders, inner)):
        return dict(splits)
    return _without_lone_folders(inner, is_data)


def _are_class_files(splits: Mapping[Path, str]) -> bool:
    """Whether splits without folders have a file per class: training then has every name."""
    stems: dict[bool, set[str]] = {True: set(), False: set()}
    for folder, split in splits.items():
        try:
            names = {path.stem for path in folder.iterdir() if not is_ignored(path.name)}
        except OSError:  # reported where it is listed
            return False
        stems[split == "train"] |= names
    return bool(stems[True]) and stems[False] <= stems[True]
