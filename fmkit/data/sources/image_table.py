"""Photos named by a table: a row per photo, with its class, labels or numbers.

`formats/tables.py` reads the cells, `table_rows.py` labels, splits and groups.
"""

import re
from collections.abc import Hashable

from fmkit.config.schema.data import ImageTableData
from fmkit.core.errors import plural
from fmkit.data.content.images import ImageFiles
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding
from fmkit.data.formats.tables import read
from fmkit.data.images.image_file import EXTENSIONS
from fmkit.data.sources.paths import existing_path, file_sizes, find_file
from fmkit.data.sources.split_folders import table_findings
from fmkit.data.sources.table_rows import UsableRows

_HINT = (
    "Name the columns with data.path_column, label_column, label_columns, split_column and "
    "group_column."
)


def list_examples(config: ImageTableData) -> Examples:
    """The photos that the table `config.root` names, in the order of its rows."""
    table = existing_path(config.root, "file")
    rows = UsableRows(config, [config.path_column])
    table_rows = read(table, rows.columns, _HINT, list_columns=rows.list_columns)
    folder = table.parent
    if config.image_root is not None:
        folder = existing_path(config.image_root, "folder", "data.image_root")
    first_rows: dict[str, tuple[int, Hashable]] = {}  # by id, with what the row says of its photo
    repeated = 0
    for number, row in enumerate(table_rows, start=1):
        where = f"row {number}"
        if row.fault:
            rows.findings.append(Finding("incomplete_row", where, row.fault))
            continue
        listed = row.cells[config.path_column]
        labels, problems = rows.read_labels(row.cells)
        problems += [] if listed else ["no path"]
        rows.findings += [Finding("incomplete_row", where, problem) for problem in problems]
        path = find_file(folder, listed, EXTENSIONS) if listed else None
        if listed and path is None:
            why = f"{listed!r} is not in {folder}"
            if re.match(r"https?://", listed):
                why = f"{listed!r} is a URL: download the photos first, and name their files"
            rows.findings.append(Finding("missing_file", where, why))
        if path is None or problems:
            continue
        name = (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()
        first, first_labels = first_rows.setdefault(name, (number, labels))
        if first == number:
            rows.add(name, str(path), labels)
        elif first_labels == labels:
            repeated += 1
        else:
            where = f"rows {first} and {number}"
            rows.findings.append(Finding("conflicting_rows", where, repr(name)))
    if repeated:
        nouns = (f"row of {table.name} repeats", f"rows of {table.name} repeat")
        why = f"{plural(repeated, *nouns)} an earlier one: left out."
        rows.findings.append(Finding("repeated_rows", "", why, count=repeated))
    if not config.split_column:
        rows.findings += table_findings(rows.ids)
    return rows.examples(table, ImageFiles(tuple(rows.values), file_sizes(rows.values)))
