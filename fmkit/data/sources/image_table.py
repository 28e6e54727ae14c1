"""Photos named by a table: a row per photo, with its class, labels or numbers.

`formats/tables.py` reads the cells, `table_rows.py` labels, splits and groups.
"""

import os
import re
from collections.abc import Hashable, Sequence
from pathlib import Path

from fmkit.config.schema.data import ImageTableData
from fmkit.core.errors import join_names, plural
from fmkit.data.content.images import ImageFiles
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding
from fmkit.data.formats.tables import read
from fmkit.data.images.image_file import EXTENSIONS
from fmkit.data.sources.paths import existing_path, file_sizes, find_file
from fmkit.data.sources.split_folders import table_findings
from fmkit.data.sources.table_files import TableFile
from fmkit.data.sources.table_rows import UsableRows

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
    for table in tables:
        lists, header = rows.list_columns, config.header
        table_rows = read(table.path, rows.columns, _HINT, list_columns=lists, header=header)
        for number, row in enumerate(table_rows, start=1):
            where = f"{table.prefix}row {number}"
            if row.fault:
                rows.findings.append(Finding("incomplete_row", where, row.fault))
                continue
            labels, problems = rows.read_labels(row.cells, row.split or table.split)
            listed = row.cells[config.path_column]
            problems += [] if listed else ["no path"]
            rows.findings += [Finding("incomplete_row", where, problem) for problem in problems]
            path = photos.find(listed, folder or table.path.parent, where) if listed else None
            if path is not None and not problems:
                photos.add(path, labels, where)
    rows.findings += photos.repeated_rows(tables)
    is_split = config.split_column or any(table.split for table in tables)
    rows.findings += [] if is_split else table_findings(rows.ids)
    return rows.examples(ImageFiles(tuple(rows.values), file_sizes(rows.values)))


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

    def find(self, listed: str, folder: Path, where: str) -> Path | None:
        """The file that a row names, relative to a folder; None, and a finding, without one."""
        path = find_file(folder, listed, EXTENSIONS)
        if path is None:
            why = f"{listed!r} is not in {folder}"
            if re.match(r"https?://", listed):
                why = f"{listed!r} is a URL: download the photos first, and name their files"
            self._rows.findings.append(Finding("missing_file", where, why))
        return path

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
