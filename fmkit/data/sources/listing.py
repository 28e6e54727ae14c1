"""Listing of folders: which files it looks for, and what it has so far."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from fmkit.data.findings import Finding

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Names of splits in folders and tables, in lower case."""


@dataclass(frozen=True)
class FileKind:
    """The kind of files that a listing looks for.

    Attributes:
        noun: what one is called.
        endings: of their names, in lower case.
        loose: kind of the finding about files outside of class folders.
        other_source: endings of the files that another source reads, and its name.
        class_files: a file may be a class.
    """

    noun: str
    endings: tuple[str, ...]
    loose: str
    other_source: tuple[tuple[str, ...], str] = ((), "")
    class_files: bool = False

    def matches(self, path: str) -> bool:
        """Whether a file is of this kind, by its name."""
        return path.lower().endswith(self.endings)


@dataclass
class Listing:
    """A listing of folders so far.

    Attributes:
        root: the folder.
        kind: of the files it looks for.
        outside_links: links out of the root are followed.
        has_splits: the folders below the root are splits.
        class_files: path, class and split of each file that is a class.
        ids: of the examples; `paths`, `classes` and `splits` have a row for each.
        class_names: of folders and class files, in their order.
        findings: problems.
        unsupported: number of files of another kind, by their ending.
        hidden: number of files and folders that were ignored.
        seen: path of each folder by device and inode, so that none is listed twice.
    """

    root: Path
    kind: FileKind
    outside_links: bool = False
    has_splits: bool = False
    class_files: list[tuple[str, str, str]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    class_names: list[str] = field(default_factory=list)
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
        """Add a finding."""
        self.findings.append(Finding(kind, where, why, path=path))
