"""Rows of tables as examples: labels, named splits and groups, which several sources have.

A row that cannot be used is left out, with a finding that lists all that is wrong with it.
N rows, K labels or numbers of each.
"""

import contextlib
import dataclasses
import itertools
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.config.schema.data import ImageTableData, TextTableData, TokenTableData
from fmkit.core.errors import ConfigError, DataError
from fmkit.data.examples import Content, Examples, from_names, without_classes
from fmkit.data.findings import Finding
from fmkit.data.formats import tables
from fmkit.data.formats.delimited import Row
from fmkit.data.formats.parquet_table import PARQUET
from fmkit.data.sources.label_readers import label_reader
from fmkit.data.sources.paths import name_findings
from fmkit.data.sources.table_files import TableFile, tables_at
from fmkit.data.split_names import numbered_splits, split_of_name

TableConfig = ImageTableData | TextTableData | TokenTableData

_LOOKED_AT = 1000  # rows of each table by which it is known how its cells are written


def row_id(index: int) -> str:
    """A row's id, by its position in the file from 0."""
    return f"row-{index:06d}"


def split_columns(config: TableConfig) -> list[str]:
    """The columns of splits and groups that a config names."""
    return [name for name in (config.split_column, config.group_column) if name]


def split_and_group(
    cells: Mapping[str, str], config: TableConfig, split: str = ""
) -> tuple[str, str, list[str]]:
    """A row's split and group, empty where the table has none, and all that is wrong with them.

    Without a column of splits it is `split`, that of the file or the sheet.
    """
    problems, group = [], ""
    if config.split_column:
        name = cells[config.split_column]
        split = split_of_name(name)
        if not name:
            problems.append(f"no split in column {config.split_column!r}")
        elif not split:
            problems.append(f"unknown split {name!r} (expected train, val or test)")
    if config.group_column:
        group = cells[config.group_column]
        if not group:
            problems.append(f"no group in column {config.group_column!r}")
    return split, group, problems


class UsableRows:
    """The rows of a table that can be used so far, and findings about the others.

    Args:
        config: of the table.
        columns: with what an example shows.

    Attributes:
        columns: all that are read.
        list_columns: those whose cells may be lists.
        ids: of the rows; `values` (what their examples show) has an entry for each.
    """

    def __init__(self, config: TextTableData | ImageTableData, columns: Sequence[str]) -> None:
        self._config, self._labels = config, label_reader(config)
        self._content = list(columns)
        self._numbered: dict[str, str] = {}  # splits by their number in the column of splits
        self.columns = [*columns, *self._labels.columns, *split_columns(config)]
        self.list_columns = self._labels.columns
        self.ids: list[str] = []
        self.values: list[Any] = []
        self.findings: list[Finding] = []
        self._row_labels: list[tuple[Any, str, str]] = []

    def files(self) -> list[TableFile]:
        """The tables of the config; findings about them are added."""
        config = self._config

        def has_columns(path: Path, columns: Sequence[str]) -> bool:
            encoding, quotes = getattr(config, "encoding", "utf-8"), getattr(config, "quotes", True)
            layout = (encoding, quotes, config.header, config.sheet)
            return tables.has_columns(path, columns, *layout)

        files, findings = tables_at(config.root, self._labels.columns, has_columns, self._content)
        self.findings += findings
        self._numbered = self._numbered_splits(files) if config.split_column else {}
        if self._labels.looks_first:
            self._labels.look_at([row.cells for file in files for row in self._first_rows(file)])
        return files

    def _first_rows(self, file: TableFile) -> list[Row]:
        config, lists = self._config, self.list_columns
        encoding, quotes = getattr(config, "encoding", "utf-8"), getattr(config, "quotes", True)
        inside = isinstance(config, ImageTableData) and file.path.name.endswith(PARQUET)
        columns = [name for name in self.columns if not (inside and name in self._content)]
        rows = tables.read(
            file.path, columns, "", encoding, quotes, None, lists,
            header=config.header, sheet=config.sheet,
        )  # fmt: skip
        with contextlib.suppress(DataError, ConfigError):  # reported where all rows are read
            return [*itertools.islice(rows, _LOOKED_AT)]
        return []

    def _numbered_splits(self, files: Sequence[TableFile]) -> dict[str, str]:
        config, column = self._config, str(self._config.split_column)
        first = [row.cells.get(column, "") for file in files for row in self._first_rows(file)]
        if not first or not all(map(str.isdecimal, first)):
            return {}
        counts = Counter[str]()
        encoding, quotes = getattr(config, "encoding", "utf-8"), getattr(config, "quotes", True)
        with contextlib.suppress(DataError, ConfigError):  # reported where all rows are read
            for file in files:
                rows = tables.read(
                    file.path, [column], "", encoding, quotes,
                    header=config.header, sheet=config.sheet,
                )  # fmt: skip
                counts.update(row.cells.get(column, "") for row in rows)
        return numbered_splits(counts)

    def read_labels(
        self, cells: Mapping[str, str], split: str
    ) -> tuple[tuple[Hashable, str, str], list[str]]:
        """A row's target, split and group, and all that is wrong with them.

        Args:
            split: of its file or sheet.
        """
        target, problems = self._labels.read(cells)
        if self._numbered:
            name = str(self._config.split_column)
            cells = {**cells, name: self._numbered.get(cells[name], cells[name])}
        split, group, split_problems = split_and_group(cells, self._config, split)
        return (target, split, group), [*problems, *split_problems]

    def add(self, name: str, value: Any, labels: tuple[Hashable, str, str]) -> None:
        """Add a row by its id."""
        self.ids.append(name)
        self.values.append(value)
        self._row_labels.append(labels)

    def examples(self, content: Content) -> Examples:
        """The rows as examples; a `DataError` where the table has none."""
        if not self.ids and not self.findings:
            raise DataError(f"{self._config.root} has no rows.")
        targets, splits, groups = ([row[k] for row in self._row_labels] for k in range(3))
        annotations = self._labels.annotations(targets)
        names = sorted(set(targets)) if annotations is None else annotations.names
        warnings = [*name_findings(names, self.ids), *self._labels.warnings(targets)]
        findings = [*self.findings, *warnings]
        if annotations is None:
            examples = from_names(self.ids, targets, content, findings=findings)
        else:
            examples = without_classes(self.ids, content, annotations, findings=findings)
        return dataclasses.replace(
            examples,
            splits=np.array(splits, dtype=str) if any(splits) else None,
            groups=np.array(groups, dtype=str) if self._config.group_column else None,
        )
