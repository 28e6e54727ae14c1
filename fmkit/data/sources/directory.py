"""Listing of files below `data.root`: class folders, and splits above or in them.

For texts a class may also be a file with a line per example, where there are no class folders.
Nested folders belong to their class. Files and folders whose name begins with a dot, and
`__MACOSX`, are ignored. Links are followed inside the root, and out of it only if
`data.outside_links` allows it; no folder is listed twice, so loops end. No file is opened here but
those whose names do not tell whether they are photos.
"""

import os
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fmkit.core.errors import DataError, join_names, plural
from fmkit.core.files import display_path, is_ignored, matching_paths
from fmkit.data.examples import Content, Examples, from_names
from fmkit.data.findings import Finding, printable
from fmkit.data.formats import file_type
from fmkit.data.sources import split_folders, unlabelled_folders
from fmkit.data.sources.paths import (
    existing_path,
    format_counts,
    name_findings,
    suffix_of,
)
from fmkit.data.split_names import splits_in
from fmkit.store import run_dir

_DOCUMENTATION = (
    "readme", "license", "licence", "copying", "notice", "citation", "changelog", "sources",
)  # fmt: skip
"""Names, without their ending, of texts that describe a data set and are not part of it."""
_FEW = 0.1  # of the files in class folders, those outside that are left out with a warning


def is_documentation(path: Path) -> bool:
    """Whether a text describes a data set by its name, rather than being part of it."""
    return path.stem.lower() in _DOCUMENTATION


@dataclass(frozen=True)
class FileKind:
    """The kind of files that a listing looks for.

    Attributes:
        noun: what one is called.
        endings: of their names, in lower case.
        loose: kind of the finding about files outside of class folders.
        other_source: endings of the files that another source reads, and its name.
        class_files: a file may be a class.
        advice: what to do with files of other endings, as sentences; empty where that is nothing.
        is_by_content: whether a file with another ending is of this kind nevertheless.
    """

    noun: str
    endings: tuple[str, ...]
    loose: str = "loose_texts"
    other_source: tuple[tuple[str, ...], str] = ((), "")
    class_files: bool = False
    advice: Callable[[Collection[str]], str] = lambda endings: ""
    is_by_content: Callable[[str], bool] = lambda path: False

    def matches(self, path: str) -> bool:
        """Whether a file is of this kind, by the name at the end of its path, or by its content."""
        return path.lower().endswith(self.endings) or self.is_by_content(path)


@dataclass
class Listing:
    """The files and problems of a folder that have been listed so far.

    Attributes:
        class_files: path, class and split of each file that is a class.
        ids: of the examples; `paths`, `classes` and `splits` have a row for each.
        class_names: of folders and class files, in their order.
        unsupported: number of files of another kind, by their ending.
        hidden: number of files and folders that were ignored.
        is_file: it is of one file, which the user named, of whatever kind.
        seen: path of each folder by device and inode, so that none is listed twice.
    """

    root: Path
    kind: FileKind
    outside_links: bool = False
    class_files: list[tuple[str, str, str]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    class_names: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    unsupported: Counter[str] = field(default_factory=Counter)
    hidden: int = 0
    is_file: bool = False
    seen: dict[tuple[int, int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.prefix = os.path.join(self.root, "")  # noqa: PTH118 - pathlib drops the last slash
        self.real_prefix = os.path.join(os.path.realpath(self.root), "")  # noqa: PTH118

    def relative(self, path: str) -> str:
        """A path as an id: relative to the root, with forward slashes."""
        return path[len(self.prefix) :].replace(os.sep, "/")  # pathlib takes 20 times as long

    def report(self, kind: str, where: str = "", why: str = "", path: str = "") -> None:
        """Add a finding."""
        self.findings.append(Finding(kind, where, why, path=path))

    def all_findings(self) -> list[Finding]:
        """The findings, and one about files of another kind."""
        count = self.unsupported.total()
        if not count:
            return self.findings
        noun = self.kind.noun
        subject = plural(
            count,
            f"file was left out, since it is not a {noun}",
            f"files were left out, since they are not {noun}s",
        )
        why = f"{subject} that fmkit reads: {format_counts(self.unsupported)}."
        why = f"{why} {self.kind.advice(self.unsupported)}".rstrip()
        return [*self.findings, Finding("unsupported", "", why, count=count)]

    def children(self, folder: Path) -> tuple[list[Path], list[str]]:
        """Folders and file paths in a folder, sorted by name, without what is ignored."""
        folders, files = [], []
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self.report("unlistable", self.relative(str(folder)) or ".", str(error.strerror))
            return [], []
        for entry in entries:
            if is_ignored(entry.name):
                self.hidden += 1
            elif _is_folder(entry) and run_dir.is_output(Path(entry.path)):
                continue
            elif problem := self._entry_problem(entry):
                shown = printable(self.relative(entry.path))
                self.report(problem[0], shown, problem[1], entry.path)
            elif entry.is_dir():
                folders.append(Path(entry.path))
            else:
                files.append(entry.path)
        return folders, files

    def _entry_problem(self, entry: os.DirEntry[str]) -> tuple[str, str] | None:
        """Why an entry is neither a folder nor a file that may be read: (finding kind, reason)."""
        try:
            entry.name.encode()
        except UnicodeEncodeError:
            return "name_not_utf8", ""
        try:
            is_usable = entry.is_dir() or entry.is_file()
        except OSError as error:  # a link to itself, or a chain of links without end
            return "broken_link", str(error.strerror)
        is_link = entry.is_symlink()
        if is_link:
            target = os.path.realpath(entry.path)
            if not self.outside_links and not (target + os.sep).startswith(self.real_prefix):
                return "outside_link", f"it leads to {printable(target)}"
        if is_usable:
            return None
        try:
            return "special_file", file_type.file_type(entry.stat().st_mode)
        except OSError:
            where = f"it leads to {printable(Path(entry).readlink())}" if is_link else "it is gone"
            return "broken_link", where

    def list_loose(
        self, folder: Path, files: list[str], folders: list[Path], split: str = ""
    ) -> None:
        """Add files where class folders could be: classes themselves, or misplaced."""
        matching, kind = [], self.kind
        for path in map(Path, files):
            describes = kind.class_files and is_documentation(path)
            if kind.matches(str(path)) and not describes:
                matching.append(path)
            else:
                self.unsupported[path.name if describes else suffix_of(path.name)] += 1
        names = [path.name for path in matching]
        if matching and (folders or not kind.class_files):
            subject = plural(len(matching), f"{kind.noun} is", f"{kind.noun}s are")
            where = f"{subject} directly in {display_path(folder)} ({join_names(names, 3)})"
            self.findings.append(Finding(kind.loose, "", f"{where}.", count=len(matching)))
            return
        self.findings += split_folders.file_findings(matching)
        self.class_files += [(str(path), path.stem, split) for path in matching]
        self.class_names += [path.stem for path in matching]

    def add_file(self, path: str, class_name: str = "", split: str = "") -> None:
        """Add one file as an example."""
        self.ids.append(self.relative(path))
        self.paths.append(path)
        self.classes.append(class_name)
        self.splits.append(split)

    def spare_few_loose(self) -> None:
        """Leave out a few files outside of class folders: lists, covers and the like.

        There are no more of them than there are class folders.
        """
        loose = [finding for finding in self.findings if finding.kind == self.kind.loose]
        few = min(_FEW * len(self.ids), len(self.class_names))
        if len({*self.class_names}) > 1 and sum(finding.count for finding in loose) <= few:
            self.findings = [
                replace(finding, kind="stray_files") if finding in loose else finding
                for finding in self.findings
            ]

    def list_class(self, folder: Path, split: str) -> None:
        """Add every file below one class folder."""
        before, unsupported = len(self.ids), Counter[str]()
        pending = [folder]
        while pending:
            current = pending.pop()
            status = current.stat()
            first = self.seen.setdefault((status.st_dev, status.st_ino), str(current))
            if first != str(current):
                where, other = (self.relative(path) or "." for path in (str(current), first))
                self.report("linked_twice", where, f"the same folder as {other}")
                continue
            folders, files = self.children(current)
            pending.extend(reversed(folders))
            for path in files:
                if self.kind.matches(path):
                    self.add_file(path, folder.name, split)
                else:
                    unsupported[suffix_of(path)] += 1
        self.unsupported += unsupported
        self.class_names.append(folder.name)
        if len(self.ids) == before:
            endings, source = self.kind.other_source
            others = format_counts(unsupported)
            hint = f"; fmkit does not read {others}" if others else ""
            if unsupported and unsupported.keys() <= set(endings):
                hint = f"; it has {others} for data={source}"
            why = f"Class folder {display_path(folder)!r} has no {self.kind.noun}s{hint}."
            self.report("empty_class", why=f"{why} {self.kind.advice(unsupported)}".strip())


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()  # known without a call to the system
    except OSError:  # a link to itself
        return False


def walk(root: Path, kind: FileKind, outside_links: bool) -> Listing:
    """All files under a folder that exists, each with the name of its class and perhaps a split.

    Links out of the root are followed only if `outside_links` is true.
    """
    listing = Listing(root, kind, outside_links)
    for real, _, _ in os.walk(root):  # real folders come first; links may only add others
        status = Path(real).stat()
        listing.seen[status.st_dev, status.st_ino] = real
    folders, loose = listing.children(root)
    folders, left_out = unlabelled_folders.without_unlabelled(folders, kind.matches)
    splits, findings = split_folders.folder_splits(folders, kind.matches, kind.class_files)
    listing.findings += [*left_out, *findings]
    lists = _list_splits(listing, splits, loose)
    listing.list_loose(root, [path for path in loose if path not in lists], folders)
    if not folders and not any(map(kind.matches, loose)):
        files = " and no class files" if kind.class_files else ""
        needed = "one" if kind.class_files else "one folder"
        why = f"{display_path(root)} has no class folders{files}: {needed} per class is needed."
        listing.report("no_classes", why=why)
    for folder in [] if splits else folders:
        listing.list_class(folder, split="")
    if listing.ids and not splits:
        inner_splits, findings = split_folders.splits_in_classes(listing.ids)
        listing.splits = inner_splits or listing.splits
        listing.findings += findings
    listing.spare_few_loose()
    return listing


def _list_splits(listing: Listing, splits: Mapping[Path, str], beside: Sequence[str]) -> list[str]:
    """Add the examples of all splits.

    Args:
        splits: by folder.
        beside: files beside these folders, that may list the classes of a split.

    Returns:
        The lists of classes among these.
    """
    contents = {folder: listing.children(folder) for folder in splits}
    classes: dict[str, set[str]] = {}
    for folder, (class_folders, _) in contents.items():
        names = classes.setdefault(splits[folder], set())
        names.update(class_folder.name for class_folder in class_folders)
    unlabelled = unlabelled_folders.unlabelled_classes(classes)
    lists = []
    for folder, (class_folders, loose) in contents.items():
        flat = _flat_files(listing, class_folders, loose, classes.get("train", set()))
        if splits[folder] != "train" and flat:
            lists += _list_flat(listing, folder, splits[folder], flat, [*loose, *beside], classes)
            continue
        listing.list_loose(folder, loose, class_folders, splits[folder])
        for class_folder in class_folders:
            if class_folder.name in unlabelled:
                why = "has no labels, by its name"
                listing.findings.append(unlabelled_folders.left_out(class_folder, why))
            else:
                listing.list_class(class_folder, splits[folder])
    return lists


def _flat_files(
    listing: Listing, folders: Sequence[Path], loose: Sequence[str], classes: Collection[str]
) -> list[str]:
    """The files of a split that has no class folders, where training has some."""
    if not classes or not unlabelled_folders.is_flat(folders, classes):
        return []
    files = [*loose, *(path for folder in folders for path in listing.children(folder)[1])]
    files = [path for path in files if listing.kind.matches(path)]
    are_classes = listing.kind.class_files and any(Path(path).stem in classes for path in files)
    return [] if are_classes else files


def _list_flat(
    listing: Listing,
    folder: Path,
    split: str,
    files: Sequence[str],
    beside: Sequence[str],
    classes: Mapping[str, set[str]],
) -> list[str]:
    """Add the examples of a split without class folders, if a list has their classes.

    Returns:
        The list.
    """
    named = [
        path
        for path in beside
        if Path(path).parent == folder or split in splits_in(Path(path).name)
    ]
    path, listed = unlabelled_folders.class_list(named, files, classes["train"])
    files = [file for file in files if file != path]
    if not path:
        names = [Path(file).name for file in files]
        why = f"has {plural(len(files), listing.kind.noun)} and no class folders"
        listing.findings.append(unlabelled_folders.left_out(folder, why, names))
        return []
    for file in files:
        if file in listed:
            listing.add_file(file, listed[file], split)
        else:
            why = f"it has no class in {display_path(path)}"
            listing.report("incomplete_row", listing.relative(file), why)
    listing.findings.append(unlabelled_folders.classes_listed(path, len(listed)))
    return [path]


def all_files(
    root: Path, kind: FileKind, outside_links: bool, paths: Sequence[Path] = ()
) -> Listing:
    """All files under a folder (see `walk`), whatever its folders are called.

    Args:
        root: the folder.
        paths: files and folders in it that are listed; none: all.
    """
    listing = Listing(root, kind, outside_links)
    for path in paths or [root]:
        if path.is_dir():
            listing.list_class(path, split="")
        elif kind.matches(str(path)):
            listing.add_file(str(path))
        else:
            listing.unsupported[suffix_of(path.name)] += 1
    listing.findings = [finding for finding in listing.findings if finding.kind != "empty_class"]
    return listing


def files_at(
    root: str, kind: FileKind, outside_links: bool, hint: str = "", key: str = "data.root"
) -> Listing:
    """The file at `root`, of any kind, or all files of a kind below that folder.

    Args:
        root: a path, or a pattern such as `texts/2024-*.txt` for several.
        kind: of the files.
        outside_links: see `walk`.
        hint: what to do where there is no such file.
        key: the config key that the root comes from.

    Raises:
        ConfigError: no root was given.
        DataError: there is no such path, or no such file below it.
    """
    paths = [Path(path) for path in matching_paths(root)] if root else []
    if len(paths) > 1:
        folder = Path(os.path.commonpath([path.parent for path in paths]))
        listing = all_files(folder, kind, outside_links, paths)
    elif paths and paths[0].is_dir():
        listing = all_files(paths[0], kind, outside_links)
    else:
        path = existing_path(root, "file", key)
        return Listing(path.parent, kind, ids=[path.name], paths=[str(path)], is_file=True)
    if not listing.ids:
        others = format_counts(listing.unsupported)
        contents = f"; it has {others}" if others else ""
        endings = ", ".join(kind.endings)
        raise DataError(
            f"{key}: {display_path(root)} has no {kind.noun}s ({endings}){contents}.", hint
        )
    return listing


def examples(listing: Listing, content: Content) -> Examples:
    """The listing as examples, with all its findings."""
    findings = list(listing.all_findings())
    if listing.hidden:
        nouns = ("hidden file or folder was", "hidden files and folders were")
        why = f"{plural(listing.hidden, *nouns)} ignored."
        findings.append(Finding("hidden_file", "", why, count=listing.hidden))
    findings += name_findings(listing.class_names, listing.ids)
    splits = listing.splits if any(listing.splits) else None
    return from_names(listing.ids, listing.classes, content, splits, findings=findings)
