"""Texts in a table: a row per text or pair of texts, with its class, labels or numbers.

It may name splits and groups, too (`table_rows.py`). `formats/tables.py` reads the cells,
`label_columns.py` the labels. A row's id is its position, `row-000012` counted from 0, so that rows
may be edited or relabelled and keep their split; messages name its line in the file, too.
"""

from __future__ import annotations

from pathlib import Path

from fmkit.config.schema.data import TextTableData
from fmkit.core.errors import DataError
from fmkit.data.content.texts import Texts
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding
from fmkit.data.formats.tables import PARQUET, Row, read
from fmkit.data.formats.text_encoding import binary_reason
from fmkit.data.sources import label_columns
from fmkit.data.sources.label_columns import LabelReader
from fmkit.data.sources.paths import existing_path
from fmkit.data.sources.table_rows import UsableRows, row_id, split_and_group, split_columns

_HINT = (
    "Name the columns with data.text_column, pair_column, label_column, label_columns, "
    "split_column and group_column."
)


def list_examples(config: TextTableData) -> Examples:
    """The texts of the table `config.root`, in the order of its rows.

    Problems of single rows are in the examples' findings.

    Raises:
        ConfigError: the file's name has an unknown ending.
        DataError: the table cannot be read, or columns are missing; all problems at once.
    """
    table = existing_path(config.root, "file")
    labels = label_columns.label_reader(config)
    pair_column = [config.pair_column] if config.pair_column else []
    names = [config.text_column, *labels.columns, *pair_column, *split_columns(config)]
    rows = UsableRows()
    for row in read(table, names, _HINT, config.encoding, config.quotes, "data."):
        _add_row(rows, config, labels, row)
    if not rows.ids and not rows.findings:
        raise DataError(f"{table} has no rows.")
    texts = tuple(text for text, _ in rows.values)
    pairs = tuple(second for _, second in rows.values) if config.pair_column else None
    return rows.examples(labels, Texts(texts, pairs), config)


def _add_row(
    rows: UsableRows,
    config: TextTableData,
    labels: LabelReader,
    row: Row,
) -> None:
    """Add one row, or a finding with all that is wrong with it."""
    name, cells = row_id(row.index), row.cells
    if row.fault:
        rows.findings.append(Finding("incomplete_row", name, row.fault))
        return
    target, label_problems = labels.read(cells)
    split, split_problems = split_and_group(cells, config)
    problems = text_problems(cells, config.text_column, config.pair_column)
    problems += [*label_problems, *split_problems]
    if problems:
        line = f" (line {row.line})" if Path(config.root).suffix.lower() not in PARQUET else ""
        rows.findings.append(Finding("incomplete_row", name, ", ".join(problems) + line))
        return
    texts = cells[config.text_column], cells.get(config.pair_column or "", "")
    rows.add(name, texts, target, split)


def text_problems(cells: dict[str, str], text_column: str, pair_column: str | None) -> list[str]:
    """What is wrong with a row's text, and with the second of a pair."""
    problems = []
    for column in filter(None, (text_column, pair_column)):
        text = cells[column]
        if not text:
            problems.append("no text" if column == text_column else f"no text in {column!r}")
        elif reason := binary_reason(text):
            problems.append(f"{column!r} is not text: {reason}")
    return problems
