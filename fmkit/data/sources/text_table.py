"""Texts in a table: a row per text or pair of texts, with its class, labels or numbers, perhaps its
split and group.

How cells are read stands in `table_file`, what labels are in `label_cells`. A row's id is its
place, `row-000012` counted from 0, so rows may be mended or labelled again, and keep their split;
errors tell its line in the file, too.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fmkit.config.schema.data import TextTableData
from fmkit.core.errors import DataError
from fmkit.data.content.texts import Texts
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding
from fmkit.data.formats.tables import Columns, read
from fmkit.data.formats.text_encoding import binary_reason
from fmkit.data.sources import label_columns
from fmkit.data.sources.label_columns import LabelReader
from fmkit.data.sources.listing import SPLIT_NAMES
from fmkit.data.sources.paths import existing_path
from fmkit.data.stratify import limit_examples

NAMES = (
    "Name the columns with data.text_column, pair_column, label_column, label_columns, "
    "split_column and group_column."
)


@dataclass
class _Rows:
    """The rows of a table that can be used, and what is wrong with the others."""

    ids: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    pairs: list[str] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def identity(number: int) -> str:
    """A row's id, by its place in the file from 0."""
    return f"row-{number:06d}"


def list_examples(config: TextTableData) -> Examples:
    """The texts of the table `config.root`, in the order of its rows.

    What is wrong with single rows is in the examples' findings.

    Raises:
        ConfigError: the file's name ends in nothing that is known.
        DataError: the table cannot be read, or columns are missing; all problems at once.
    """
    table = existing_path(config.root, "file")
    answers = label_columns.label_reader(config)
    wanted = [config.text_column, *answers.columns]
    wanted += [e for e in (config.pair_column, config.split_column, config.group_column) if e]
    columns = read(table, wanted, NAMES, config.encoding, config.quotes, "data.")
    if not len(columns) and not columns.faults:
        raise DataError(f"{table} has no rows.")
    rows = _Rows()
    for place, cells in enumerate(columns.rows()):
        _add_row(rows, config, answers, cells, columns, place)
    rows.findings += [Finding("incomplete_row", identity(n), why) for n, why in columns.faults]
    rows.findings.sort(key=lambda each: each.where)
    return _examples(rows, config, answers)


def _add_row(
    rows: _Rows,
    config: TextTableData,
    answers: LabelReader,
    cells: dict[str, str],
    columns: Columns,
    place: int,
) -> None:
    """Take one row over, or note all that is wrong with it."""
    name = identity(columns.numbers[place])
    answer, wrong = answers.read(cells)
    problems = _problems(config, cells, wrong)
    if problems:
        line = f" (line {columns.lines[place]})" if columns.lines else ""
        rows.findings.append(Finding("incomplete_row", name, ", ".join(problems) + line))
        return
    rows.ids.append(name)
    rows.texts.append(cells[config.text_column])
    rows.answers.append(answer)
    if config.pair_column:
        rows.pairs.append(cells[config.pair_column])
    if config.split_column:
        rows.splits.append(SPLIT_NAMES[cells[config.split_column].lower()])
    if config.group_column:
        rows.groups.append(cells[config.group_column])


def _problems(config: TextTableData, cells: dict[str, str], of_answer: list[str]) -> list[str]:
    """All that is wrong with one row."""
    problems = [*text_problems(cells, config.text_column, config.pair_column), *of_answer]
    if config.split_column:
        split = cells[config.split_column]
        if not split:
            problems.append(f"no split in column {config.split_column!r}")
        elif split.lower() not in SPLIT_NAMES:
            problems.append(f"unknown split {split!r} (expected train, val or test)")
    if config.group_column and not cells[config.group_column]:
        problems.append(f"no group in column {config.group_column!r}")
    return problems


def text_problems(cells: dict[str, str], text_column: str, pair_column: str | None) -> list[str]:
    """What is wrong with a row's text, and with the second of a pair."""
    problems = []
    for column in (text_column, pair_column):
        if column is None:
            continue
        text = cells[column]
        if not text:
            problems.append("no text" if column == text_column else f"no text in {column!r}")
        elif wrong := binary_reason(text):
            problems.append(f"{column!r} is no text: {wrong}")
    return problems


def _examples(rows: _Rows, config: TextTableData, answers: LabelReader) -> Examples:
    """The rows as examples, with all that is wrong with the others."""
    content = Texts(tuple(rows.texts), tuple(rows.pairs) if config.pair_column else None)
    examples = dataclasses.replace(
        answers.examples(rows.ids, rows.answers, content, rows.findings),
        splits=np.array(rows.splits, dtype=str) if config.split_column else None,
        groups=np.array(rows.groups, dtype=str) if config.group_column else None,
    )
    return limit_examples(examples, config.limit) if rows.ids else examples
