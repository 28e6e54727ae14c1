"""Readers of what a table's rows are labelled with: names, sets of labels, flags, numbers.

N rows, K labels or numbers of each.
"""

import math
import re
from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from fmkit.config.schema.data import ImageTableData, TextTableData
from fmkit.core.errors import DataError, join_names, plural
from fmkit.data.findings import Finding
from fmkit.data.formats.amounts import AmountFormat, amount, amount_format
from fmkit.data.formats.annotation_exports import ANSWERS
from fmkit.data.formats.cells import cell_text, parse_cell
from fmkit.data.formats.unread_numbers import (
    DOUBTFUL,
    MISSING,
    REMEDY_OF_DOUBT,
    thousands_or_decimals,
    unread_numbers,
    without_missing,
)
from fmkit.data.targets import Annotations, LabelSets, Numbers

YES, NO = ("1", "true", "yes", "1.0"), ("0", "false", "no", "0.0")
"""What a cell of a label's own column may say, in lower case."""
SIGNED_NO = "-1"
"""What it may say instead of 0 where its column has 1 or that."""
MARKS = ("x", "✓", "✔", "☑", "ja", "oui", "sí", "si", "sim", "tak")
"""What such a cell may also say where the others of its column are empty, in lower case."""

LARGEST = float(np.finfo(np.float32).max)
"""Numbers beyond this do not fit the 32 bits that networks compute with."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_COMMA = re.compile(r"[+-]?\d+,\d+")
_DATE_CELL = re.compile(r"\d{4}-\d\d-\d\d 00:00:00")
_FEW_NAMES = 5  # names of classes that may have their words in common
_OTHERS = (",", ";", "|", "/", "#")
_NEARLY = 0.9
_NAME_KEYS = ("name", "label", "tagName")  # of labels that are objects
_PLACES = {"coordinates", "bbox", "boundingBox", "polygon", "segmentation"}
_FEW = 10  # columns that are named in a line to copy
_PLAIN_NUMBERS = "Write them as plain numbers, such as 1000.50, and a unit into the column's name."


class LabelReader:
    """A column with the name of each row's class; subclasses read other targets.

    Args:
        columns: names of the columns that the target is in.
    """

    looks_first = False

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = list(columns)

    def look_at(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Learn from the first rows how the cells are written, where `looks_first`.

        Raises:
            DataError: they cannot be read.
        """

    def read(self, cells: Mapping[str, str]) -> tuple[Hashable, list[str]]:
        """The target of one row, and all that is wrong with it; it counts only without problems."""
        name = cells[self.columns[0]]
        labels, problem = parse_labels(name)
        if problem:
            return name, [problem]
        if labels is not None and len(labels) > 1:
            return name, [f"{name[:40]} is {len(labels)} labels: task=multi_label learns these"]
        name = name if labels is None else "".join(labels)
        return name, [] if name else ["no label"]

    def annotations(self, targets: list[Any]) -> Annotations | None:
        """The targets of the rows that can be used; None: they are classes."""
        return None

    def warnings(self, targets: list[Any]) -> list[Finding]:
        """A warning where names are joined by commas, and each of them occurs alone, too."""
        names = {name for name in targets if isinstance(name, str)}
        for separator in _OTHERS:
            joined = joined_names(names, separator)
            if joined:
                why = (
                    f"{plural(len(joined), 'class', 'classes')} of column {self.columns[0]!r} "
                    f"{'consists' if len(joined) == 1 else 'consist'} of others, such as "
                    f"{joined[0]!r}. To learn sets of labels: task=multi_label "
                    f"\"data.label_separator='{separator}'\""
                )
                return [Finding("separator", "", why)]
        dates = sorted(filter(_DATE_CELL.fullmatch, names))
        if dates and len(dates) < len(names):
            why = (
                f"Classes of column {self.columns[0]!r} are dates, such as {dates[0]}, beside "
                f"{min(names - {*dates})!r}: spreadsheets make 2026-01-02 of 1-2. Give the column "
                "the format text, and write these cells again."
            )
            return [Finding("date_classes", "", why)]
        joined, words = [name for name in names if " " in name], {*" ".join(names).split()}
        if len(names) > _FEW_NAMES and 2 * len(joined) >= len(names) > len(words):
            why = (
                f"The {len(names)} classes of column {self.columns[0]!r} consist of {len(words)} "
                f"words, such as {min(joined)!r}. Where each is a label, to learn sets of these: "
                "task=multi_label \"data.label_separator=' '\""
            )
            return [Finding("separator", "", why)]
        return []


def joined_names(names: Collection[str], separator: str) -> list[str]:
    """Those names that are several labels with a separator between them.

    Each of these is a name of its own, or, but for one of them, part of two such names or more.
    """
    parts = {
        name: [part.strip() for part in name.split(separator)]
        for name in names
        if separator in name
    }
    counts = Counter(part for labels in parts.values() for part in {*labels})
    return sorted(
        name
        for name, labels in parts.items()
        if any(label in names for label in labels)
        and all(label in names or counts[label] > 1 for label in labels)
    )


class SetCells(LabelReader):
    """The names of all labels of a row in one cell; an empty cell is a row without labels.

    An empty cell of annotators' answers is one that nobody has answered, and cannot be used.
    White space as `separator` means any of it.
    """

    def __init__(self, column: str, separator: str) -> None:
        super().__init__([column])
        self._separator = separator.strip() or None

    def read(self, cells: Mapping[str, str]) -> tuple[tuple[str, ...], list[str]]:
        """The names, each once, in their order."""
        cell = cells[self.columns[0]]
        labels, problem = parse_labels(cell)
        if not cell and self.columns[0].endswith(ANSWERS):
            return (), ["no label"]
        names = cell.split(self._separator) if labels is None else labels
        names = [name.strip() for name in names]
        return tuple(sorted({name for name in names if name})), [problem] if problem else []

    def annotations(self, targets: list[tuple[str, ...]]) -> LabelSets:
        """Sets of labels, which are the names that occur."""
        names = tuple(sorted({name for labels in targets for name in labels}))
        position = {name: index for index, name in enumerate(names)}
        indicators = np.zeros((len(targets), len(names)), bool)
        for row, labels in enumerate(targets):
            indicators[row, [position[name] for name in labels]] = True
        return LabelSets(names, indicators, is_open=True)

    def warnings(self, targets: list[tuple[str, ...]]) -> list[Finding]:
        """A warning where no cell has the separator, and most have another one inside a name."""
        filled = [labels for labels in targets if labels]
        if self._separator is None or any(len(labels) > 1 for labels in filled):
            return []
        if 2 * sum(labels[0].startswith("[") for labels in filled) > len(filled):
            why = (
                f"Cells of column {self.columns[0]!r} look like lists, and are not read as such: "
                'expected ["a", "b"], with quotes around each label.'
            )
            return [Finding("separator", "", why)]
        for other in _OTHERS:
            count = sum(other in labels[0] for labels in filled)
            if 2 * count > len(filled):
                why = (
                    f"No cell of column {self.columns[0]!r} has two labels by "
                    f"data.label_separator={self._separator!r}, and {count} have a {other!r}: "
                    f"perhaps \"data.label_separator='{other}'\"."
                )
                return [Finding("separator", "", why)]
        return []


class FlagCells(LabelReader):
    """A column for each label, with 1 or 0, true or false, yes or no; or with a mark or nothing.

    A column of 1 and -1 alone, as CelebA has them, is one of 1 and 0.
    """

    looks_first = True

    def __init__(self, columns: Sequence[str]) -> None:
        super().__init__(columns)
        self._marked: set[str] = set()
        self._signed: set[str] = set()

    def look_at(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Find the columns that have a mark, such as `x`, or nothing."""
        empty, ones = set[str](), set[str]()
        for column in self.columns:
            values = [value.lower() for row in rows if (value := row.get(column))]
            if sum(value in MARKS for value in values) >= _NEARLY * len(values):
                (self._marked if values else empty).add(column)
            if values and {*values} <= {"1", SIGNED_NO}:
                (self._signed if SIGNED_NO in values else ones).add(column)
        self._signed |= ones if self._signed else set()
        self._marked |= empty if self._marked else set()

    def read(self, cells: Mapping[str, str]) -> tuple[tuple[bool, ...], list[str]]:
        """Yes or no for each label."""
        problems = []
        for column in self.columns:
            is_marked = column in self._marked
            if column in self._signed and cells[column] == SIGNED_NO:
                continue
            if not cells[column] and not is_marked:
                problems.append(f"nothing in {column!r}")
            elif cells[column].lower() not in (("", *MARKS) if is_marked else (*YES, *NO)):
                expected = "neither 1 nor 0" if not is_marked else "neither a mark nor empty"
                problems.append(f"{column!r} is {cells[column][:40]!r}, {expected}")
        return tuple(cells[column].lower() in (*YES, *MARKS) for column in self.columns), problems

    def annotations(self, targets: list[tuple[bool, ...]]) -> LabelSets:
        """Sets of labels, a label for each column."""
        indicators = np.array(targets, bool).reshape(len(targets), len(self.columns))
        return LabelSets(tuple(self.columns), indicators)

    def warnings(self, targets: list[tuple[bool, ...]]) -> list[Finding]:
        """A warning where every row has exactly one label, as one of several classes."""
        columns = [*self.columns] if len(self.columns) <= _FEW else "COLUMNS"
        remedy = f"as pandas does by table[{columns}].idxmax(axis=1)"
        return exclusive_labels(self.columns, np.array(targets, bool), remedy)


def exclusive_labels(names: Sequence[str], indicators: np.ndarray, remedy: str) -> list[Finding]:
    """A warning where labels may be classes, since every row has exactly one of several.

    Args:
        indicators: (N, K) bool.
        remedy: how the class of each row is computed.
    """
    if len(names) < 2 or not len(indicators) or (indicators.sum(axis=1) != 1).any():
        return []
    why = (
        f"Every row has exactly one of the labels {join_names(names, 5)}. Where they exclude each "
        f"other, save the class of each row instead, {remedy}, and learn that: task=classification"
    )
    return [Finding("one_hot", "", why)]


class NumberCells(LabelReader):
    """A column for each number, plain or with a unit that all of the column have."""

    looks_first = True

    def __init__(self, columns: Sequence[str]) -> None:
        super().__init__(columns)
        self._formats: dict[str, AmountFormat] = {}
        self._doubtful: dict[str, str] = {}

    def look_at(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Find the columns of numbers with a unit, such as `55%`, and how they are written."""
        for column in self.columns:
            texts = without_missing([row[column] for row in rows if row.get(column)])
            _refuse_other_numbers(column, texts)
            try:
                format = amount_format(texts)
            except ValueError as error:
                raise DataError(f"column {column!r} {error}") from None
            if format is not None:
                self._formats[column] = format
            if example := thousands_or_decimals(texts)[0]:
                self._doubtful[column] = example

    def read(self, cells: Mapping[str, str]) -> tuple[tuple[float, ...], list[str]]:
        """The numbers of one row."""
        numbers: list[float] = []
        problems: list[str] = []
        for column in self.columns:
            text, reason = cells[column], ""
            if text.lower() in MISSING:
                reason = f"no number, but {text!r}"
            elif text and (format := self._formats.get(column)):
                text, reason = format.plain(text)
            reason = reason or number_problem(text)
            problems += [f"{column!r}: {reason}"] if reason else []
            numbers += [] if reason else [float(text)]
        return () if problems else tuple(numbers), problems

    def annotations(self, targets: list[tuple[float, ...]]) -> Numbers:
        """Numbers in the order of the columns."""
        values = np.array(targets, np.float64).reshape(len(targets), len(self.columns))
        formats = {name: self._formats.get(name) for name in self.columns}
        units = {name: format.unit if format else "" for name, format in formats.items()}
        return Numbers(tuple(self.columns), values, units)

    def warnings(self, targets: list[tuple[float, ...]]) -> list[Finding]:
        """A warning where each point of a column may be one between thousands."""
        return [
            Finding(
                "separator",
                "",
                f"Each number in column {column!r} has three digits after its point, as in "
                f"{example}, and is read with decimals. {REMEDY_OF_DOUBT}",
            )
            for column, example in self._doubtful.items()
        ]


def _refuse_other_numbers(column: str, texts: Sequence[str]) -> None:
    """Refuse a column of numbers that cannot be read, rather than each of its rows.

    Raises:
        DataError: some of its cells are numbers as people write them, or thousands may be decimals.
    """
    unread = [text for text in texts if number_problem(text)]
    if unread and all(map(_COMMA.fullmatch, unread)) and len(unread) >= _NEARLY * len(texts):
        content = f"numbers with a comma before decimals, such as {unread[0]}"
        raise DataError(f"column {column!r} has {content}.", _PLAIN_NUMBERS)
    if numbers := unread_numbers(texts):
        raise DataError(f"column {column!r} has {numbers.content}.", numbers.remedy)
    example, are_thousands = thousands_or_decimals(texts)
    if are_thousands:
        raise DataError(f"column {column!r} has {DOUBTFUL.format(example)}.", REMEDY_OF_DOUBT)


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
    if isinstance(parse_cell(text), list):
        return f"{text[:40]!r} is a list, and data.label_columns=[a,b] names a column per number"
    if (with_unit := amount(text)) is not None:
        return f"{text[:40]!r} is in {with_unit.unit}, and others have no unit"
    if _COMMA.fullmatch(text):
        return f"{text[:40]!r} is not a number: decimals are separated by a point, not by a comma"
    return f"{text[:40]!r} is not a finite number"


def parse_labels(cell: str) -> tuple[list[str] | None, str]:
    """The labels of a cell that is a list (None: it is not one), and what is wrong with it.

    A list may be the only value of an object, as Label Studio writes several choices; and a label
    an object with a `name`, as GitHub writes it, a `label` (CreateML) or `tagName` (Azure).
    """
    labels = parse_cell(cell)
    if isinstance(labels, dict) and len(labels) == 1:
        (labels,) = labels.values()
    if isinstance(labels, list):
        if any(map(is_box, labels)):
            return None, f"{cell[:40]} is a list of boxes, not of names"
        labels = [name for label in labels for name in _own_names(label)]
    if isinstance(labels, dict) or (
        isinstance(labels, list) and any(isinstance(label, list | dict) for label in labels)
    ):
        return None, f"{cell[:40]} is neither a name nor a list of names"
    if not isinstance(labels, list):
        return None, ""
    return [cell_text(label, "utf-8") for label in labels], ""


def _own_names(label: Any) -> list[Any]:
    """The name of a label that is an object with one, or its choices; else the label."""
    if not isinstance(label, dict):
        return [label]
    for key in _NAME_KEYS:
        if isinstance(name := label.get(key), str):
            return [name]
    choices = label.get("choices")
    return choices if isinstance(choices, list) and len(label) == 1 else [label]


def is_box(label: Any) -> bool:
    """Whether a label is an object with a place in its photo, as CreateML writes boxes."""
    return isinstance(label, dict) and not _PLACES.isdisjoint(label)


def label_reader(config: TextTableData | ImageTableData) -> LabelReader:
    """The reader of the labels of a table, by its config."""
    if config.labels == "numbers":
        return NumberCells(config.label_columns or [config.label_column])
    if config.labels == "sets" and config.label_columns:
        return FlagCells(config.label_columns)
    if config.labels == "sets":
        return SetCells(config.label_column, config.label_separator)
    return LabelReader([config.label_column])
