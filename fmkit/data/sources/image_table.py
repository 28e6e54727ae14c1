"""Photos named by a table: a row per photo, with its class, labels or numbers, perhaps its split
and group.

How its cells are read stands in `table_file`, what labels are in `label_cells`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.config.schema.data import ImageTableData
from fmkit.core.errors import DataError
from fmkit.data.content.images import ImageFiles
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding
from fmkit.data.formats.tables import read_columns
from fmkit.data.sources import label_columns
from fmkit.data.sources.label_columns import LabelReader
from fmkit.data.sources.listing import SPLIT_NAMES
from fmkit.data.sources.paths import existing_path, file_sizes
from fmkit.data.stratify import limit_examples

_NAMES = (
    "Name the columns with data.path_column, label_column, label_columns, split_column and "
    "group_column."
)


@dataclass
class _Rows:
    """The rows of a table that can be used, and what is wrong with the others."""

    ids: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    first: dict[str, tuple[int, tuple[Hashable, ...]]] = field(default_factory=dict)
    repeated: int = 0

    def find(self, kind: str, where: str, why: str = "") -> None:
        """Note what is wrong with one row."""
        self.findings.append(Finding(kind, where, why))


def list_examples(config: ImageTableData) -> Examples:
    """The photos that the table `config.root` names, in the order of its rows.

    What is wrong with single rows is in the examples' findings.

    Raises:
        ConfigError: the file's name ends in nothing that is known.
        DataError: the table cannot be read, or columns are missing; all problems at once.
    """
    table = existing_path(config.root, "file")
    answers = label_columns.label_reader(config)
    wanted = [config.path_column, *answers.columns]
    wanted += [each for each in (config.split_column, config.group_column) if each]
    columns = read_columns(table, wanted, _NAMES)
    if config.image_root is None:
        folder = table.parent
    else:
        folder = existing_path(config.image_root, "folder", "data.image_root")
    rows = _Rows()
    cells = [columns[each] for each in wanted]
    for number, row in enumerate(zip(*cells, strict=True)):
        _add_row(rows, config, answers, folder, dict(zip(wanted, row, strict=True)), number + 1)
    return _examples(rows, config, answers, table)


def _add_row(
    rows: _Rows,
    config: ImageTableData,
    answers: LabelReader,
    folder: Path,
    cells: dict[str, str],
    number: int,
) -> None:
    """Take one row over, or note all that is wrong with it."""
    path = cells[config.path_column]
    answer, wrong = answers.read(cells)
    split = cells[config.split_column] if config.split_column else ""
    group = cells[config.group_column] if config.group_column else ""
    where, before = f"row {number}", len(rows.findings)
    for each in wrong:
        rows.find("incomplete_row", where, each)
    if config.split_column and not split:
        rows.find("incomplete_row", where, f"no split in column {config.split_column!r}")
    elif config.split_column and split.lower() not in SPLIT_NAMES:
        rows.find("incomplete_row", where, f"unknown split {split!r} (expected train, val or test)")
    if config.group_column and not group:
        rows.find("incomplete_row", where, f"no group in column {config.group_column!r}")
    found = _find(folder, path) if path else None
    if not path:
        rows.find("incomplete_row", where, "no path")
    elif found is None:
        rows.find("missing_file", where, f"{path!r} is not in {folder}")
    if found is None or len(rows.findings) > before:
        return
    name = _identity(found, folder)
    facts = (answer, split.lower(), group)
    earlier = rows.first.setdefault(name, (number, facts))
    if earlier[0] != number:
        if earlier[1] == facts:
            rows.repeated += 1
        else:
            rows.find("conflicting_rows", f"rows {earlier[0]} and {number}", repr(name))
        return
    rows.ids.append(name)
    rows.paths.append(found)
    rows.answers.append(answer)
    rows.splits.append(SPLIT_NAMES.get(split.lower(), ""))
    rows.groups.append(group)


def _find(folder: Path, path: str) -> str | None:
    """The absolute path of a file that exists; a table from Windows may have backslashes."""
    for each in dict.fromkeys([path, path.replace("\\", "/")]):
        candidate = os.path.abspath(folder / os.path.expanduser(each))  # noqa: PTH100, PTH111
        if os.path.isfile(candidate):  # noqa: PTH113 - a name too long, or a NUL, is no error
            return candidate
    return None


def _identity(path: str, folder: Path) -> str:
    inside = Path(path).is_relative_to(folder)
    return (Path(path).relative_to(folder) if inside else Path(path)).as_posix()


def _examples(rows: _Rows, config: ImageTableData, answers: LabelReader, table: Path) -> Examples:
    """The rows as examples, with all that is wrong with the others."""
    if not rows.ids and not rows.findings:
        raise DataError(f"{table} has no rows.")
    findings = rows.findings
    if rows.repeated:
        why = f"{rows.repeated} rows of {table.name} repeat an earlier one: left out."
        findings.append(Finding("repeated_rows", "", why, count=rows.repeated))
    content = ImageFiles(tuple(rows.paths), file_sizes(rows.paths))
    examples = dataclasses.replace(
        answers.examples(rows.ids, rows.answers, content, findings),
        splits=np.array(rows.splits, dtype=str) if config.split_column else None,
        groups=np.array(rows.groups, dtype=str) if config.group_column else None,
    )
    return limit_examples(examples, config.limit) if rows.ids else examples
