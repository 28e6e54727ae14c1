"""Photos named by a table: a row per photo, with its class and perhaps its split and group.

A `.csv` may be separated by commas, semicolons or tabs; every cell is text, so that `012`, `True`
and `NA` are class names as they stand. Space around a cell does not count.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fmkit.config.schema import ImageTableData
from fmkit.data import check
from fmkit.data.examples import Examples, ImageFiles, from_names
from fmkit.data.findings import Finding
from fmkit.data.image_folder import SPLIT_NAMES
from fmkit.data.stratify import limited
from fmkit.errors import ConfigError, DataError, all_at_once, listed, received

_SEPARATORS = {".csv": (",", ";", "\t"), ".tsv": ("\t",), ".txt": ("\t", ",", ";")}
_NAMES = "Name the columns with data.path_column, label_column, split_column and group_column."


@dataclass
class _Rows:
    """The rows of a table that can be used, and what is wrong with the others."""

    ids: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    first: dict[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
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
    table = check.existing(config.root, "file")
    wanted = [config.path_column, config.label_column]
    wanted += [each for each in (config.split_column, config.group_column) if each]
    columns = read_columns(table, wanted)
    if config.image_root is None:
        folder = table.parent
    else:
        folder = check.existing(config.image_root, "folder", "data.image_root")
    rows = _Rows()
    cells = [columns[each] for each in wanted]
    for number, row in enumerate(zip(*cells, strict=True)):
        _add_row(rows, config, folder, dict(zip(wanted, row, strict=True)), number + 1)
    return _examples(rows, config, table)


def read_columns(table: Path, wanted: Sequence[str], hint: str = _NAMES) -> dict[str, list[str]]:
    """The wanted columns of a CSV, TSV or parquet file as text; an empty cell is an empty text.

    Args:
        table: the file.
        wanted: names of columns.
        hint: what to do where one is missing.

    Raises:
        ConfigError: the file's name ends in nothing that is known.
        DataError: the file cannot be read, or columns are missing.
    """
    suffix = table.suffix.lower()
    if suffix in (".parquet", ".pq"):
        return _read_parquet(table, wanted, hint)
    if suffix not in _SEPARATORS:
        allowed = (*_SEPARATORS, ".parquet")
        raise ConfigError(received("The table's file extension", suffix, allowed))
    try:
        text = table.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{table} is not UTF-8 (byte {error.object[error.start]:#04x} at {error.start}).",
            "Save it as UTF-8: `iconv -f latin1 -t utf-8` helps with many.",
        ) from None
    lines = text.splitlines(keepends=True)
    if not lines:
        raise DataError(f"{table} is empty.")
    header_of = {each: next(csv.reader([lines[0]], delimiter=each)) for each in _SEPARATORS[suffix]}
    separator = max(header_of, key=lambda each: len(set(wanted) & _stripped(header_of[each])))
    return _read_rows(table, lines, separator, wanted, hint)


def _stripped(names: Sequence[str]) -> set[str]:
    return {each.strip() for each in names}


def _missing(
    table: Path, wanted: Sequence[str], there: Sequence[str], hint: str
) -> DataError | None:
    problems = [
        received(f"Column of {table.name}", each, there) for each in wanted if each not in there
    ]
    problems += [
        f"{table.name} has two columns {each!r}." for each in wanted if there.count(each) > 1
    ]
    if not problems:
        return None
    return DataError(all_at_once(problems), hint)


def _read_rows(
    table: Path, lines: list[str], separator: str, wanted: Sequence[str], hint: str
) -> dict[str, list[str]]:
    reader = csv.reader(lines, delimiter=separator, strict=True)
    short: list[str] = []
    columns: dict[str, list[str]] = {each: [] for each in wanted}
    try:
        header = [each.strip() for each in next(reader)]
        if error := _missing(table, wanted, header, hint):
            raise error
        places = {each: header.index(each) for each in wanted}
        for row in reader:
            if not any(each.strip() for each in row):
                continue
            if len(row) != len(header):
                short.append(f"line {reader.line_num} has {len(row)}")
                continue
            for each, place in places.items():
                columns[each].append(row[place].strip())
    except csv.Error as error:
        raise DataError(f"{table}, line {reader.line_num}: {error}.") from None
    if short:
        raise DataError(
            f"{table}: the header has {len(header)} cells, but {listed(short, 5)}.",
            "A cell with the separator in it needs double quotes around it.",
        )
    return columns


def _read_parquet(table: Path, wanted: Sequence[str], hint: str) -> dict[str, list[str]]:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    try:
        file = parquet.ParquetFile(table)
        if error := _missing(table, wanted, list(file.schema_arrow.names), hint):
            raise error
        content = file.read(columns=list(dict.fromkeys(wanted)))
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"{table} is no readable parquet file: {error}") from None
    return {each: [_text(cell) for cell in content.column(each).to_pylist()] for each in wanted}


def _text(cell: object) -> str:
    """A cell of a typed table as text; null and NaN are empty."""
    if cell is None or cell != cell:
        return ""
    return cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell).strip()


def _add_row(
    rows: _Rows, config: ImageTableData, folder: Path, cells: dict[str, str], number: int
) -> None:
    """Take one row over, or note all that is wrong with it."""
    path, label = cells[config.path_column], cells[config.label_column]
    split = cells[config.split_column] if config.split_column else ""
    group = cells[config.group_column] if config.group_column else ""
    where, before = f"row {number}", len(rows.findings)
    if not label:
        rows.find("incomplete_row", where, "no label")
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
    facts = (label, split.lower(), group)
    earlier = rows.first.setdefault(name, (number, facts))
    if earlier[0] != number:
        if earlier[1] == facts:
            rows.repeated += 1
        else:
            rows.find("conflicting_rows", f"rows {earlier[0]} and {number}", repr(name))
        return
    rows.ids.append(name)
    rows.paths.append(found)
    rows.names.append(label)
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


def _examples(rows: _Rows, config: ImageTableData, table: Path) -> Examples:
    """The rows as examples, with all that is wrong with the others."""
    if not rows.ids and not rows.findings:
        raise DataError(f"{table} has no rows.")
    findings = [*rows.findings, *check.name_findings(sorted(set(rows.names)), rows.ids)]
    if rows.repeated:
        why = f"{rows.repeated} rows of {table.name} repeat an earlier one: left out."
        findings.append(Finding("repeated_rows", "", why, count=rows.repeated))
    examples = from_names(
        rows.ids,
        rows.names,
        ImageFiles(tuple(rows.paths), check.sizes(rows.paths)),
        rows.splits if config.split_column else None,
        rows.groups if config.group_column else None,
        findings=findings,
    )
    return limited(examples, config.limit) if rows.ids else examples
