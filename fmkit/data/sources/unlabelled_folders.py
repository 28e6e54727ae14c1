"""Folders of a data set that have no class folders of their own, beside those that have.

Competitions and benchmarks have examples to predict (`test/1.jpg`, `seg_pred`) and texts without a
class (`train/unsup`), which are left out; archives a copy of the data set in itself, likewise; and
the classes of a split in a list, which is read: `val/val_annotations.txt` of Tiny-ImageNet,
`LOC_val_solution.csv` of ImageNet.
"""

import itertools
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from fmkit.config.saved_config import shell_setting
from fmkit.core.errors import join_names, plural
from fmkit.core.files import display_path
from fmkit.data.findings import Finding
from fmkit.data.sources.split_folders import subfolders
from fmkit.data.split_names import split_of_name

_UNLABELLED = re.compile(
    r"(.*[^a-z])?(pred(ict(ions?)?)?|unlabell?ed|unsup(ervised)?)([^a-z].*)?", re.IGNORECASE
)
_LISTS = (".txt", ".csv", ".tsv")
_SEPARATORS = re.compile(r"[\s,;]+")
_PROBED = 2000  # files of a folder by which it is known that none is of the data
_LARGEST = 2**28  # bytes of a list


def without_unlabelled(
    folders: Sequence[Path], is_data: Callable[[str], bool]
) -> tuple[list[Path], list[Finding]]:
    """Folders below the root but for copies of it and, beside splits, those without labels.

    Args:
        folders: all of them.
        is_data: whether a file is of the data, by its path.
    """
    names = {folder.name for folder in folders}
    has_training = any(split_of_name(name) == "train" for name in names)
    result, findings = [], []
    for folder in folders:
        others = names - {folder.name}
        if len(others) > 1 and others == {*subfolders(folder)}:
            why = f"{display_path(folder)} has the same folders as the one that it is in: left out."
            findings.append(Finding("unlabelled_folder", "", why))
        elif not has_training or split_of_name(folder.name):
            result.append(folder)
        elif is_unlabelled(folder.name):
            findings.append(left_out(folder, "has no labels, by its name"))
        elif not any(map(is_data, itertools.islice(_files_below(folder), _PROBED))):
            why = f"{display_path(folder)} has no file of the data: left out."
            findings.append(Finding("unlabelled_folder", "", why))
        else:
            result.append(folder)
    return result, findings


def _files_below(folder: Path) -> Iterator[str]:
    for parent, _, files in os.walk(folder):
        yield from (os.path.join(parent, name) for name in files)  # noqa: PTH118 - paths as texts


def is_unlabelled(name: str) -> bool:
    """Whether a folder holds examples without labels, by its name."""
    return _UNLABELLED.fullmatch(name) is not None


def unlabelled_classes(classes: Mapping[str, Collection[str]]) -> set[str]:
    """The folders in that of training which a held-out split lacks, and are none by their names.

    Args:
        classes: by split, the names of the folders in it.
    """
    training = classes.get("train", ())
    held_out = [names for split, names in classes.items() if split != "train" and names]
    names = {name for name in training if is_unlabelled(name)}
    names = {name for name in names if not any(name in others for others in held_out)}
    return names if held_out and len(training) - len(names) > 1 else set()


def is_flat(folders: Iterable[Path], classes: Collection[str]) -> bool:
    """Whether a split has no class folders: none, or a lone one of another name than classes."""
    names = [folder.name.casefold() for folder in folders]
    return not names or (len(names) == 1 and names[0] not in {*map(str.casefold, classes)})


def class_list(
    paths: Iterable[str], files: Sequence[str], classes: Collection[str]
) -> tuple[str, dict[str, str]]:
    """A list of files with a class each, and the class of each file in it.

    Args:
        paths: that may be the list.
        files: paths of the examples.
        classes: the names that count as classes.

    Returns:
        Path of the list, empty where none has a class for most files; class by file.
    """
    by_name = {name: file for file in files for name in (Path(file).stem, Path(file).name)}
    for path in paths:
        if not path.lower().endswith(_LISTS) or Path(path).stat().st_size > _LARGEST:
            continue
        result = {}
        with Path(path).open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                name, _, rest = _SEPARATORS.sub(" ", line.strip()).partition(" ")
                file = by_name.get(name.replace("\\", "/").rpartition("/")[2])
                if file is not None and (label := rest.partition(" ")[0]) in classes:
                    result[file] = label
        if 2 * len(result) > len(files):
            return path, result
    return "", {}


def left_out(folder: Path, why: str, names: Sequence[str] = ()) -> Finding:
    """That a folder of examples without classes is left out, and how to predict them."""
    shown = display_path(folder)
    files = f" ({join_names(names, 3)})" if names else ""
    command = f"fmkit predict run=last {shell_setting('input', shown)}"
    return Finding(
        "unlabelled_folder", "", f"{shown} {why}{files}: left out. To predict it: {command}"
    )


def classes_listed(path: str, count: int) -> Finding:
    """That the classes of a split are those of a list."""
    why = f"{plural(count, 'example has its class', 'examples have their classes')} from "
    return Finding("listed_classes", "", f"{why}{display_path(path)}.", count=count)
