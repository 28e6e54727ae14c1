"""Label columns of a table: the class, the labels or the numbers of each row.

N rows, K labels or numbers of each.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from fmkit.config.schema.data import ImageTableData, TextTableData
from fmkit.data.examples import Content, Examples, from_names, without_classes
from fmkit.data.findings import Finding
from fmkit.data.sources.paths import name_findings
from fmkit.data.targets import LabelSets, Numbers

YES, NO = ("1", "true", "yes", "1.0"), ("0", "false", "no", "0.0")
"""What a cell of a label's own column may say, in lower case."""

LARGEST = float(np.finfo(np.float32).max)
"""Numbers beyond this do not fit the 32 bits that networks compute with."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_COMMA = re.compile(r"[+-]?\d+,\d+")
_OTHERS = (",", ";", "|", "/")


class LabelReader(Protocol):
    """Reads the target of a row.

    Attributes:
        columns: that it is in.
    """

    columns: list[str]

    def read(self, cells: Mapping[str, str]) -> tuple[Hashable, list[str]]:
        """The target of one row, and all that is wrong with it; it counts only without problems."""
        ...

    def examples(
        self, ids: list[str], targets: list[Any], content: Content, findings: Sequence[Finding]
    ) -> Examples:
        """Examples from the targets of the rows that can be used."""
        ...


def label_reader(config: TextTableData | ImageTableData) -> LabelReader:
    """The reader of the labels of a table, by its config."""
    columns = config.label_columns
    if config.labels == "numbers":
        return NumberCells(columns or [config.label_column])
    if config.labels == "sets":
        if columns:
            return FlagCells(columns)
        return SetCells(config.label_column, config.label_separator)
    return ClassCells(config.label_column)


class ClassCells:
    """One class per row.

    Args:
        column: with its name.
    """

    def __init__(self, column: str) -> None:
        self.columns = [column]

    def read(self, cells: Mapping[str, str]) -> tuple[str, list[str]]:
        """The name of the class."""
        name = cells[self.columns[0]]
        return name, [] if name else ["no label"]

    def examples(
        self, ids: list[str], targets: list[str], content: Content, findings: Sequence[Finding]
    ) -> Examples:
        """Examples with classes, which are the names that occur."""
        findings = [*findings, *name_findings(sorted(set(targets)), ids)]
        return from_names(ids, targets, content, findings=findings)


class SetCells:
    """The names of all labels of a row in one cell; an empty cell is a row without labels.

    Args:
        column: with the names.
        separator: between them; white space means any.
    """

    def __init__(self, column: str, separator: str) -> None:
        self.columns, self._separator = [column], separator.strip() or None

    def read(self, cells: Mapping[str, str]) -> tuple[tuple[str, ...], list[str]]:
        """The names, each once, in their order."""
        names = (name.strip() for name in cells[self.columns[0]].split(self._separator))
        return tuple(sorted({name for name in names if name})), []

    def examples(
        self,
        ids: list[str],
        targets: list[tuple[str, ...]],
        content: Content,
        findings: Sequence[Finding],
    ) -> Examples:
        """Examples with sets of labels, which are the names that occur."""
        names = tuple(sorted({name for labels in targets for name in labels}))
        position = {name: index for index, name in enumerate(names)}
        indicators = np.zeros((len(targets), len(names)), bool)
        for row, labels in enumerate(targets):
            indicators[row, [position[name] for name in labels]] = True
        findings = [*findings, *name_findings(names, ids), *self._other_separator(targets)]
        sets = LabelSets(names, indicators, is_open=True)
        return without_classes(ids, content, sets, findings=findings)

    def _other_separator(self, targets: list[tuple[str, ...]]) -> list[Finding]:
        """A warning where no cell has the separator, and most have another one inside a name."""
        filled = [labels for labels in targets if labels]
        if self._separator is None or any(len(labels) > 1 for labels in filled):
            return []
        for other in _OTHERS:
            count = sum(other in labels[0] for labels in filled)
            if 2 * count > len(filled):
                shown = f"data.label_separator={self._separator!r}"
                why = (
                    f"No cell of column {self.columns[0]!r} has two labels by {shown}, and {count} "
                    f"have a {other!r}: perhaps \"data.label_separator='{other}'\"."
                )
                return [Finding("separator", "", why)]
        return []


class FlagCells:
    """A column for each label, with 1 or 0, true or false, yes or no.

    Args:
        columns: their names are those of the labels.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = list(columns)

    def read(self, cells: Mapping[str, str]) -> tuple[tuple[bool, ...], list[str]]:
        """Yes or no for each label."""
        flags, problems = [], []
        for column in self.columns:
            word = cells[column].lower()
            flags.append(word in YES)
            if not word:
                problems.append(f"nothing in {column!r}")
            elif word not in YES and word not in NO:
                problems.append(f"{column!r} is {cells[column][:40]!r}, neither 1 nor 0")
        return tuple(flags), problems

    def examples(
        self,
        ids: list[str],
        targets: list[tuple[bool, ...]],
        content: Content,
        findings: Sequence[Finding],
    ) -> Examples:
        """Examples with sets of labels, a label for each column."""
        indicators = np.array(targets, bool).reshape(len(targets), len(self.columns))
        findings = [*findings, *name_findings(self.columns, ids)]
        sets = LabelSets(tuple(self.columns), indicators)
        return without_classes(ids, content, sets, findings=findings)


class NumberCells:
    """A column for each number.

    Args:
        columns: their names are those of the numbers.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = list(columns)

    def read(self, cells: Mapping[str, str]) -> tuple[tuple[float, ...], list[str]]:
        """The numbers of one row."""
        texts = [cells[column] for column in self.columns]
        problems = [
            f"{column!r}: {why}"
            for column, text in zip(self.columns, texts, strict=True)
            if (why := number_problem(text))
        ]
        return () if problems else tuple(float(text) for text in texts), problems

    def examples(
        self,
        ids: list[str],
        targets: list[tuple[float, ...]],
        content: Content,
        findings: Sequence[Finding],
    ) -> Examples:
        """Examples with numbers."""
        values = np.array(targets, np.float64).reshape(len(targets), len(self.columns))
        findings = [*findings, *name_findings(self.columns, ids)]
        numbers = Numbers(tuple(self.columns), values)
        return without_classes(ids, content, numbers, findings=findings)


def number_problem(text: str) -> str:
    """Why a text is not a number that can be learned; empty when it is one.

    Only a plain decimal is one: `1_000`, which Python would read, may well be a mistake.
    """
    if not text:
        return "no number"
    if _NUMBER.fullmatch(text) and text.isascii():
        value = float(text)
        if math.isfinite(value) and abs(value) <= LARGEST:
            return ""
        return f"{text[:40]!r} is beyond what 32 bits hold"
    if _COMMA.fullmatch(text):
        return f"{text[:40]!r} is not a number: decimals are separated by a point, not by a comma"
    return f"{text[:40]!r} is not a finite number"
