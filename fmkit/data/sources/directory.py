"""Class folders: a folder per class, or a folder per split with a folder per class inside.

For texts a class may also be a file with a line per example, where there are no class folders.
Nested folders belong to their class. Files and folders whose name begins with a dot, and
`__MACOSX`, are ignored. Links are followed inside the root, and out of it only if
`data.outside_links` allows it; no folder is listed twice, so loops end. No file is opened here.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from fmkit.core.errors import DataError, join_names, plural
from fmkit.core.files import display_path
from fmkit.data.examples import Content, Examples, from_names
from fmkit.data.findings import Finding, printable
from fmkit.data.formats import file_type
from fmkit.data.sources.listing import SPLIT_NAMES, FileKind, Listing
from fmkit.data.sources.paths import existing_path, format_counts, name_findings, suffix_of

_IGNORED = ("__macosx", "thumbs.db", "desktop.ini")
_DOCUMENTATION = (
    "readme", "license", "licence", "copying", "notice", "citation", "changelog", "sources",
)  # fmt: skip
"""Names, without their ending, of texts that describe a data set and are not part of it."""


def walk(root: Path, kind: FileKind, outside_links: bool) -> Listing:
    """All files under a folder, each with the name of its class and perhaps its split.

    Problems are in the listing's findings.

    Args:
        root: a folder that exists.
        kind: which files to look for.
        outside_links: follow links out of the root.
    """
    listing = Listing(root, kind, outside_links)
    for real, _, _ in os.walk(root):  # real folders come first; links may only add others
        status = Path(real).stat()
        listing.seen[status.st_dev, status.st_ino] = real
    folders, loose = _children(listing, root)
    split_folders = _split_folders(listing, folders)
    listing.has_splits = bool(split_folders)
    _list_loose(listing, root, loose, folders)
    if not folders and not any(map(kind.matches, loose)):
        files = " and no class files" if kind.class_files else ""
        needed = "one" if kind.class_files else "one folder"
        listing.find(
            "no_classes",
            why=f"{display_path(root)} has no class folders{files}: {needed} per class is needed.",
        )
    for folder in folders:
        split, class_folders = "", [folder]
        if split_folders:
            split = SPLIT_NAMES[folder.name.lower()]
            class_folders, loose = _children(listing, folder)
            _list_loose(listing, folder, loose, class_folders, split)
        for class_folder in class_folders:
            _list_class(listing, class_folder, split)
    return listing


def everything(root: Path, kind: FileKind, outside_links: bool) -> Listing:
    """All files under a folder, searched recursively, whatever its folders are called.

    Args:
        root: a folder that exists.
        kind: which files to look for.
        outside_links: follow links out of the root.
    """
    listing = Listing(root, kind, outside_links)
    _list_class(listing, root, split="")
    listing.findings = [finding for finding in listing.findings if finding.kind != "empty_class"]
    return listing


def files_at(root: str, kind: FileKind, outside_links: bool, hint: str = "") -> Listing:
    """The file at `root`, or all files below that folder, whatever its folders are called.

    Args:
        root: `data.root`.
        kind: which files to look for; a single file may be of any.
        outside_links: follow links out of the folder.
        hint: what to do where a folder has none.

    Raises:
        ConfigError: no root was given.
        DataError: there is no such path, or no such file below it.
    """
    if not root or not Path(root).expanduser().is_dir():
        path = existing_path(root, "file")
        return Listing(path.parent, kind, ids=[path.name], paths=[str(path)])
    listing = everything(existing_path(root, "folder"), kind, outside_links)
    if not listing.ids:
        others = format_counts(listing.unsupported)
        has = f"; it has {others}" if others else ""
        endings = ", ".join(kind.endings)
        raise DataError(f"{listing.root} has no {kind.noun}s ({endings}){has}.", hint)
    return listing


def _children(listing: Listing, folder: Path) -> tuple[list[Path], list[str]]:
    """Folders and file paths in a folder, sorted by name, without what is ignored."""
    folders, files = [], []
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        listing.find("unlistable", listing.relative(str(folder)) or ".", str(error.strerror))
        return [], []
    for entry in entries:
        if entry.name.startswith(".") or entry.name.lower() in _IGNORED:
            listing.hidden += 1
        elif problem := _entry_problem(listing, entry):
            shown = printable(listing.relative(entry.path))
            listing.find(problem[0], shown, problem[1], entry.path)
        elif entry.is_dir():
            folders.append(Path(entry.path))
        else:
            files.append(entry.path)
    return folders, files


def _entry_problem(listing: Listing, entry: os.DirEntry[str]) -> tuple[str, str] | None:
    """Why an entry is neither a folder nor a file that may be read: (finding kind, reason)."""
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
    """Files where class folders could be: classes themselves, or misplaced."""
    matching, kind = [], listing.kind
    for path in map(Path, files):
        describes = kind.class_files and path.stem.lower() in _DOCUMENTATION
        if kind.matches(path.name) and not describes:
            matching.append(path)
        else:
            listing.unsupported[path.name if describes else suffix_of(path.name)] += 1
    if kind.class_files and not folders:
        _list_class_files(listing, folder, matching, split)
    elif matching:
        subject = plural(len(matching), f"{kind.noun} is", f"{kind.noun}s are")
        listing.find(
            kind.loose,
            why=f"{subject} directly in {display_path(folder)} "
            f"({join_names([path.name for path in matching], 3)}): move each into a folder named "
            "after its class.",
        )


def _list_class_files(listing: Listing, folder: Path, files: list[Path], split: str) -> None:
    """Every class file of a folder; `a.txt` and `a.md` are one class."""
    if files and all(path.stem.lower() in SPLIT_NAMES for path in files):
        listing.find(
            "mixed_layout",
            why=f"{join_names([path.name for path in files])} in {display_path(folder)} "
            "look like splits, and here a file is a class: put a file per class into a folder per "
            "split, or make one table of all (data=text_table).",
        )
    listing.class_files += [(str(path), path.stem, split) for path in files]
    names = dict.fromkeys(path.stem for path in files)
    listing.class_names += [name for name in names if name not in listing.class_names]


def _split_folders(listing: Listing, folders: list[Path]) -> list[Path]:
    """The split folders if the root has split/class, none if it has a folder per class."""
    named = [folder for folder in folders if folder.name.lower() in SPLIT_NAMES]
    nested = [folder for folder in named if _has_folder(folder)]
    splits = {SPLIT_NAMES[folder.name.lower()] for folder in nested}
    are_all_named = len(named) == len(folders)
    if are_all_named and (nested or (listing.kind.class_files and _are_class_files(named))):
        return named
    if are_all_named and named:
        listing.find(
            "mixed_layout",
            why=f"{join_names([folder.name for folder in named])} look like splits but hold no "
            "class folders: put a folder per class into each.",
        )
    elif len(splits) > 1:  # one class may be called `test`; two with folders inside are splits
        others = [folder.name for folder in folders if folder not in named]
        verb = "does" if len(others) == 1 else "do"
        listing.find(
            "mixed_layout",
            why=f"{join_names([folder.name for folder in nested])} look like splits, "
            f"{join_names(others, 5)} {verb} not: keep either split folders only, or class folders "
            "only.",
        )
    return []


def _are_class_files(splits: list[Path]) -> bool:
    """Whether splits without folders have a file per class: training then has every name."""
    stems: dict[bool, set[str]] = {True: set(), False: set()}
    for folder in splits:
        training = SPLIT_NAMES[folder.name.lower()] == "train"
        try:
            stems[training] |= {path.stem for path in folder.iterdir() if path.name[0] != "."}
        except OSError:  # reported where it is listed
            return False
    return bool(stems[True]) and stems[False] <= stems[True]


def _has_folder(folder: Path) -> bool:
    try:
        return any(e.is_dir() and not e.name.startswith(".") for e in os.scandir(folder))
    except OSError:
        return False


def _list_class(listing: Listing, folder: Path, split: str) -> None:
    """Every file below one class folder."""
    before, unsupported = len(listing.ids), Counter[str]()
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        status = current.stat()
        first = listing.seen.setdefault((status.st_dev, status.st_ino), str(current))
        if first != str(current):
            where, other = (listing.relative(path) or "." for path in (str(current), first))
            listing.find("linked_twice", where, f"the same folder as {other}")
            continue
        folders, files = _children(listing, current)
        waiting.extend(reversed(folders))
        for path in files:
            if not listing.kind.matches(path):
                unsupported[suffix_of(path)] += 1
                continue
            listing.ids.append(listing.relative(path))
            listing.paths.append(path)
            listing.classes.append(folder.name)
            listing.splits.append(split)
    listing.unsupported += unsupported
    listing.class_names.append(folder.name)
    if len(listing.ids) == before:
        endings, source = listing.kind.other_source
        others = format_counts(unsupported)
        if unsupported and unsupported.keys() <= set(endings):
            hint = f"; it has {others} for data={source}"
        else:
            hint = f"; fmkit does not read {others}" if others else ""
        listing.find(
            "empty_class",
            why=f"Class folder {display_path(folder)!r} has no {listing.kind.noun}s{hint}. "
            "Add some, or remove the folder.",
        )


def recursive_findings(listing: Listing) -> list[Finding]:
    """The findings of `everything`, and one about files of another kind."""
    return listing.findings + _unsupported(listing)


def _unsupported(listing: Listing) -> list[Finding]:
    count, noun = listing.unsupported.total(), listing.kind.noun
    if not count:
        return []
    subject = plural(count, f"file is not a {noun}", f"files are not {noun}s")
    why = f"{subject} that fmkit reads: {format_counts(listing.unsupported)}."
    return [Finding("unsupported", "", why, count=count)]


def examples(listing: Listing, content: Content) -> Examples:
    """The listing as examples, with all its findings."""
    findings = [*listing.findings, *_unsupported(listing)]
    if listing.hidden:
        nouns = ("hidden file or folder was", "hidden files and folders were")
        subject = plural(listing.hidden, *nouns)
        findings.append(Finding("hidden_file", "", f"{subject} ignored.", count=listing.hidden))
    findings += name_findings(listing.class_names, listing.ids)
    splits = listing.splits if listing.has_splits else None
    return from_names(listing.ids, listing.classes, content, splits, findings=findings)
