"""What a listing of folders looks for, and what it has found so far."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from fmkit.data.findings import Finding

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


@dataclass(frozen=True)
class FileKind:
    """What a listing looks for.

    Attributes:
        word: what the files are called, in the plural.
        endings: of their names, in lower case.
        loose: kind of the finding of those outside of class folders.
        elsewhere: endings of what another source reads, and its name.
        class_files: a file may be a class.
    """

    word: str
    endings: tuple[str, ...]
    loose: str
    elsewhere: tuple[tuple[str, ...], str] = ((), "")
    class_files: bool = False

    def has(self, path: str) -> bool:
        """Whether a file is one of them, by its name."""
        return path.lower().endswith(self.endings)


@dataclass(frozen=True)
class ClassFile:
    """A file with a line per example of one class."""

    path: str
    name: str
    split: str


@dataclass
class Listing:
    """What was found so far: rows of `ids`, `paths`, `names` and `splits`, or `class_files`."""

    root: Path
    things: FileKind
    outside_links: bool = False
    named: bool = False
    class_files: list[ClassFile] = field(default_factory=list)
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
