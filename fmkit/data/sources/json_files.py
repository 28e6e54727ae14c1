"""Files of objects, one or a folder of them, and the splits that their names tell.

A file or a folder whose name begins so is a split: `train.jsonl`, `val.jsonl`, `test.jsonl`, also
`train-00000-of-00002.parquet` or `test/a.jsonl`. Of a single file the splits have to be made,
whatever it is called.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fmkit.core.errors import DataError, join_names
from fmkit.data.findings import Finding, printable
from fmkit.data.formats.json_records import ENDINGS
from fmkit.data.sources import directory
from fmkit.data.sources.listing import SPLIT_NAMES, FileKind
from fmkit.data.sources.paths import existing_path, format_counts

_WORD = re.compile(r"[a-z]+")


@dataclass(frozen=True)
class ObjectFile:
    """A file to read.

    Attributes:
        path: where it is.
        name: its path from the root, with forward slashes.
        split: the split that it is; empty where none is named.
    """

    path: Path
    name: str
    split: str


def list_files(root: str, word: str, outside_links: bool) -> tuple[list[ObjectFile], list[Finding]]:
    """The files at `root`, and what is wrong with single ones.

    Args:
        root: a file, or a folder that is searched to the bottom.
        word: what the files hold, in the plural, for messages.
        outside_links: follow links that lead out of the folder.

    Raises:
        DataError: nothing is there to read, or some files name a split and others do not.
    """
    if not root or not Path(root).expanduser().is_dir():
        path = existing_path(root, "file")
        if not path.name.lower().endswith(ENDINGS):
            raise DataError(
                f"data.root: {path.name} is no file of {word} by its name.",
                f"Its name has to end in {', '.join(ENDINGS)}.",
            )
        return [ObjectFile(path, path.name, "")], []
    folder = existing_path(root, "folder")
    listing = directory.everything(folder, FileKind(word, ENDINGS, "loose_texts"), outside_links)
    found = [each for each in listing.findings if each.kind != "empty_class"]
    told = format_counts(listing.unsupported)
    if not listing.ids:
        raise DataError(
            f"{folder} has no files of {word} ({', '.join(ENDINGS)})"
            f"{'; it has ' if told else ''}{told}.",
        )
    if listing.unsupported:
        count = listing.unsupported.total()
        why = f"{count} files are no {word} by their names: {told}."
        found.append(Finding("unsupported", "", why, count=count))
    splits = [split_of(each) if len(listing.ids) > 1 else "" for each in listing.ids]
    without = [printable(n) for n, split in zip(listing.ids, splits, strict=True) if not split]
    if any(splits) and without:
        raise DataError(
            f"some files of {root} name a split, and others do not: {join_names(without, 5)}.",
            "Name each of them train, val or test, or none of them.",
        )
    files = zip(listing.paths, listing.ids, splits, strict=True)
    return [ObjectFile(Path(path), name, split) for path, name, split in files], found


def split_of(name: str) -> str:
    """The split that a file's name, or else that of a folder above it, begins with; or empty."""
    for part in reversed(name.lower().split("/")):
        word = _WORD.match(part)
        if word and word.group() in SPLIT_NAMES:
            return SPLIT_NAMES[word.group()]
    return ""
