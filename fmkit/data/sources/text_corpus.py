"""A text corpus: documents without classes, a line or a row of a table each, or a file each.

A small set is listed line by line and file by file. A large one, or a file that is much of its set,
comes in pieces of some 64 KiB, which are known without reading it.
"""

import contextlib
import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from fmkit.config.schema.data import DocumentsData, TextFilesData, TextLinesData
from fmkit.core.errors import DataError
from fmkit.core.types import SPLITS
from fmkit.data.content.documents import (
    DocumentFormat,
    Documents,
    TextFile,
    line_offsets,
    open_parquet,
)
from fmkit.data.examples import Examples, without_classes
from fmkit.data.findings import Finding, UnusableInput, printable
from fmkit.data.formats.delimited import CSV
from fmkit.data.formats.json_records import JSON_LINES
from fmkit.data.formats.parquet_table import PARQUET
from fmkit.data.formats.spreadsheet import EXCEL
from fmkit.data.formats.text_files import GZIP, BadEncoding, line_id, read_likely
from fmkit.data.sources import directory, split_folders
from fmkit.data.sources.directory import FileKind
from fmkit.data.sources.text_folder import other_encodings
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
    """
    format = DocumentFormat(True, config.encoding, config.text_column, config.quotes, config.header)
    files, findings = _files(config, (*_ENDINGS, *JSON_LINES, *CSV, *PARQUET))
    _refuse_unstreamed(files)
    splits, doubts = split_folders.splits_of_unlabelled([file.name for file in files], True)
    if splits:  # `config.limit` takes training documents first
        order = sorted(range(len(files)), key=lambda index: SPLITS.index(splits[index]))
        files, splits = [files[index] for index in order], [splits[index] for index in order]
    findings += doubts
    for index, file in enumerate(files):
        if file.name.lower().endswith(PARQUET):  # its rows have offsets of their own
            with contextlib.suppress(UnusableInput):  # reported where the file is inspected
                table, row_bytes = open_parquet(file, format)
                files[index] = dataclasses.replace(file, end=table.row_count * row_bytes)
    if config.limit is not None:
        files = _first_documents(files, format, config.limit)
    if sum(file.end for file in files) > _SMALL:
        blocks = [dataclasses.replace(file, block=BLOCK) for file in files]
        return _examples(blocks, format, findings, splits)
    numbers: list[list[int]] = [[] for _ in files]
    for file, file_numbers in zip(files, numbers, strict=True):
        with contextlib.suppress(UnusableInput, OSError):  # reported where the file is inspected
            for number, _ in line_offsets(file, format):
                file_numbers.append(number)
    numbers = [file_numbers or [1] for file_numbers in numbers]
    return _examples(files, format, findings, splits, numbers)


def by_file(config: TextFilesData) -> Examples:
    """The text files in a folder, or a single one; `config.limit` takes some by their hash."""
    format = DocumentFormat(False, config.encoding)
    files, findings = _files(config, _ENDINGS)
    if config.limit is not None and config.limit < len(files):
        ranks = hash_ranks([file.name for file in files], "limit")
        sampled = sorted(np.argsort(ranks, kind="stable")[: config.limit].tolist())
        files = [files[index] for index in sampled]
    files, others = _with_own_encodings(files, config.encoding)
    total = sum(file.size for file in files)
    block = min(BLOCK, max(1, total // _PIECES))
    files = [
        dataclasses.replace(file, block=block) if file.size > total / _SHARE else file
        for file in files
    ]
    splits, doubts = split_folders.splits_of_unlabelled([file.name for file in files])
    return _examples(files, format, [*findings, *others, *doubts], splits)


def _with_own_encodings(
    files: Sequence[TextFile], encoding: str
) -> tuple[list[TextFile], list[Finding]]:
    """The files of a small set, some in another encoding than `data.encoding`, and a note on those.

    Where it seems to be none of theirs, they stay as they are, and are refused where they are read.
    """
    if sum(file.size for file in files) > _SMALL:
        return list(files), []
    in_others: list[tuple[str, BadEncoding]] = []
    is_proven = False  # some texts have letters in the encoding that is named
    for file in files:
        with contextlib.suppress(UnusableInput):  # reported where the file is inspected
            text, error = read_likely(file.path, encoding)
            in_others += [(file.name, error)] if error else []
            is_proven |= error is None and not text.isascii()
    if not in_others or (2 * len(in_others) > len(files) and not is_proven):
        return list(files), []
    likely = {name: error.likely for name, error in in_others}
    own = [dataclasses.replace(file, encoding=likely.get(file.name, "")) for file in files]
    return own, [other_encodings(in_others, len(files), encoding)]


def _refuse_unstreamed(files: Sequence[TextFile]) -> None:
    """Raise a DataError for a table that other sources read and whose lines are not its rows."""
    for file in files:
        name = file.name.lower()
        if name.endswith(GZIP):
            raise DataError(
                f"data.root: {file.name} is compressed, and data=text_lines reads files in parts.",
                "Unpack it: gunzip --keep FILE",
            )
        if name.endswith((".json", *EXCEL)):
            raise DataError(
                f"data.root: a line of {file.name} is not a document.",
                "Save it as .jsonl, .csv or .parquet for data=text_lines; for data=text_files a "
                "whole file is a document.",
            )


def _files(config: DocumentsData, endings: Sequence[str]) -> tuple[list[TextFile], list[Finding]]:
    """The files at `config.root`, and findings about the listing."""
    hint = "Name one file in data.root to read it whatever its name ends in."
    kind = FileKind("text file", tuple(endings))
    listing = directory.files_at(config.root, kind, config.outside_links, hint)
    files = []
    for path, name in zip(listing.paths, listing.ids, strict=True):
        size = changed = 0
        with contextlib.suppress(OSError):  # reported where the file is read
            status = os.stat(path)  # noqa: PTH116 - a call a file, without objects
            size, changed = status.st_size, status.st_mtime_ns
        files.append(TextFile(path, name, size, changed, end=size))
    return files, listing.all_findings()


def _first_documents(files: list[TextFile], format: DocumentFormat, limit: int) -> list[TextFile]:
    """The files up to the end of the first `limit` documents."""
    limited, remaining = [], limit
    for file in files:
        end = file.end
        with contextlib.suppress(UnusableInput, OSError):  # reported where the file is inspected
            for _, offset in line_offsets(file, format):
                if not remaining:
                    end = offset
                    break
                remaining -= 1
        limited.append(dataclasses.replace(file, end=end))
        if not remaining:
            break
    return limited


def _examples(
    files: Sequence[TextFile],
    format: DocumentFormat,
    findings: Sequence[Finding],
    splits: Sequence[str] = (),
    numbers: Sequence[Sequence[int]] = (),
) -> Examples:
    """Examples without classes: pieces of files by their numbers, or else all blocks of each.

    Args:
        files: those that are read.
        format: of all of them.
        findings: about them so far.
        splits: of each file; none: the fractions decide.
        numbers: of each file's pieces; none: all of its blocks.
    """
    counts = [max(1, -(-file.end // file.block)) if file.block else 1 for file in files]
    numbers = numbers or [range(count) for count in counts]
    ids = []
    for file, file_numbers in zip(files, numbers, strict=True):
        name, is_whole = printable(file.name), not format.by_line and not file.block
        ids += [name if is_whole else line_id(name, number) for number in file_numbers]
    file_of = np.repeat(np.arange(len(files)), [len(file_numbers) for file_numbers in numbers])
    pieces = np.concatenate([np.asarray(file_numbers, np.int64) for file_numbers in numbers])
    content = Documents(tuple(files), format, file_of, pieces)
    split_column = np.array(splits, dtype=str)[file_of] if splits else None
    return without_classes(ids, content, splits=split_column, findings=findings)
