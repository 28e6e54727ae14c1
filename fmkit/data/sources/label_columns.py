"""What cells of a table say of each row: its class, its labels, or its numbers.

N rows, K labels or numbers of each.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from fmkit.config.schema.data import ImageTableData, TextTableData
from fmkit.data.examples import Content, Examples, from_names
from fmkit.data.findings import Finding
from fmkit.data.sources.paths import name_findings
from fmkit.data.targets import LabelSets, Numbers

YES, NO = ("1", "true", "yes", "1.0"), ("0", "false", "no", "0.0")
"""What a cell of a label's own column may say, in small letters."""

LARGEST = float(np.finfo(np.float32).max)
"""Numbers beyond this do not fit the 32 bits that networks compute with."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_COMMA = re.compile(r"[+-]?\d+,\d+")
_OTHERS = (",", ";", "|", "/")


class LabelReader(Protocol):
    """How the answer of a row is read.

    Attributes:
        columns: those that it stands in.
    """

    columns: list[str]

    def read(self, cells: Mapping[str, str]) -> tuple[Hashable, list[str]]:
        """The answer of one row, and all that is wrong with it; only without faults it counts."""
        ...

    def examples(
        self, ids: list[str], answers: list[Any], content: Content, findings: Sequence[Finding]
    ) -> Examples:
        """Examples from the answers of the rows that can be used."""
        ...


def label_reader(config: TextTableData | ImageTableData) -> LabelReader:
    """How a config wants the labels of its table to be read."""
    several = config.label_columns
    if config.labels == "numbers":
        return NumberCells(several or [config.label_column])
    if config.labels == "sets":
        if several:
            return FlagCells(several)
        return SetCells(config.label_column, config.label_separator)
    return ClassCells(config.label_column)


class ClassCells:
    """One class a row.

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
        self, ids: list[str], answers: list[str], content: Content, findings: Sequence[Finding]
    ) -> Examples:
        """Examples with classes, which are the names that occur."""
        found = [*findings, *name_findings(sorted(set(answers)), ids)]
        return from_names(ids, answers, content, findings=found)


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
        parts = (each.strip() for each in cells[self.columns[0]].split(self._separator))
        return tuple(sorted({each for each in parts if each})), []

    def examples(
        self,
        ids: list[str],
        answers: list[tuple[str, ...]],
        content: Content,
        findings: Sequence[Finding],
    ) -> Examples:
        """Examples with sets of labels, which are the names that occur."""
        names = tuple(sorted({name for each in answers for name in each}))
        place = {name: number for number, name in enumerate(names)}
        there = np.zeros((len(answers), len(names)), bool)
        for row, each in enumerate(answers):
            there[row, [place[name] for name in each]] = True
        found = [*findings, *name_findings(names, ids), *self._separated_otherwise(answers)]
        return annotated(ids, LabelSets(names, there, is_open=True), content, found)

    def _separated_otherwise(self, answers: list[tuple[str, ...]]) -> list[Finding]:
        """A warning where no cell has the separator, and most have another one inside a name."""
        filled = [each for each in answers if each]
        if self._separator is None or any(len(each) > 1 for each in filled):
            return []
        for other in _OTHERS:
            count = sum(other in each[0] for each in filled)
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
        found, problems = [], []
        for column in self.columns:
            word = cells[column].lower()
            found.append(word in YES)
            if not word:
                problems.append(f"nothing in {column!r}")
            elif word not in YES and word not in NO:
                problems.append(f"{column!r} is {cells[column][:40]!r}, neither 1 nor 0")
        return tuple(found), problems

    def examples(
        self,
        ids: list[str],
        answers: list[tuple[bool, ...]],
        content: Content,
        findings: Sequence[Finding],
    ) -> Examples:
        """Examples with sets of labels, a label for each column."""
        there = np.array(answers, bool).reshape(len(answers), len(self.columns))
        found = [*findings, *name_findings(self.columns, ids)]
        return annotated(ids, LabelSets(tuple(self.columns), there), content, found)


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
        return () if problems else tuple(float(each) for each in texts), problems

    def examples(
        self,
        ids: list[str],
        answers: list[tuple[float, ...]],
        content: Content,
        findings: Sequence[Finding],
    ) -> Examples:
        """Examples with numbers."""
        values = np.array(answers, np.float64).reshape(len(answers), len(self.columns))
        found = [*findings, *name_findings(self.columns, ids)]
        return annotated(ids, Numbers(tuple(self.columns), values), content, found)


def number_problem(text: str) -> str:
    """Why a text is no number that can be learned; empty when it is one.

    Only a plain decimal is one: `1_000`, which Python would read, may as well be a slip.
    """
    if not text:
        return "no number"
    if _NUMBER.fullmatch(text) and text.isascii():
        value = float(text)
        if math.isfinite(value) and abs(value) <= LARGEST:
            return ""
        return f"{text[:40]!r} is beyond what 32 bits hold"
    if _COMMA.fullmatch(text):
        return f"{text[:40]!r} is no number: decimals begin with a point, not with a comma"
    return f"{text[:40]!r} is no finite number"


def annotated(
    ids: Sequence[str],
    annotations: LabelSets | Numbers,
    content: Content,
    findings: Sequence[Finding] = (),
) -> Examples:
    """Examples without classes, with something else to learn."""
    labels = np.zeros(len(ids), np.int32)
    return Examples(
        tuple(ids), labels, (), content, findings=tuple(findings), annotations=annotations
    )
