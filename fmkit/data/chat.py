"""Conversations in files: a JSON object per line, a JSON list, or a parquet file with a row each.

How an object says what was said stands in `turns`. A file or a folder whose name says so is a
split: `train.jsonl`, `val.jsonl`, `test.jsonl`, also `train-00000-of-00002.parquet` or
`test/a.jsonl`. Ids are paths from the root with the line's number from 1, `chats.jsonl:000012`; of
a list or a table it is the entry's.

All conversations are held in memory, as the texts of a table are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.config.data_schema import ChatData
from fmkit.data import check, folders, turns
from fmkit.data.encodings import BadEncoding, decoded
from fmkit.data.examples import Conversations, Examples
from fmkit.data.findings import Finding, printable
from fmkit.data.listing import SPLIT_NAMES, Things
from fmkit.data.regular import NotAFile, opened
from fmkit.data.text_folder import line_id, numbered
from fmkit.errors import DataError, listed
from fmkit.spec import Message

LINES, LIST, TABLE = (".jsonl", ".ndjson"), (".json",), (".parquet", ".pq")
_THINGS = Things("conversations", (*LINES, *LIST, *TABLE), "loose_texts")
_WORD = re.compile(r"[a-z]+")

Row = tuple[int, Any, tuple[str, str] | None]
"""Number from 1, the object, and kind and reason of what is wrong with it."""


class _BadFile(Exception):
    """A file of which nothing can be read: the kind of the finding, and why."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind, self.why = kind, why


@dataclass
class _Found:
    """Rows that can be used, and what is wrong with the others."""

    ids: list[str] = field(default_factory=list)
    conversations: list[tuple[Message, ...]] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def list_examples(config: ChatData) -> Examples:
    """The conversations at `config.root`, in the order of files and lines.

    What is wrong with single ones is in the examples' findings.

    Raises:
        DataError: nothing is there to read, or some files name a split and others do not.
    """
    found = _Found()
    paths = _files(config, found)
    splits = {name: _split(name) for name in paths} if len(paths) > 1 else {}
    without = [name for name, split in splits.items() if not split]
    if without and len(without) < len(splits):
        raise DataError(
            f"some files of {config.root} name a split, and others do not: "
            f"{listed([printable(each) for each in without], 5)}.",
            "Name each of them train, val or test, or none of them.",
        )
    for name, path in paths.items():
        _read(found, name, path, splits.get(name, ""), config.encoding)
    named = bool(splits) and not without
    return Examples(
        ids=tuple(found.ids),
        labels=np.zeros(len(found.ids), np.int32),
        classes=(),
        content=Conversations(tuple(found.conversations)),
        splits=np.array(found.splits, str) if named else None,
        findings=tuple(found.findings),
    )


def _files(config: ChatData, found: _Found) -> dict[str, str]:
    """By name from the root, the path of each file."""
    if not config.root or not Path(config.root).expanduser().is_dir():
        path = check.existing(config.root, "file")
        return {path.name: str(path)}
    root = check.existing(config.root, "folder")
    listing = folders.everything(root, _THINGS, config.outside_links)
    found.findings += [each for each in listing.findings if each.kind != "empty_class"]
    told = check.counted(listing.unsupported)
    if listing.unsupported:
        count = listing.unsupported.total()
        why = f"{count} files are no conversations by their names: {told}."
        found.findings.append(Finding("unsupported", "", why, count=count))
    if not listing.ids:
        raise DataError(
            f"{root} has no files of conversations ({', '.join(_THINGS.endings)})"
            f"{'; it has ' if told else ''}{told}.",
        )
    return dict(zip(listing.ids, listing.paths, strict=True))


def _split(name: str) -> str:
    """The split that a file's name, or else that of a folder above it, begins with; or empty."""
    for part in reversed(name.lower().split("/")):
        word = _WORD.match(part)
        if word and word.group() in SPLIT_NAMES:
            return SPLIT_NAMES[word.group()]
    return ""


def _read(found: _Found, name: str, path: str, split: str, encoding: str) -> None:
    """Add what a file holds."""
    shown, before = printable(name), len(found.ids) + len(found.findings)
    try:
        for number, row, wrong in _rows(path, encoding):
            where = line_id(shown, number)
            said = turns.messages(row) if wrong is None else wrong[1]
            if isinstance(said, str):
                kind = "incomplete_row" if wrong is None else wrong[0]
                found.findings.append(Finding(kind, where, said))
                continue
            found.ids.append(where)
            found.conversations.append(said)
            found.splits.append(split)
    except _BadFile as error:
        found.findings.append(Finding(error.kind, shown, error.why, path=path))
        return
    if before == len(found.ids) + len(found.findings):
        found.findings.append(Finding("empty_file", shown, "", path=path))


def _rows(path: str, encoding: str) -> Iterator[Row]:
    """The objects of a file.

    Raises:
        _BadFile: it cannot be read as a whole.
    """
    if path.lower().endswith(TABLE):
        yield from _table(path)
        return
    try:
        with opened(path) as stream:
            content = stream.read()
    except NotAFile as error:
        raise _BadFile("special_file", str(error)) from None
    except OSError as error:
        raise _BadFile("unreadable", str(error.strerror or error)) from None
    try:
        if path.lower().endswith(LIST):
            text = decoded(content, encoding)
            if text.lstrip().startswith("[") or _is_one_object(text):
                yield from _list(text)
                return
        lines = numbered(content, encoding)
    except BadEncoding as error:
        raise _BadFile("bad_encoding", str(error)) from None
    for number, line, fault in lines:
        yield number, *_parsed(line, fault)


def _is_one_object(text: str) -> bool:
    """Whether a text is one JSON object over several lines, which is no list."""
    if "\n" not in text.strip() or not text.lstrip().startswith("{"):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _parsed(line: str, fault: tuple[str, str] | None) -> tuple[Any, tuple[str, str] | None]:
    if fault is not None:
        return None, fault
    try:
        return json.loads(line), None
    except (ValueError, RecursionError) as error:
        return None, ("incomplete_row", f"no JSON: {error}")


def _list(text: str) -> Iterator[Row]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _BadFile("not_text", f"no JSON: {error}") from None
    if not isinstance(content, list):
        why = "one JSON object; expected a list of objects, or an object per line"
        raise _BadFile("not_text", why)
    for number, row in enumerate(content, start=1):
        yield number, row, None


def _table(path: str) -> Iterator[Row]:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    try:
        file = parquet.ParquetFile(path)
        there = [each for each in file.schema_arrow.names if each in turns.KEYS]
        rows = file.read(columns=there).to_pylist()
    except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _BadFile("not_text", f"no readable parquet file: {error}") from None
    for number, row in enumerate(rows, start=1):
        yield number, row, None
