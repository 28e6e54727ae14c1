"""Preferences in files: a row per pair of answers, in one file or in files named by their splits.

Ids are the file's name and the row's number from 1, as editors count lines: `train.jsonl:000012`.
Where no file is named by its split, the pairs of one prompt stay together in one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fmkit.config.data_schema import PreferencesData
from fmkit.data import check, folders
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding, printable
from fmkit.data.listing import SPLIT_NAMES, Things
from fmkit.data.object_rows import ENDINGS, BadFile, rows
from fmkit.data.preferences import BadPair, Pair, Preferences, pair_of
from fmkit.data.stratify import limited
from fmkit.errors import DataError, listed

_THINGS = Things("files of preferences", ENDINGS, "loose_texts")


@dataclass
class _Found:
    """Pairs that can be used, and what is wrong with the others."""

    ids: list[str] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def list_examples(config: PreferencesData) -> Examples:
    """The pairs of the file or folder `config.root`, by file and row.

    What is wrong with single rows and files is in the examples' findings.

    Raises:
        DataError: nothing is there to read, or only some files are named by their splits.
    """
    files, findings = _files(config)
    found = _Found(findings=findings)
    # One file holds all: whatever it is called, its splits have to be made.
    is_folder = Path(config.root).expanduser().is_dir()
    splits = [split_of(name) if is_folder else "" for _, name in files]
    if any(splits) and not all(splits):
        named, others = ([name for (_, name), each in zip(files, splits, strict=True)
                          if bool(each) == wanted] for wanted in (True, False))  # fmt: skip
        raise DataError(
            f"data.root: {listed(named, 5)} are named by their splits, and {listed(others, 5)} "
            "are not.",
            "Name all of them by their splits (train, val, test), or none.",
        )
    names = (config.prompt_column, config.chosen_column, config.rejected_column)
    for (path, name), split in zip(files, splits, strict=True):
        _read(found, path, name, split, names)
    content = Preferences(tuple(found.pairs))
    is_named = any(splits)
    examples = Examples(
        ids=tuple(found.ids),
        labels=np.zeros(len(found.ids), np.int32),
        classes=(),
        content=content,
        splits=np.array(found.splits, dtype=str) if is_named else None,
        groups=None if is_named or not found.ids else content.prompts(),
        findings=tuple(found.findings),
    )
    return limited(examples, config.limit) if found.ids else examples


def split_of(name: str) -> str:
    """The split that a file's name or one of its folders' tells; empty where none does."""
    parts = Path(name).parts
    words = [re.split(r"[-_.]", parts[-1])[0], *reversed(parts[:-1])]
    return next((SPLIT_NAMES[each.lower()] for each in words if each.lower() in SPLIT_NAMES), "")


def _files(config: PreferencesData) -> tuple[list[tuple[Path, str]], list[Finding]]:
    """Path and name of each file, and what is wrong with the listing."""
    if not config.root or not Path(config.root).expanduser().is_dir():
        path = check.existing(config.root, "file")
        if not _THINGS.has(path.name):
            raise DataError(
                f"data.root: {path.name} is no file of preferences by its name.",
                f"Its name has to end in {', '.join(ENDINGS)}.",
            )
        return [(path, path.name)], []
    root = check.existing(config.root, "folder")
    listing = folders.everything(root, _THINGS, config.outside_links)
    if not listing.ids:
        raise DataError(f"{root} has no {_THINGS.word} ({', '.join(ENDINGS)}).")
    found = [each for each in listing.findings if each.kind != "empty_class"]
    if listing.unsupported:
        count, told = listing.unsupported.total(), check.counted(listing.unsupported)
        why = f"{count} files are no {_THINGS.word} by their names: {told}."
        found.append(Finding("unsupported", "", why, count=count))
    return [
        (Path(path), name) for path, name in zip(listing.paths, listing.ids, strict=True)
    ], found


def _read(found: _Found, path: Path, name: str, split: str, names: tuple[str, str, str]) -> None:
    """Take the rows of a file over, or note what is wrong with them."""
    where = printable(name)
    try:
        for row in rows(path):
            key = f"{where}:{row.number:06d}"
            fault = row.fault
            if not fault:
                try:
                    pair = pair_of(row.value, names)
                except BadPair as error:
                    fault = str(error)
            if fault:
                found.findings.append(Finding("incomplete_row", key, fault))
                continue
            found.ids.append(key)
            found.pairs.append(pair)
            found.splits.append(split)
    except BadFile as error:
        found.findings.append(Finding(error.kind, where, error.why, path=str(path)))
