"""Files in folders: a folder per class, or a folder per split with a folder per class inside.

Of texts a class may also be a file with a line per example, where there are no class folders.
Nested folders belong to their class. Files and folders whose name begins with a dot, and
`__MACOSX`, are ignored. Links are followed inside the root, and out of it only where
`data.outside_links` lets them; no folder is listed twice, so loops end. No file is opened here.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from fmkit.core.errors import join_names
from fmkit.core.files import display_path
from fmkit.data.examples import Content, Examples, from_names
from fmkit.data.findings import Finding, printable
from fmkit.data.formats import file_type
from fmkit.data.sources.listing import SPLIT_NAMES, ClassFile, FileKind, Listing
from fmkit.data.sources.paths import format_counts, name_findings, suffix_of

_IGNORED = ("__macosx", "thumbs.db", "desktop.ini")
_ABOUT = ("readme", "license", "licence", "copying", "notice", "citation", "changelog", "sources")
"""Names, without their ending, of texts that are about a data set and not part of it."""


def walk(root: Path, things: FileKind, outside_links: bool) -> Listing:
    """All files under a folder, each with the name of its class and perhaps its split.

    What is wrong is in the listing's findings.

    Args:
        root: a folder that exists.
        things: what to look for.
        outside_links: follow links out of the root.
    """
    listing = Listing(root, things, outside_links)
    for real, _, _ in os.walk(root):  # real folders keep their place; links may only add others
        status = Path(real).stat()
        listing.seen[status.st_dev, status.st_ino] = real
    folders, loose = _children(listing, root)
    listing.named = bool(named := _split_folders(listing, folders))
    _list_loose(listing, root, loose, folders)
    if not folders and not any(map(things.has, loose)):
        files = " and no class files" if things.class_files else ""
        one = "one" if things.class_files else "one folder"
        listing.find(
            "no_classes",
            why=f"{display_path(root)} has no class folders{files}: {one} per class is needed.",
        )
    for folder in folders:
        if named:
            _list_split(listing, folder, SPLIT_NAMES[folder.name.lower()])
        else:
            _list_class(listing, folder, split="")
    return listing


def everything(root: Path, things: FileKind, outside_links: bool) -> Listing:
    """All files under a folder, to the bottom, whatever the folders are called.

    Args:
        root: a folder that exists.
        things: what to look for.
        outside_links: follow links out of the root.
    """
    listing = Listing(root, things, outside_links)
    _list_class(listing, root, split="")
    return listing


def _children(listing: Listing, folder: Path) -> tuple[list[Path], list[str]]:
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


def _entry_problem(listing: Listing, entry: os.DirEntry[str]) -> tuple[str, str] | None:
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
        return "special_file", file_type.file_type(entry.stat().st_mode)
    except OSError:
        return (
            "broken_link",
            f"it leads to {printable(Path(entry).readlink())}" if is_link else "it is gone",
        )


def _list_loose(
    listing: Listing, folder: Path, files: list[str], folders: list[Path], split: str = ""
) -> None:
    """Files that lie where class folders could be: classes themselves, or out of place."""
    ours, word = _not_about(listing, files), listing.things.word
    names = [Path(each).name for each in ours]
    if listing.things.class_files and not folders:
        _list_class_files(listing, folder, ours, split)
    elif names:
        listing.find(
            listing.things.loose,
            why=f"{len(names)} {word} lie directly in {display_path(folder)} "
            f"({join_names(names, 3)}): "
            "move each into a folder named after its class.",
        )


def _not_about(listing: Listing, files: list[str]) -> list[str]:
    """The files of a folder that are what is looked for; others are counted."""
    ours, things = [], listing.things
    for each in files:
        about = things.class_files and Path(each).stem.lower() in _ABOUT
        if things.has(each) and not about:
            ours.append(each)
        else:
            listing.unsupported[Path(each).name if about else suffix_of(each)] += 1
    return ours


def _list_class_files(listing: Listing, folder: Path, files: list[str], split: str) -> None:
    """Every class file of a folder; twins such as `a.txt` and `a.md` are one class."""
    names = [Path(each).stem for each in files]
    if names and all(each.lower() in SPLIT_NAMES for each in names):
        listing.find(
            "mixed_layout",
            why=f"{join_names([Path(each).name for each in files])} in {display_path(folder)} "
            "look like "
            "splits, and here a file is a class: put a file per class into a folder per split, or "
            "make one table of all (data=text_table).",
        )
    for path, name in zip(files, names, strict=True):
        listing.class_files.append(ClassFile(path, name, split))
        if name not in listing.folders:
            listing.folders.append(name)


def _split_folders(listing: Listing, folders: list[Path]) -> list[Path]:
    """The split folders if the root has split/class, none if it has a folder per class."""
    named = [each for each in folders if each.name.lower() in SPLIT_NAMES]
    nested = [each for each in named if _has_folder(each)]
    kinds = {SPLIT_NAMES[each.name.lower()] for each in nested}
    if len(named) == len(folders) and nested:
        return named
    if listing.things.class_files and len(named) == len(folders) and _are_class_files(named):
        return named
    if len(named) == len(folders) and named:
        listing.find(
            "mixed_layout",
            why=f"{join_names([each.name for each in named])} look like splits but hold no class "
            "folders: put a folder per class into each.",
        )
    elif len(kinds) > 1:  # one class may be called `test`; two with folders inside are splits
        others = [each.name for each in folders if each not in named]
        listing.find(
            "mixed_layout",
            why=f"{join_names([each.name for each in nested])} look like splits, "
            f"{join_names(others, 5)} "
            "does not: keep either split folders only, or class folders only.",
        )
    return []


def _are_class_files(splits: list[Path]) -> bool:
    """Whether splits without folders have a file a class: the training split has every name."""
    stems: dict[bool, set[str]] = {True: set(), False: set()}
    for folder in splits:
        training = SPLIT_NAMES[folder.name.lower()] == "train"
        try:
            stems[training] |= {each.stem for each in folder.iterdir() if each.name[0] != "."}
        except OSError:  # told where it is listed
            return False
    return bool(stems[True]) and stems[False] <= stems[True]


def _has_folder(folder: Path) -> bool:
    try:
        return any(each.is_dir() and not each.name.startswith(".") for each in os.scandir(folder))
    except OSError:
        return False


def _list_split(listing: Listing, folder: Path, split: str) -> None:
    """Every class folder of one split folder."""
    folders, loose = _children(listing, folder)
    _list_loose(listing, folder, loose, folders, split)
    for each in folders:
        _list_class(listing, each, split)


def _list_class(listing: Listing, folder: Path, split: str) -> None:
    """Every file below one class folder."""
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
            if not listing.things.has(path):
                unsupported[suffix_of(path)] += 1
                continue
            listing.ids.append(listing.relative(path))
            listing.paths.append(path)
            listing.names.append(folder.name)
            listing.splits.append(split)
    listing.unsupported += unsupported
    listing.folders.append(folder.name)
    if len(listing.ids) == before:
        endings, source = listing.things.elsewhere
        found = f"; fmkit does not read {format_counts(unsupported)}" if unsupported else ""
        if unsupported and unsupported.keys() <= set(endings):
            found = f"; {format_counts(unsupported)} there are for data={source}"
        listing.find(
            "empty_class",
            why=f"Class folder {display_path(folder)!r} has no {listing.things.word}{found}. "
            "Add some, or remove the folder.",
        )


def examples(listing: Listing, content: Content) -> Examples:
    """The listing as examples, with all that is wrong with it."""
    if listing.unsupported:
        listing.findings.append(
            Finding(
                "unsupported",
                "",
                f"{listing.unsupported.total()} files are no {listing.things.word} that fmkit "
                f"reads: {format_counts(listing.unsupported)}.",
                count=listing.unsupported.total(),
            )
        )
    if listing.hidden:
        why = f"{listing.hidden} hidden files and folders were ignored."
        listing.findings.append(Finding("hidden_file", "", why, count=listing.hidden))
    splits = listing.splits if listing.named else None
    findings = [*listing.findings, *name_findings(listing.folders, listing.ids)]
    return from_names(listing.ids, listing.names, content, splits, findings=findings)
