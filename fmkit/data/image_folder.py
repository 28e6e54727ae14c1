"""Photos in folders: a folder per class, or a folder per split with a folder per class inside.

Nested folders belong to their class. Files and folders whose name begins with a dot, and
`__MACOSX`, are ignored. Links are followed inside the root, and out of it only where
`data.outside_links` lets them; no folder is listed twice, so loops end. No file is opened here.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from fmkit.config.schema import ImageFolderData, PhotosData
from fmkit.data import check, sniff
from fmkit.data.decode import EXTENSIONS
from fmkit.data.examples import Examples, ImageFiles, from_names
from fmkit.data.findings import Finding, printable
from fmkit.data.stratify import limited
from fmkit.errors import listed
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
    outside_links: bool = False
    ids: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    unsupported: Counter[str] = field(default_factory=Counter)
    hidden: int = 0
    seen: dict[tuple[int, int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.prefix = os.path.join(self.root, "")  # noqa: PTH118 - pathlib drops the last slash
        self.real_prefix = os.path.join(os.path.realpath(self.root), "")  # noqa: PTH118

    def relative(self, path: str) -> str:
        """A path as an id: relative to the root, with forward slashes."""
        return path[len(self.prefix) :].replace(os.sep, "/")  # pathlib takes 20 times as long

    def find(self, kind: str, where: str = "", why: str = "", path: str = "") -> None:
        """Note a finding."""
        self.findings.append(Finding(kind, where, why, path=path))


def list_examples(config: ImageFolderData) -> Examples:
    """The photos under `config.root`, each with the name of its class folder as label.

    What is wrong with the listing is in the examples' findings.

    Raises:
        DataError: the folder is missing.
    """
    root = check.existing(config.root, "folder")
    listing = _Listing(root, config.outside_links)
    for real, _, _ in os.walk(root):  # real folders keep their place; links may only add others
        status = Path(real).stat()
        listing.seen[status.st_dev, status.st_ino] = real
    folders, loose = _children(listing, root)
    _tell_of_loose(listing, root, loose)
    named = _split_folders(listing, folders)
    if not folders and not any(map(_is_photo, loose)):
        listing.find(
            "no_classes", why=f"{short(root)} has no class folders: one folder per class is needed."
        )
    for folder in folders:
        if named:
            _list_split(listing, folder, SPLIT_NAMES[folder.name.lower()])
        else:
            _list_class(listing, folder, split="")
    return _examples(listing, bool(named), config)


def _children(listing: _Listing, folder: Path) -> tuple[list[Path], list[str]]:
    """Folders and file paths in a folder, sorted by name, without what is to be ignored."""
    folders, files = [], []
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        listing.find("unlistable", listing.relative(str(folder)) or ".", str(error.strerror))
        return [], []
    for entry in entries:
        if entry.name.startswith(".") or entry.name.lower() in _IGNORED:
            listing.hidden += 1
        elif kind := _entry_problem(listing, entry):
            shown = printable(listing.relative(entry.path))
            listing.find(kind[0], shown, kind[1], entry.path)
        elif entry.is_dir():
            folders.append(Path(entry.path))
        else:
            files.append(entry.path)
    return folders, files


def _entry_problem(listing: _Listing, entry: os.DirEntry[str]) -> tuple[str, str] | None:
    """Why an entry is neither a folder nor a file that may be read: (kind, reason)."""
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        return "name_not_utf8", ""
    is_link = entry.is_symlink()
    try:
        usable = entry.is_dir() or entry.is_file()
    except OSError as error:  # a link to itself, or a chain of links without end
        return "broken_link", str(error.strerror)
    if is_link:
        target = os.path.realpath(entry.path)
        if not listing.outside_links and not (target + os.sep).startswith(listing.real_prefix):
            return "outside_link", f"it leads to {printable(target)}"
    if usable:
        return None
    try:
        return "special_file", sniff.file_type(entry.stat().st_mode)
    except OSError:
        return (
            "broken_link",
            f"it leads to {printable(Path(entry).readlink())}" if is_link else "it is gone",
        )


def _is_photo(path: str) -> bool:
    return path.lower().endswith(EXTENSIONS)


def _tell_of_loose(listing: _Listing, folder: Path, files: list[str]) -> None:
    """Photos that lie where class folders should be."""
    photos = [Path(each).name for each in files if _is_photo(each)]
    listing.unsupported.update(check.suffix(each) for each in files if not _is_photo(each))
    if photos:
        listing.find(
            "loose_photos",
            why=f"{len(photos)} photos lie directly in {short(folder)} ({listed(photos, 3)}): "
            "move each into a folder named after its class.",
        )


def _split_folders(listing: _Listing, folders: list[Path]) -> list[Path]:
    """The split folders if the root has split/class, none if it has a folder per class."""
    named = [each for each in folders if each.name.lower() in SPLIT_NAMES]
    nested = [each for each in named if _has_folder(each)]
    kinds = {SPLIT_NAMES[each.name.lower()] for each in nested}
    if len(named) == len(folders) and nested:
        return named
    if len(named) == len(folders) and named:
        listing.find(
            "mixed_layout",
            why=f"{listed([each.name for each in named])} look like splits but hold no class "
            "folders: put a folder per class into each.",
        )
    elif len(kinds) > 1:  # one class may be called `test`; two with folders inside are splits
        others = [each.name for each in folders if each not in named]
        listing.find(
            "mixed_layout",
            why=f"{listed([each.name for each in nested])} look like splits, {listed(others, 5)} "
            "does not: keep either split folders only, or class folders only.",
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
    _tell_of_loose(listing, folder, loose)
    for each in folders:
        _list_class(listing, each, split)


def _list_class(listing: _Listing, folder: Path, split: str) -> None:
    """Every photo below one class folder."""
    before, unsupported = len(listing.ids), Counter[str]()
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        status = current.stat()
        first = listing.seen.setdefault((status.st_dev, status.st_ino), str(current))
        if first != str(current):
            here, there = (listing.relative(each) or "." for each in (str(current), first))
            listing.find("linked_twice", here, f"the same folder as {there}")
            continue
        folders, files = _children(listing, current)
        waiting.extend(reversed(folders))
        for path in files:
            if not _is_photo(path):
                unsupported[check.suffix(path)] += 1
                continue
            listing.ids.append(listing.relative(path))
            listing.paths.append(path)
            listing.names.append(folder.name)
            listing.splits.append(split)
    listing.unsupported += unsupported
    listing.folders.append(folder.name)
    if len(listing.ids) == before:
        found = f"; fmkit does not read {check.counted(unsupported)}" if unsupported else ""
        listing.find(
            "empty_class",
            why=f"Class folder {short(folder)!r} has no photos{found}. Add some, or remove the "
            "folder.",
        )


def _examples(listing: _Listing, named: bool, config: ImageFolderData | PhotosData) -> Examples:
    """The listing as examples, with all that is wrong with it."""
    if listing.unsupported:
        listing.findings.append(
            Finding(
                "unsupported",
                "",
                f"{listing.unsupported.total()} files are no photos that fmkit reads: "
                f"{check.counted(listing.unsupported)}.",
                count=listing.unsupported.total(),
            )
        )
    if listing.hidden:
        why = f"{listing.hidden} hidden files and folders were ignored."
        listing.findings.append(Finding("hidden_file", "", why, count=listing.hidden))
    splits = listing.splits if named else None
    images = ImageFiles(tuple(listing.paths), check.sizes(listing.paths))
    findings = [*listing.findings, *check.name_findings(listing.folders, listing.ids)]
    examples = from_names(listing.ids, listing.names, images, splits, findings=findings)
    return limited(examples, config.limit) if listing.ids else examples
