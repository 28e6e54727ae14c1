"""Documents without classes: a line or a row of a table each, or a file each.

A small set is listed line by line and file by file. A large one, or a file that is much of its set,
comes in pieces of some 64 KiB, which is found out without reading it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fmkit.config.schema.data import DocumentsData, TextFilesData, TextLinesData
from fmkit.core.errors import DataError
from fmkit.data.content.documents import (
    JSON_LINES,
    DocumentFormat,
    Documents,
    TextFile,
    line_offsets,
)
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding, UnusableInput, printable
from fmkit.data.formats.table_stream import CSV, PARQUET, BadTable, Parquet
from fmkit.data.sources import directory
from fmkit.data.sources.listing import FileKind
from fmkit.data.sources.paths import existing_path, format_counts
from fmkit.data.stratify import hash_ranks

BLOCK = 2**16
"""Bytes of a piece of a large file."""

_SMALL = 2**24  # bytes of a set whose lines are counted when it is listed
_SHARE = 8  # a file with more than this part of all bytes is cut, so that splits can be made
_PIECES = 64  # least pieces of a set that is cut
_ENDINGS = (".txt", ".text", ".md")


def by_line(config: TextLinesData) -> Examples:
    """The lines of a file, or of all files in a folder; of a large set, pieces of many lines.

    Of a table the rows count, and of those the text in one column.

    `config.limit` takes the first documents.

    Raises:
        DataError: nothing is there to read.
    """
    form = DocumentFormat(True, config.encoding, config.text_column, config.quotes)
    files, found = _files(config, (*_ENDINGS, *JSON_LINES, *CSV, *PARQUET))
    files = [_measured(each, form) for each in files]
    if config.limit is not None:
        files = _first(files, form, config.limit)
    if sum(each.end for each in files) > _SMALL:
        return _in_blocks([_cut(each, BLOCK) for each in files], form, found)
    numbers = [_line_numbers(each, form) for each in files]
    return _examples(files, numbers, form, found)


def by_file(config: TextFilesData) -> Examples:
    """The text files in a folder, or a single one.

    `config.limit` takes files, by the hash of their names.

    Raises:
        DataError: nothing is there to read.
    """
    form = DocumentFormat(False, config.encoding)
    files, found = _files(config, _ENDINGS)
    if config.limit is not None and config.limit < len(files):
        rank = hash_ranks([each.name for each in files], "limit")
        kept = sorted(np.argsort(rank, kind="stable")[: config.limit].tolist())
        files = [files[each] for each in kept]
    total = sum(each.size for each in files)
    block = min(BLOCK, max(1, total // _PIECES))
    cut = [_cut(each, block) if each.size > total / _SHARE else each for each in files]
    return _in_blocks(cut, form, found)


def _files(config: DocumentsData, endings: Sequence[str]) -> tuple[list[TextFile], list[Finding]]:
    """The files at `config.root`, and what is wrong with the listing."""
    if not config.root or not Path(config.root).expanduser().is_dir():
        path = existing_path(config.root, "file")
        return [_text_file(str(path), path.name)], []
    root = existing_path(config.root, "folder")
    things = FileKind("texts", tuple(endings), "loose_texts")
    listing = directory.everything(root, things, config.outside_links)
    found = [each for each in listing.findings if each.kind != "empty_class"]
    if listing.unsupported:
        count = listing.unsupported.total()
        why = f"{count} files are no texts by their names: {format_counts(listing.unsupported)}."
        found.append(Finding("unsupported", "", why, count=count))
    if not listing.ids:
        told = format_counts(listing.unsupported)
        raise DataError(
            f"{root} has no text files ({', '.join(endings)}){'; it has ' if told else ''}{told}.",
            "Name one file in data.root to read it whatever its name ends in.",
        )
    rows = zip(listing.paths, listing.ids, strict=True)
    return [_text_file(path, name) for path, name in rows], found


def _text_file(path: str, name: str) -> TextFile:
    try:
        status = os.stat(path)  # noqa: PTH116 - a call a file, without objects
        return TextFile(path, name, status.st_size, status.st_mtime_ns, end=status.st_size)
    except OSError:  # what is wrong with it is told where it is read
        return TextFile(path, name, 0, 0)


def _measured(file: TextFile, form: DocumentFormat) -> TextFile:
    """The same file; of a parquet one it is found out where it ends."""
    if not file.name.lower().endswith(PARQUET):
        return file
    try:
        table = Parquet(file.path, file.name, form.text_column)
    except (BadTable, OSError):  # told where the file is looked at
        return file
    end = table.rows * table.scale
    return TextFile(file.path, file.name, file.size, file.changed, end=end)


def _cut(file: TextFile, block: int) -> TextFile:
    return TextFile(file.path, file.name, file.size, file.changed, block, file.end)


def _first(files: list[TextFile], form: DocumentFormat, limit: int) -> list[TextFile]:
    """The files up to the end of the first so many documents."""
    kept, left = [], limit
    for file in files:
        end = file.end
        try:
            for _, offset in line_offsets(file, form):
                if not left:
                    end = offset
                    break
                left -= 1
        except (UnusableInput, OSError):  # told where the file is looked at
            pass
        kept.append(TextFile(file.path, file.name, file.size, file.changed, 0, end))
        if not left:
            break
    return kept


def _line_numbers(file: TextFile, form: DocumentFormat) -> list[int]:
    """The numbers of lines that are not empty, or rows that can be used; at least one, for all."""
    found: list[int] = []
    with contextlib.suppress(UnusableInput, OSError):  # told where the file is looked at
        for number, _ in line_offsets(file, form):
            found.append(number)
    return found or [1]


def _in_blocks(files: list[TextFile], form: DocumentFormat, found: Sequence[Finding]) -> Examples:
    numbers = [range(max(1, -(-each.end // each.block)) if each.block else 1) for each in files]
    return _examples(files, numbers, form, found)


def _examples(
    files: Sequence[TextFile],
    numbers: Sequence[Sequence[int]],
    form: DocumentFormat,
    found: Sequence[Finding],
) -> Examples:
    """Examples of which each is a piece, with no class."""
    counts = [len(each) for each in numbers]
    content = Documents(
        tuple(files),
        form,
        np.repeat(np.arange(len(files)), counts),
        np.concatenate([np.asarray(each, np.int64) for each in numbers]),
    )
    whole = [not form.by_line and not each.block for each in files]
    ids = [
        printable(file.name) if is_whole else f"{printable(file.name)}:{number:06d}"
        for file, is_whole, each in zip(files, whole, numbers, strict=True)
        for number in each
    ]
    return Examples(
        ids=tuple(ids),
        labels=np.zeros(len(ids), np.int32),
        classes=(),
        content=content,
        findings=tuple(found),
    )
