"""A text corpus: documents without classes, a line or a row of a table each, or a file each.

A small set is listed line by line and file by file. A large one, or a file that is much of its set,
comes in pieces of some 64 KiB, which are known without reading it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from fmkit.config.schema.data import DocumentsData, TextFilesData, TextLinesData
from fmkit.data.content.documents import (
    DocumentFormat,
    Documents,
    TextFile,
    line_offsets,
    open_parquet,
)
from fmkit.data.examples import Examples, without_classes
from fmkit.data.findings import Finding, UnusableInput, printable
from fmkit.data.formats.json_records import JSON_LINES
from fmkit.data.formats.tables import CSV, PARQUET
from fmkit.data.sources import directory
from fmkit.data.sources.listing import FileKind
from fmkit.data.stratify import hash_ranks

BLOCK = 2**16
"""Bytes of a piece of a large file."""

_SMALL = 2**24  # bytes of a set whose lines are counted when it is listed
_SHARE = 8  # a file with more than this part of all bytes is divided, so that splits can be made
_PIECES = 64  # least pieces of a set that is divided
_ENDINGS = (".txt", ".text", ".md")


def by_line(config: TextLinesData) -> Examples:
    """The lines of a file, or of all files in a folder; in a large set, pieces of many lines.

    In a table the rows count, and the text in one of their columns. `config.limit` takes the first
    documents.

    Raises:
        DataError: there is nothing to read.
    """
    form = DocumentFormat(True, config.encoding, config.text_column, config.quotes)
    files, findings = _files(config, (*_ENDINGS, *JSON_LINES, *CSV, *PARQUET))
    files = [_with_end(file, form) for file in files]
    if config.limit is not None:
        files = _first_documents(files, form, config.limit)
    if sum(file.end for file in files) > _SMALL:
        blocks = [dataclasses.replace(file, block=BLOCK) for file in files]
        return _examples(blocks, [_block_numbers(file) for file in blocks], form, findings)
    return _examples(files, [_line_numbers(file, form) for file in files], form, findings)


def by_file(config: TextFilesData) -> Examples:
    """The text files in a folder, or a single one.

    `config.limit` takes files, by the hash of their names.

    Raises:
        DataError: there is nothing to read.
    """
    form = DocumentFormat(False, config.encoding)
    files, findings = _files(config, _ENDINGS)
    if config.limit is not None and config.limit < len(files):
        ranks = hash_ranks([file.name for file in files], "limit")
        sampled = sorted(np.argsort(ranks, kind="stable")[: config.limit].tolist())
        files = [files[index] for index in sampled]
    total = sum(file.size for file in files)
    block = min(BLOCK, max(1, total // _PIECES))
    files = [
        dataclasses.replace(file, block=block) if file.size > total / _SHARE else file
        for file in files
    ]
    return _examples(files, [_block_numbers(file) for file in files], form, findings)


def _files(config: DocumentsData, endings: Sequence[str]) -> tuple[list[TextFile], list[Finding]]:
    """The files at `config.root`, and findings about the listing."""
    hint = "Name one file in data.root to read it whatever its name ends in."
    kind = FileKind("text file", tuple(endings), "loose_texts")
    listing = directory.files_at(config.root, kind, config.outside_links, hint)
    files = [_text_file(*row) for row in zip(listing.paths, listing.ids, strict=True)]
    return files, directory.recursive_findings(listing)


def _text_file(path: str, name: str) -> TextFile:
    try:
        status = os.stat(path)  # noqa: PTH116 - a call a file, without objects
        return TextFile(path, name, status.st_size, status.st_mtime_ns, end=status.st_size)
    except OSError:  # reported where the file is read
        return TextFile(path, name, 0, 0)


def _with_end(file: TextFile, form: DocumentFormat) -> TextFile:
    """The same file; a parquet one with the end of its rows as their offsets count."""
    if not file.name.lower().endswith(PARQUET):
        return file
    try:
        table, row_bytes = open_parquet(file, form)
    except UnusableInput:  # reported where the file is inspected
        return file
    return dataclasses.replace(file, end=table.row_count * row_bytes)


def _first_documents(files: list[TextFile], form: DocumentFormat, limit: int) -> list[TextFile]:
    """The files up to the end of the first `limit` documents."""
    limited, left = [], limit
    for file in files:
        end = file.end
        with contextlib.suppress(UnusableInput, OSError):  # reported where the file is inspected
            for _, offset in line_offsets(file, form):
                if not left:
                    end = offset
                    break
                left -= 1
        limited.append(dataclasses.replace(file, end=end))
        if not left:
            break
    return limited


def _line_numbers(file: TextFile, form: DocumentFormat) -> list[int]:
    """The numbers of lines that are not empty, or rows that can be used; at least one, for all."""
    numbers: list[int] = []
    with contextlib.suppress(UnusableInput, OSError):  # reported where the file is inspected
        for number, _ in line_offsets(file, form):
            numbers.append(number)
    return numbers or [1]


def _block_numbers(file: TextFile) -> range:
    return range(max(1, -(-file.end // file.block)) if file.block else 1)


def _examples(
    files: Sequence[TextFile],
    numbers: Sequence[Sequence[int]],
    form: DocumentFormat,
    findings: Sequence[Finding],
) -> Examples:
    """Examples of which each is a piece, with no class."""
    content = Documents(
        tuple(files),
        form,
        np.repeat(np.arange(len(files)), [len(of_file) for of_file in numbers]),
        np.concatenate([np.asarray(of_file, np.int64) for of_file in numbers]),
    )
    whole = [not form.by_line and not file.block for file in files]
    ids = [
        printable(file.name) if is_whole else f"{printable(file.name)}:{number:06d}"
        for file, is_whole, of_file in zip(files, whole, numbers, strict=True)
        for number in of_file
    ]
    return without_classes(ids, content, findings=findings)
