"""What is wrong with a data set, found before anything is trained."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from fmkit.config.schema import DataConfig, ImageFolderData
from fmkit.errors import ConfigError, DataError, listed
from fmkit.files import absolute, short

SHOWN = 10
"""Names that an error shows before it only counts."""
_PART = 256
"""Files per task of a thread pool: a task each took 1 kB of memory and more time than a header."""


def existing(root: str, kind: str, key: str = "data.root") -> Path:
    """The absolute path of `data.root`.

    Args:
        root: the path.
        kind: `folder` or `file`.
        key: the config key that has it.

    Raises:
        ConfigError: no root was given.
        DataError: nothing of that kind is there.
    """
    if root in ("", "???"):
        raise ConfigError(f"{key} is missing. Say {key}=PATH, a {kind}.")
    path = Path(absolute(root))
    right = path.is_dir() if kind == "folder" else path.is_file()
    if right:
        return path
    shown = short(path)  # the config has the path from the root, the user has typed less
    meant = "" if shown == str(path) else f" (that is {path})"
    if path.exists():
        raise DataError(f"{key}: {shown!r}{meant}: it is no {kind}.", _other_source(path))
    raise DataError(f"{key}: {shown!r}{meant}: no such {kind}.", _nearest_parent(path))


def _other_source(path: Path) -> str:
    """The data source that takes what is at a path; empty when none does."""
    if path.is_dir():
        return "A folder with a folder of photos per class is for data=image_folder."
    if path.suffix.lower() in (".csv", ".tsv", ".parquet"):
        return "A table with a row per photo is for data=image_table."
    if path.suffix.lower() == ".npz":
        return "A file of arrays is for data=arrays."
    return ""


def _nearest_parent(path: Path) -> str:
    parent = next((each for each in path.parents if each.is_dir()), None)
    if parent is None or parent == path.parent:
        return "Check the spelling of its last part."
    return f"The path is right as far as {parent}."


def splits_to_make(config: DataConfig) -> int:
    """How many splits the fractions of a config ask for, training included."""
    return 1 + (config.val_fraction > 0) + (config.test_fraction > 0)


def class_problems(
    labels: np.ndarray, classes: Sequence[str], splits: np.ndarray | None, config: DataConfig
) -> list[str]:
    """Why these classes cannot be learned: only one, or too few examples for the splits."""
    problems = []
    more = "Add examples of another one."
    if isinstance(config, ImageFolderData):
        more = "Add a folder of another one, or name the folder above in data.root."
    if len(classes) == 1:
        problems.append(f"There is only one class, {classes[0]!r}: nothing can be learned. {more}")
    if splits is None:
        small = too_small(labels, classes, splits_to_make(config))
        if small:
            cause = "" if config.limit is None else " or a larger data.limit"
            problems.append(f"{small} Add some{cause}, or remove the class.")
    return problems


def too_small(labels: np.ndarray, classes: Sequence[str], needed: int) -> str:
    """One sentence on classes with fewer than `needed` examples, one per split; empty if none."""
    counts = np.bincount(labels, minlength=len(classes))
    pairs = zip(classes, counts.tolist(), strict=True)
    small = [f"{name!r} has {count}" for name, count in pairs if count < needed]
    if not small:
        return ""
    return (
        f"A class needs at least {needed} examples, one for each of {needed} splits: "
        f"{listed(small, SHOWN)}."
    )


def header_problem(path: str) -> str:
    """Why a file is no image that fmkit reads, by its header; empty when it is one."""
    from PIL import Image

    from fmkit.data.decode import FORMATS, reason, too_large

    try:
        with Image.open(path, formats=FORMATS) as image:
            return too_large(image)
    except Exception as error:  # Pillow's plugins raise nearly anything on broken files
        return reason(path, error)


def _header_problems(paths: Sequence[str]) -> list[str]:
    return [header_problem(each) for each in paths]


def image_problems(names: Sequence[str], paths: Sequence[str]) -> list[str]:
    """One sentence on all files that are no images, the first ten by name; or none."""
    parts = [paths[start : start + _PART] for start in range(0, len(paths), _PART)]
    with ThreadPoolExecutor(max_workers=min(32, 4 * (os.cpu_count() or 1))) as pool:
        reasons = [why for part in pool.map(_header_problems, parts) for why in part]
    broken = [f"{name}: {why}" for name, why in zip(names, reasons, strict=True) if why]
    if not broken:
        return []
    return [f"{broken_files(broken, len(paths))}\n   Replace or remove them, then start again."]


def broken_files(broken: Sequence[str], total: int) -> str:
    """One sentence on files that cannot be read, the first ten with their reason."""
    lines = "".join(f"\n   {each}" for each in broken[:SHOWN])
    more = f"\n   and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
    files = "file is" if len(broken) == 1 else "files are"
    return f"{len(broken)} of {total} {files} no readable image:{lines}{more}"


def by_suffix(names: Sequence[str]) -> str:
    """Files counted by extension, such as `3 .tiff, 1 .txt`."""
    counts = Counter(Path(each).suffix.lower() or "without extension" for each in names)
    return ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common())
