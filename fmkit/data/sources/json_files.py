"""Examples out of files of JSON records or parquet rows, one file or a folder of them.

A file or a folder whose name begins with that of a split is one: `train.jsonl`, `val.jsonl`,
`test.jsonl`, also `train-00000-of-00002.parquet` or `test/a.jsonl`. A single file is divided by the
fractions, whatever it is called.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from fmkit.core.errors import DataError, join_names
from fmkit.data.findings import Finding, UnusableInput, printable
from fmkit.data.formats.json_records import ENDINGS, records
from fmkit.data.formats.text_files import line_id
from fmkit.data.sources import directory
from fmkit.data.sources.listing import SPLIT_NAMES, FileKind

_WORD = re.compile(r"[a-z]+")
T = TypeVar("T")


@dataclass
class ParsedRecords(Generic[T]):
    """Records that can be used, and findings about the others.

    Attributes:
        ids: `chats.jsonl:000012`, the file with the number of the line or row from 1.
        values: parsed records.
        splits: of each; empty texts where the files name none.
    """

    ids: list[str] = field(default_factory=list)
    values: list[T] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def split_column(self) -> np.ndarray | None:
        """The splits, (N,); None where the fractions decide."""
        return np.array(self.splits, dtype=str) if any(self.splits) else None


def read_records(
    root: str,
    noun: str,
    parse: Callable[[Any], T],
    encoding: str = "utf-8",
    outside_links: bool = False,
) -> ParsedRecords[T]:
    """The records of all files at `root`, by file and row.

    Args:
        root: a file, or a folder that is searched recursively.
        noun: what a record is called in messages.
        parse: makes a value of a record; raises `UnusableInput` where it cannot.
        encoding: of JSON.
        outside_links: follow links that lead out of the folder.

    Raises:
        DataError: there is nothing to read, or some files name a split and others do not.
    """
    files, findings = _list_files(root, noun, outside_links)
    parsed: ParsedRecords[T] = ParsedRecords(findings=findings)
    for path, name, split in files:
        shown = printable(name)
        try:
            for record in records(Path(path), encoding):
                where = line_id(shown, record.number)
                try:
                    if record.fault is not None:
                        raise record.fault
                    value = parse(record.value)
                except UnusableInput as error:
                    parsed.findings.append(Finding(error.kind, where, error.why))
                    continue
                parsed.ids.append(where)
                parsed.values.append(value)
                parsed.splits.append(split)
        except UnusableInput as error:
            parsed.findings.append(Finding(error.kind, shown, error.why, path=path))
    return parsed


def _list_files(
    root: str, noun: str, outside_links: bool
) -> tuple[list[tuple[str, str, str]], list[Finding]]:
    """Path, name from the root and split, which may be empty, of each file at `root`; findings."""
    kind = FileKind(f"{noun} file", ENDINGS, "loose_texts")
    listing = directory.files_at(root, kind, outside_links)
    if not kind.matches(listing.ids[0]):  # a single file, which is listed whatever its name
        raise DataError(
            f"data.root: {listing.ids[0]} is not a {kind.noun} by its name.",
            f"Its name has to end in {', '.join(ENDINGS)}.",
        )
    splits = [split_of(name) if len(listing.ids) > 1 else "" for name in listing.ids]
    unnamed = [printable(n) for n, split in zip(listing.ids, splits, strict=True) if not split]
    if any(splits) and unnamed:
        raise DataError(
            f"some files of {root} name a split, and others do not: {join_names(unnamed, 5)}.",
            "Name each of them train, val or test, or none of them.",
        )
    files = list(zip(listing.paths, listing.ids, splits, strict=True))
    return files, directory.recursive_findings(listing)


def split_of(name: str) -> str:
    """The split that a file's name, or else that of a folder above it, begins with; or empty."""
    for part in reversed(name.lower().split("/")):
        word = _WORD.match(part)
        if word and word.group() in SPLIT_NAMES:
            return SPLIT_NAMES[word.group()]
    return ""
