"""Examples out of files of records (JSON, or rows of a table), one file or a folder of them.

A file or a folder whose name begins with that of a split is one: `train.jsonl`, `val.jsonl`,
`test.jsonl`, also `train-00000-of-00002.parquet` or `test/a.jsonl`. A single file is divided by the
fractions, whatever it is called.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from fmkit.core.errors import DataError, join_names
from fmkit.data.examples import Content, Examples, without_classes
from fmkit.data.findings import Finding, UnusableInput, printable
from fmkit.data.formats.tables import ENDINGS, SHOWN_ENDINGS, records
from fmkit.data.formats.text_files import line_id
from fmkit.data.sources import directory
from fmkit.data.sources.directory import FileKind
from fmkit.data.split_names import split_of

T = TypeVar("T")


def read_examples(
    root: str,
    noun: str,
    parse: Callable[[Any], T],
    content: Callable[[tuple[T, ...]], Content],
    encoding: str = "utf-8",
    outside_links: bool = False,
    sheet: str | None = None,
) -> Examples:
    """The records of all files at `root`, by file and row, with ids such as `chats.jsonl:000012`.

    Args:
        root: a file, or a folder that is searched recursively.
        noun: what a record is called in messages.
        parse: makes a value of a record; raises `UnusableInput` where it cannot.
        content: makes the content of all values.
        encoding: of JSON.
        outside_links: follow links that lead out of the folder.
        sheet: of workbooks, see `sheet_rows`.

    Raises:
        DataError: there is nothing to read, or some files name a split and others do not.
    """
    kind = FileKind(f"{noun} file", ENDINGS)
    listing = directory.files_at(root, kind, outside_links)
    if not kind.matches(listing.ids[0]):  # a single file, which is listed whatever its name
        raise DataError(
            f"data.root: {listing.ids[0]} is not a {kind.noun} by its name.",
            f"Its name has to end in {SHOWN_ENDINGS}.",
        )
    ids, values, splits, findings = [], [], [], listing.all_findings()
    files = zip(listing.paths, listing.ids, _splits(root, listing.ids), strict=True)
    for path, name, split in files:
        shown = printable(name)
        try:
            for record in records(Path(path), encoding, sheet=sheet):
                where = line_id(shown, record.number)
                try:
                    if record.fault is not None:
                        raise record.fault
                    values.append(parse(record.value))
                    ids.append(where)
                    splits.append(record.split or split)
                except UnusableInput as error:
                    findings.append(Finding(error.kind, where, error.why))
        except UnusableInput as error:
            findings.append(Finding(error.kind, shown, error.why, path=path))
    split_column = np.array(splits, dtype=str) if any(splits) else None
    return without_classes(ids, content(tuple(values)), splits=split_column, findings=findings)


def _splits(root: str, names: Sequence[str]) -> list[str]:
    """The split of each file; empty texts where the fractions decide."""
    splits = [split_of(name) if len(names) > 1 else "" for name in names]
    unnamed = [printable(name) for name, split in zip(names, splits, strict=True) if not split]
    if any(splits) and unnamed:
        raise DataError(
            f"some files of {root} name a split, and others do not: {join_names(unnamed, 5)}.",
            "Name each of them train, val or test, or none of them.",
        )
    return splits
