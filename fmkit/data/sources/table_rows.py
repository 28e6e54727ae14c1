"""Rows of tables as examples: targets, named splits and groups, which several sources have.

A row that cannot be used is left out, with a finding that lists all that is wrong with it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from fmkit.data.examples import Content, Examples
from fmkit.data.findings import Finding
from fmkit.data.sources.label_columns import LabelReader
from fmkit.data.sources.listing import SPLIT_NAMES


class TableConfig(Protocol):
    """Config keys that tables have in common."""

    split_column: str | None
    group_column: str | None


class SplitAndGroup(NamedTuple):
    """The named split and the group of a row; empty where the table has none."""

    split: str = ""
    group: str = ""


def row_id(index: int) -> str:
    """A row's id, by its position in the file from 0."""
    return f"row-{index:06d}"


def split_columns(config: TableConfig) -> list[str]:
    """The columns of splits and groups that a config names."""
    return [name for name in (config.split_column, config.group_column) if name]


def split_and_group(
    cells: Mapping[str, str], config: TableConfig
) -> tuple[SplitAndGroup, list[str]]:
    """A row's split and group, and all that is wrong with them."""
    problems, split, group = [], "", ""
    if config.split_column:
        name = cells[config.split_column]
        split = SPLIT_NAMES.get(name.lower(), "")
        if not name:
            problems.append(f"no split in column {config.split_column!r}")
        elif not split:
            problems.append(f"unknown split {name!r} (expected train, val or test)")
    if config.group_column:
        group = cells[config.group_column]
        if not group:
            problems.append(f"no group in column {config.group_column!r}")
    return SplitAndGroup(split, group), problems


@dataclass
class UsableRows:
    """The rows of a table that can be used so far, and findings about the others.

    Attributes:
        ids: of the rows, as `values` (what their examples show), `targets` and `splits` are.
    """

    ids: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    targets: list[Any] = field(default_factory=list)
    splits: list[SplitAndGroup] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def add(self, name: str, value: Any, target: Any, split: SplitAndGroup) -> None:
        """Add a row by its id."""
        self.ids.append(name)
        self.values.append(value)
        self.targets.append(target)
        self.splits.append(split)

    def examples(self, labels: LabelReader, content: Content, config: TableConfig) -> Examples:
        """The rows as examples."""
        splits, groups = (np.array([row[k] for row in self.splits], dtype=str) for k in (0, 1))
        return dataclasses.replace(
            labels.examples(self.ids, self.targets, content, self.findings),
            splits=splits if config.split_column else None,
            groups=groups if config.group_column else None,
        )
