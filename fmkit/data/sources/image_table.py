"""Photos named by a table: a row per photo, with its class, labels or numbers.

`formats/tables.py` reads the cells, `label_readers.py` labels, `table_rows.py` splits and groups.
"""

import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from fmkit.config.saved_config import shell_setting
from fmkit.config.schema.data import ImageTableData
from fmkit.core.errors import join_names, plural
from fmkit.core.files import display_path
from fmkit.data.content.images import ImageFiles
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding, UnusableInput, printable
from fmkit.data.formats.parquet_photos import photo_columns, photo_files
from fmkit.data.formats.tables import read
from fmkit.data.sources import photo_search
from fmkit.data.sources.paths import ADDRESS, existing_path, file_sizes, is_address
from fmkit.data.sources.split_folders import table_findings
from fmkit.data.sources.table_files import TableFile
from fmkit.data.sources.table_rows import UsableRows, row_id

_PROBED = 5  # paths by which the folder is known that all start from
_HINT = (
    "Name the columns with data.path_column, label_column, label_columns, split_column and "
    "group_column. "
    "In a CSV or TSV without a header they are column_1, column_2 and so on."
)


def list_examples(config: ImageTableData) -> Examples:
    """The photos that the tables at `config.root` name, in the order of their rows."""
    rows = UsableRows(config, [config.path_column])
    folder = None
    if config.image_root is not None:
        folder = existing_path(config.image_root, "folder", "data.image_root")
    tables = rows.files()
    photos = _Photos(rows, folder or Path(os.path.commonpath([t.path.parent for t in tables])))
    listed_rows: list[_ListedRow] = []
    for table in tables:
        if has_photos(table.path, config.path_column):
            _add_photos_inside(table, config, rows)
            continue
        table_rows = read(
            table.path, rows.columns, _HINT, list_columns=rows.list_columns, header=config.header,
            sheet=config.sheet,
        )  # fmt: skip
        for number, row in enumerate(table_rows, start=1):
            where = f"{table.prefix}row {number}"
            if row.fault:
                rows.findings.append(Finding("incomplete_row", where, row.fault))
                continue
            labels, problems = rows.read_labels(row.cells, row.split or table.split)
            listed = row.cells[config.path_column]
            problems += [] if listed else ["no path"]
            rows.findings += [Finding("incomplete_row", where, problem) for problem in problems]
            if listed:
                start = folder or table.path.parent
                listed_rows.append(_ListedRow(where, listed, start, labels, not problems))
    paths, findings = _files(listed_rows, has_root=folder is not None)
    rows.findings += findings
    for photo in listed_rows:
        path = paths.get((photo.folder, photo.listed))
        if path is not None and photo.is_complete:
            photos.add(path, photo.labels, photo.where)
    rows.findings += photos.repeated_rows(tables)
    is_split = config.split_column or any(table.split for table in tables)
    rows.findings += [] if is_split else table_findings(rows.ids)
    return rows.examples(ImageFiles(tuple(rows.values), file_sizes(rows.values)))


def has_photos(table: Path, column: str) -> bool:
    """Whether a column of a table has photos themselves, not their paths."""
    try:
        return column in photo_columns(table)
    except UnusableInput:  # reported where it is read
        return False


def _add_photos_inside(table: TableFile, config: ImageTableData, rows: UsableRows) -> None:
    """Add the photos that are in a parquet file, by the numbers of their rows."""
    columns = [name for name in rows.columns if name != config.path_column]
    files = photo_files(table.path, config.path_column)
    for row in read(table.path, columns, _HINT, list_columns=rows.list_columns):
        where = f"{table.prefix}row {row.index + 1}"
        labels, problems = rows.read_labels(row.cells, table.split)
        problems += [] if files[row.index] else ["no photo"]
        if row.fault:
            problems = [row.fault]
        rows.findings += [Finding("incomplete_row", where, problem) for problem in problems]
        if not problems:
            rows.add(f"{table.prefix}{row_id(row.index)}", files[row.index], labels)


class _ListedRow(NamedTuple):
    """A row that names a photo, from the folder that its path starts from."""

    where: str
    listed: str
    folder: Path
    labels: tuple[Hashable, str, str]
    is_complete: bool


def _files(
    rows: Sequence[_ListedRow], has_root: bool
) -> tuple[dict[tuple[Path, str], Path], list[Finding]]:
    """The files that rows name, by the folder and the path, and findings about the others.

    Args:
        rows: of all tables.
        has_root: whether the user has named the folder that paths start from.
    """
    paths: dict[tuple[Path, str], Path] = {}
    findings = []
    names: dict[Path, dict[str, None]] = {}
    for row in rows:
        names.setdefault(row.folder, {})[row.listed] = None
    for folder, listed in names.items():
        files, are_moved, other_case = photo_search.files_of(folder, [*listed], by_end=has_root)
        if files and are_moved:
            findings.append(_moved(folder, files))
        elif are_moved and not all(map(is_address, listed)):
            findings.append(_where_photos_are(folder, [*listed]))
        if other_case:
            findings.append(_in_other_case(other_case, files))
        paths |= {(folder, name): path for name, path in files.items()}
    findings += [_missing(row) for row in rows if (row.folder, row.listed) not in paths]
    return paths, findings


def _moved(folder: Path, files: Mapping[str, Path]) -> Finding:
    """That photos were found by their names."""
    name, path = next(iter(files.items()))
    count = plural(len(files), "photo is", "photos are")
    why = f"{count} not at the path in the table: found by name below {display_path(folder)}, such "
    why += f"as '{printable(name)}' at {display_path(path)}."
    return Finding("moved_photo", "", why, count=len(files))


def _in_other_case(names: Sequence[str], files: Mapping[str, Path]) -> Finding:
    """That paths have another case than the names of their files."""
    subject = plural(len(names), "photo is at its path", "photos are at their paths")
    example = f"'{printable(names[0])}' at {display_path(files[names[0]])}"
    why = f"{subject} but for upper and lower case or how letters are composed, such as {example}."
    return Finding("moved_photo", "", why, count=len(names))


def _where_photos_are(folder: Path, names: Sequence[str]) -> Finding:
    """How to name the folder that the paths of all rows start from, where none has its photo."""
    start = photo_search.folder_below(folder, names[:_PROBED])
    why = "Name the folder that the paths start from: data.image_root=FOLDER"
    if start is not None:
        setting = shell_setting("data.image_root", display_path(start))
        why = f"Set {setting}, the folder that the paths start from."
    return Finding("missing_file", "", why, count=0)


def _missing(row: _ListedRow) -> Finding:
    shown = f"'{printable(row.listed)}'"
    why = f"{shown} is not in {printable(row.folder)}"
    if is_address(row.listed):
        why = f"{shown} {ADDRESS}: download the photos, and name their folder in data.image_root"
    return Finding("missing_file", row.where, why)


class _Photos:
    """The photos of rows so far, each once.

    Args:
        rows: to which usable ones and findings are added.
        root: the folder that ids are relative to.
    """

    def __init__(self, rows: UsableRows, root: Path) -> None:
        self._rows, self._root = rows, root
        self._first: dict[str, tuple[str, Hashable]] = {}  # by id, first row and what it says
        self._repeated = 0

    def add(self, path: Path, labels: tuple[Hashable, str, str], where: str) -> None:
        """Add a photo, or a finding where an earlier row says something else of it."""
        root = self._root
        name = (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
        first, first_labels = self._first.setdefault(name, (where, labels))
        if first == where:
            self._rows.add(name, str(path), labels)
        elif first_labels == labels:
            self._repeated += 1
        else:
            shown = f"rows {first[4:]} and {where[4:]}"
            if not (first.startswith("row ") and where.startswith("row ")):
                shown = f"{first} and {where}"
            self._rows.findings.append(Finding("conflicting_rows", shown, repr(name)))

    def repeated_rows(self, tables: Sequence[TableFile]) -> list[Finding]:
        """That rows repeat earlier ones."""
        if not self._repeated:
            return []
        names = join_names([table.path.name for table in tables], 3)
        nouns = (f"row of {names} repeats", f"rows of {names} repeat")
        why = f"{plural(self._repeated, *nouns)} an earlier one: left out."
        return [Finding("repeated_rows", "", why, count=self._repeated)]
