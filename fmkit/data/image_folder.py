"""Photos in folders: a folder per class, or a folder per split with a folder per class inside.

Nested folders belong to their class. Files and folders whose name begins with a dot, and
`__MACOSX`, are ignored. Links are followed, but no folder is listed twice, so loops end.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fmkit import console
from fmkit.config.schema import ImageFolderData
from fmkit.data import check
from fmkit.data.decode import EXTENSIONS
from fmkit.data.examples import Examples, ImageFiles, from_names
from fmkit.data.stratify import limited
from fmkit.errors import DataError, all_at_once, listed
from fmkit.files import short

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""What a folder or a table may call a split, in lower case."""

_IGNORED = ("__macosx", "thumbs.db", "desktop.ini")


@dataclass
class _Listing:
    """What was found so far."""

    root: Path
    ids: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    unsupported: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seen: dict[tuple[int, int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.prefix = os.path.join(self.root, "")  # noqa: PTH118 - pathlib drops the last slash

    def relative(self, path: str) -> str:
        """A path as an id: relative to the root, with forward slashes."""
        return path[len(self.prefix) :].replace(os.sep, "/")  # pathlib takes 20 times as long


def list_examples(config: ImageFolderData) -> Examples:
    """The photos under `config.root`, each with the name of its class folder as label.

    Raises:
        DataError: the folder is missing, has no class folders, or holds files that are no images;
            all problems at once.
    """
    root = check.existing(config.root, "folder")
    listing = _Listing(root)
    for real, _, _ in os.walk(root):  # real folders keep their place; links may only add others
        status = Path(real).stat()
        listing.seen[status.st_dev, status.st_ino] = real
    folders, loose = _children(listing, root)
    photos = [each for each in loose if _is_photo(each)]
    listing.unsupported += [each for each in loose if not _is_photo(each)]
    if photos:
        listing.problems.append(
            f"{len(photos)} photos lie directly in {short(root)} ({_some(photos)}): "
            "move each into a folder named after its class."
        )
    named = _split_folders(listing, folders)
    if not folders and not photos:
        listing.problems.append(
            f"{short(root)} has no class folders: one folder per class is needed."
        )
    for folder in folders:
        if named:
            _list_split(listing, folder, SPLIT_NAMES[folder.name.lower()])
        else:
            _list_class(listing, folder, split="")
    return _checked(listing, bool(named), config)


def _children(listing: _Listing, folder: Path) -> tuple[list[Path], list[str]]:
    """Folders and file paths in a folder, sorted by name, without what is to be ignored."""
    folders, files = [], []
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        listing.problems.append(f"{folder} cannot be listed: {error.strerror}.")
        return [], []
    for entry in entries:
        if entry.name.startswith(".") or entry.name.lower() in _IGNORED:
            continue
        try:
            entry.name.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(entry.name).decode("utf-8", "backslashreplace")
            listing.problems.append(f"The name of {folder}/{shown} is not UTF-8: rename it.")
            continue
        if entry.is_dir():
            folders.append(Path(entry.path))
        elif entry.is_file():
            files.append(entry.path)
        else:
            listing.problems.append(f"{entry.path} is neither file nor folder: a broken link?")
    return folders, files


def _is_photo(path: str) -> bool:
    return path.lower().endswith(EXTENSIONS)


def _some(paths: list[str]) -> str:
    return listed([Path(each).name for each in paths], 3)


def _split_folders(listing: _Listing, folders: list[Path]) -> list[Path]:
    """The split folders if the root has split/class, none if it has a folder per class."""
    named = [each for each in folders if each.name.lower() in SPLIT_NAMES]
    nested = [each for each in named if _has_folder(each)]
    kinds = {SPLIT_NAMES[each.name.lower()] for each in nested}
    if len(named) == len(folders) and nested:
        return named
    if len(named) == len(folders) and named:
        listing.problems.append(
            f"{listed([each.name for each in named])} look like splits but hold no class folders: "
            "put a folder per class into each."
        )
    elif len(kinds) > 1:  # one class may be called `test`; two with folders inside are splits
        others = [each.name for each in folders if each not in named]
        listing.problems.append(
            f"{listed([each.name for each in nested])} look like splits, {listed(others, 5)} does "
            "not: keep either split folders only, or class folders only."
        )
    return []


def _has_folder(folder: Path) -> bool:
    try:
        return any(each.is_dir() and not each.name.startswith(".") for each in os.scandir(folder))
    except OSError:
        return False


def _list_split(listing: _Listing, folder: Path, split: str) -> None:
    """Every class folder of one split folder."""
    folders, loose = _children(listing, folder)
    photos = [each for each in loose if _is_photo(each)]
    listing.unsupported += [each for each in loose if not _is_photo(each)]
    if photos:
        listing.problems.append(
            f"{len(photos)} photos lie directly in {short(folder)} ({_some(photos)}): "
            "move each into a folder named after its class."
        )
    for each in folders:
        _list_class(listing, each, split)


def _list_class(listing: _Listing, folder: Path, split: str) -> None:
    """Every photo below one class folder."""
    before, skipped = len(listing.ids), len(listing.unsupported)
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        status = current.stat()
        first = listing.seen.setdefault((status.st_dev, status.st_ino), str(current))
        if first != str(current):
            console.warn(f"{current} is the same folder as {first}: it is listed once.")
            continue
        folders, files = _children(listing, current)
        waiting.extend(reversed(folders))
        for path in files:
            if not _is_photo(path):
                listing.unsupported.append(path)
                continue
            listing.ids.append(listing.relative(path))
            listing.paths.append(path)
            listing.names.append(folder.name)
            listing.splits.append(split)
    if len(listing.ids) == before:
        unsupported = check.by_suffix(listing.unsupported[skipped:])
        found = f"; fmkit does not read {unsupported}" if unsupported else ""
        listing.problems.append(
            f"Class folder {short(folder)!r} has no photos{found}. Add some, or remove the folder."
        )


def _checked(listing: _Listing, named: bool, config: ImageFolderData) -> Examples:
    """The listing as examples, once every file's header was read.

    Raises:
        DataError: with all problems of the listing and of the files.
    """
    sizes = np.array([os.path.getsize(each) for each in listing.paths], np.int64)  # noqa: PTH202
    splits = listing.splits if named else None
    images = ImageFiles(tuple(listing.paths), sizes)
    examples = limited(from_names(listing.ids, listing.names, images, splits), config.limit)
    if listing.ids:
        place = dict(zip(listing.ids, listing.paths, strict=True))
        chosen = [place[each] for each in examples.ids]
        listing.problems += check.image_problems(examples.ids, chosen)
    if listing.problems:
        if listing.ids:
            listing.problems += check.class_problems(
                examples.labels, examples.classes, examples.splits, config
            )
        raise DataError(all_at_once(listing.problems))
    if listing.unsupported:
        console.warn(
            f"{len(listing.unsupported)} files are no photos that fmkit reads and were left out: "
            f"{check.by_suffix(listing.unsupported)}."
        )
    return examples
