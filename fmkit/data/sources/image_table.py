"""Photos named by a table: a row per photo, with its class, labels or numbers.

It may name splits and groups, too (`table_rows.py`). `formats/tables.py` reads the cells,
`label_columns.py` the labels.
"""

from __future__ import annotations

import os
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path

from fmkit.config.schema.data import ImageTableData
from fmkit.core.errors import DataError, plural
from fmkit.data.content.images import ImageFiles
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding
from fmkit.data.formats.tables import read_complete
from fmkit.data.sources import label_columns
from fmkit.data.sources.label_columns import LabelReader
from fmkit.data.sources.paths import existing_path, file_sizes
from fmkit.data.sources.table_rows import UsableRows, split_and_group, split_columns

_HINT = (
    "Name the columns with data.path_column, label_column, label_columns, split_column and "
    "group_column."
)


@dataclass
class _Photos(UsableRows):
    """The rows that can be used; `values` are paths.

    Attributes:
        first: by id, the number of the first row with it, and what it says of the photo.
        repeated: rows that say the same as an earlier one.
    """

    first: dict[str, tuple[int, Hashable]] = field(default_factory=dict)
    repeated: int = 0


def list_examples(config: ImageTableData) -> Examples:
    """The photos that the table `config.root` names, in the order of its rows.

    Problems of single rows are in the examples' findings.

    Raises:
        ConfigError: the file's name has an unknown ending.
        DataError: the table cannot be read, or columns are missing; all problems at once.
    """
    table = existing_path(config.root, "file")
    labels = label_columns.label_reader(config)
    names = [config.path_column, *labels.columns, *split_columns(config)]
    cells = read_complete(table, names, _HINT)
    if config.image_root is None:
        folder = table.parent
    else:
        folder = existing_path(config.image_root, "folder", "data.image_root")
    rows = _Photos()
    for number, row in enumerate(cells, start=1):
        _add_row(rows, config, labels, folder, row, number)
    if not rows.ids and not rows.findings:
        raise DataError(f"{table} has no rows.")
    if rows.repeated:
        nouns = (f"row of {table.name} repeats", f"rows of {table.name} repeat")
        why = f"{plural(rows.repeated, *nouns)} an earlier one: left out."
        rows.findings.append(Finding("repeated_rows", "", why, count=rows.repeated))
    content = ImageFiles(tuple(rows.values), file_sizes(rows.values))
    return rows.examples(labels, content, config)


def _add_row(
    rows: _Photos,
    config: ImageTableData,
    labels: LabelReader,
    folder: Path,
    cells: dict[str, str],
    number: int,
) -> None:
    """Add one row, or findings about all that is wrong with it."""
    listed = cells[config.path_column]
    target, problems = labels.read(cells)
    split, split_problems = split_and_group(cells, config)
    problems = [*problems, *split_problems, *([] if listed else ["no path"])]
    path = _find_file(folder, listed) if listed else None
    where = f"row {number}"
    rows.findings += [Finding("incomplete_row", where, problem) for problem in problems]
    if listed and path is None:
        rows.findings.append(Finding("missing_file", where, f"{listed!r} is not in {folder}"))
    if path is None or problems:
        return
    is_inside = Path(path).is_relative_to(folder)
    name = (Path(path).relative_to(folder) if is_inside else Path(path)).as_posix()
    facts = (target, split)
    first, first_facts = rows.first.setdefault(name, (number, facts))
    if first == number:
        rows.add(name, path, target, split)
    elif first_facts == facts:
        rows.repeated += 1
    else:
        where = f"rows {first} and {number}"
        rows.findings.append(Finding("conflicting_rows", where, repr(name)))


def _find_file(folder: Path, path: str) -> str | None:
    """The absolute path of a file that exists; a table from Windows may have backslashes."""
    for spelling in dict.fromkeys([path, path.replace("\\", "/")]):
        candidate = os.path.abspath(folder / os.path.expanduser(spelling))  # noqa: PTH100, PTH111
        if os.path.isfile(candidate):  # noqa: PTH113 - a name too long, or a NUL, is not an error
            return candidate
    return None
