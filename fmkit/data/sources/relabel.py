"""`data.relabel=FILE`: labels that a labelling tool or a spreadsheet has corrected, applied.

A row names an example, by its id or by what it shows, and its label. The first of these columns by
which some row fits an example counts:

    example, id          the id, as `label_errors.csv` and the data report have it
    path, image          the file: its path, the id, or a name that only one example has
    text                 the text, however white space separates its words

and of these for the label the first that the file has: `new_label`, `choice`, `sentiment` (Label
Studio's usual names), the data's own `data.label_column`, `label`, `labels`. An empty label changes
nothing. A true cell in a column `drop`, or the label `drop` where no class has that name, leaves
the example out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from fmkit.config.schema.data import DataConfig
from fmkit.core.errors import ConfigError, DataError, join_names, plural
from fmkit.data.content.files import Files
from fmkit.data.content.texts import Texts
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding, UnusableInput
from fmkit.data.formats import tables, text_files
from fmkit.data.formats.cells import cell_text, parse_cell
from fmkit.data.sources.paths import existing_path
from fmkit.data.stratify import strata
from fmkit.data.targets import SEPARATOR, LabelSets, Numbers, join_labels, normalise_name

EXAMPLE = "example"
"""Column of the examples' ids in tables that fmkit writes for a labelling tool."""

DROP = "drop"
"""Column of what is left out, and a label that means the same."""

CHANGED, REMOVED = "relabelled", "removed"
"""Kinds of the findings that say what was done."""

_LABELS = ("new_label", "choice", "sentiment")
_TRUE, _FALSE = ("1", "true", "yes", "x", DROP), ("", "0", "false", "no")
_FORMULA = ("'=", "'+", "'-", "'@", "'\t", "'\r")  # how a CSV of fmkit guards such texts
_SHOWN = 5

_Row = Mapping[str, Any]


def apply(examples: Examples, config: DataConfig) -> Examples:
    """The examples with the labels of `config.relabel`, and notes about what has changed.

    Raises:
        ConfigError: the data has no labels of a kind that a table can name.
        DataError: the file cannot be read, or rows of it name unknown examples or labels; all
            problems at once.
    """
    file = str(config.relabel)
    rows = _rows(existing_path(file, "file", "data.relabel"))
    columns = list(dict.fromkeys(name for _, row in rows for name in row))
    problems = _Problems()
    find = _finder(examples, config, rows, columns, problems)
    label_column = _label_column(config, columns)
    labels = _Labels(examples, getattr(config, "label_separator", SEPARATOR))
    new: dict[int, str] = {}
    dropped: set[int] = set()
    for place, row in rows:
        positions = find(row)
        if not positions:
            problems.unknown.append(place)
            continue
        cell = row.get(label_column) if label_column else None
        text, is_dropped = _text(cell), _is_true(row.get(DROP), place, problems)
        if is_dropped or (text == DROP and not labels.knows(DROP)):
            dropped.update(positions)
        elif text:
            for position in positions:
                if new.setdefault(position, text) != text:
                    problems.contradictions.append(place)
    before = labels.texts()
    for position, text in new.items():
        if position not in dropped:
            labels.set(position, text, problems)
    problems.raise_any(file, [*examples.classes] or [*labels.names])
    relabelled = dataclasses.replace(labels.apply(), listed_strata=strata(examples)[0])
    return _changed(relabelled, before, labels.texts(), dropped, file)


def describe(findings: Iterable[Finding]) -> str:
    """What was done, as a phrase; empty where nothing was."""
    kinds = [finding.kind for finding in findings]
    changed, removed = kinds.count(CHANGED), kinds.count(REMOVED)
    if not changed + removed:
        return ""
    return (
        f"{plural(changed, 'label was', 'labels were')} changed and "
        f"{plural(removed, 'example was', 'examples were')} left out by data.relabel"
    )


def _rows(path: Path) -> list[tuple[str, _Row]]:
    """The rows of a file with their places."""
    rows: list[tuple[str, _Row]] = []
    try:
        for record in tables.records(path, list_key="data"):
            place = record.place or f"row {record.number}"
            if record.fault is not None or not isinstance(record.value, Mapping):
                raise DataError(
                    f"data.relabel: {path}, {place}: {record.fault or 'it is not a row'}."
                )
            rows.append((place, record.value))
    except UnusableInput as error:
        hint = "data.relabel names this file: give it rows, or leave it out."
        raise text_files.as_data_error(path, error, "utf-8", hint) from None
    return rows


@dataclass
class _Problems:
    """Everything wrong with a file."""

    unknown: list[str] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    contradictions: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    identity: str = ""

    def raise_any(self, file: str, names: list[str]) -> None:
        """Raise a DataError that names all of them, if there are any."""
        messages = []
        if self.unknown:
            count = plural(len(self.unknown), "row names an example", "rows name examples")
            places = join_names(self.unknown, _SHOWN)
            messages.append(f"{count} that the data does not have, by {self.identity} ({places})")
        if self.labels:
            rows = plural(sum(self.labels.values()), "row has", "rows have")
            unknown = join_names([ascii(name) for name in self.labels], _SHOWN)
            known = f"; the data has {join_names(names, 10)}" if names else ""
            messages.append(f"{rows} unknown labels ({unknown}){known}")
        if self.contradictions:
            count = plural(len(self.contradictions), "row contradicts", "rows contradict")
            messages.append(f"{count} an earlier one ({join_names(self.contradictions, _SHOWN)})")
        messages += self.others
        if messages:
            raise DataError(
                f"data.relabel={file} cannot be applied: {'; '.join(messages)}.",
                "Correct the file: nothing of it is applied unless all of it can be.",
            )


def _finder(
    examples: Examples,
    config: DataConfig,
    rows: list[tuple[str, _Row]],
    columns: list[str],
    problems: _Problems,
) -> Callable[[_Row], list[int]]:
    """From a row to the positions of its examples, by the first column that fits any."""
    candidates = _identities(examples, config)
    usable = [(names, find) for names, find in candidates if set(names) <= set(columns)]
    for names, find in usable:
        if any(find([_text(row.get(name)) for name in names]) for _, row in rows):
            break
    else:
        expected = join_names([name for names, _ in candidates for name in names])
        if not usable:
            raise DataError(
                f"data.relabel={config.relabel} has no column that names examples; it has "
                f"{join_names(columns, 10)}.",
                f"Expected one of {expected}.",
            )
        names, find = usable[0]
    problems.identity = join_names([ascii(name) for name in names])
    return lambda row: find([_text(row.get(name)) for name in names])


def _identities(
    examples: Examples, config: DataConfig
) -> list[tuple[list[str], Callable[[list[str]], list[int]]]]:
    """Columns that may name an example, and what finds it by their cells."""
    by_id = _index(enumerate(examples.ids))
    found: list[tuple[list[str], Callable[[list[str]], list[int]]]] = [
        ([name], lambda cells: by_id.get(cells[0], [])) for name in (EXAMPLE, "id")
    ]
    content = examples.content
    if isinstance(content, Files):
        by_path = _index(enumerate(content.paths))
        by_name = _index((k, PurePosixPath(path).name) for k, path in enumerate(content.paths))

        def of_file(cells: list[str]) -> list[int]:
            exact = by_path.get(cells[0]) or by_id.get(cells[0])
            alike = by_name.get(PurePosixPath(cells[0].replace("\\", "/")).name, [])
            return exact or (alike if len(alike) == 1 else [])

        own = getattr(config, "path_column", "path")
        found += [([name], of_file) for name in dict.fromkeys(["path", own, "image"])]
    if isinstance(content, Texts):
        keys = ["\0".join(_words(text) for text in content.excerpt(k).values())
                for k in range(len(examples))]  # fmt: skip
        by_text = _index(enumerate(keys))

        def of_text(cells: list[str]) -> list[int]:
            return by_text.get("\0".join(map(_words, cells)), [])

        own = getattr(config, "text_column", "text")
        pair = getattr(config, "pair_column", None)
        for name in dict.fromkeys(["text", own]):
            second = [] if content.pairs is None else [pair or "pair"]
            found.append(([name, *second], of_text))
    return found


def _index(pairs: Iterable[tuple[int, str]]) -> dict[str, list[int]]:
    """From a text to the positions that have it."""
    index: dict[str, list[int]] = {}
    for position, text in pairs:
        index.setdefault(text, []).append(position)
    return index


def _label_column(config: DataConfig, columns: list[str]) -> str:
    """The column with the new labels; empty where the file only says what is left out."""
    own = getattr(config, "label_column", "label")
    candidates = dict.fromkeys([*_LABELS, own, "label", "labels"])
    chosen = next((name for name in candidates if name in columns), "")
    if not chosen and DROP not in columns:
        raise DataError(
            f"data.relabel={config.relabel} has no column of labels; it has "
            f"{join_names(columns, 10)}.",
            f"Expected one of {join_names([*candidates])}, or {DROP}.",
        )
    return chosen


def _text(cell: Any) -> str:
    """A cell as text, without the apostrophe that guards a spreadsheet from a formula."""
    text = cell_text(cell, "utf-8")
    return text[1:] if text.startswith(_FORMULA) else text


def _words(text: str) -> str:
    return " ".join(text.split())


def _is_true(cell: Any, place: str, problems: _Problems) -> bool:
    text = cell_text(cell, "utf-8").casefold()
    if text not in (*_TRUE, *_FALSE):
        problems.others.append(f"{place} has {text[:20]!r} in column {DROP!r}, not true or false")
    return text in _TRUE


class _Labels:
    """The labels of examples, changed one by one.

    Raises:
        ConfigError: they are not classes, sets of labels or numbers.
    """

    def __init__(self, examples: Examples, separator: str) -> None:
        self._examples, self._separator = examples, separator
        annotations = examples.annotations
        self.names, values = examples.classes, examples.labels
        if isinstance(annotations, LabelSets):
            self.names, values = annotations.names, annotations.indicators
        elif isinstance(annotations, Numbers):
            self.names, values = annotations.names, annotations.values
        self._values = values.copy()
        if not self.names:
            what = annotations.kind if annotations is not None else "no labels"
            raise ConfigError(
                f"data.relabel changes classes, sets of labels and numbers; this data has {what}.",
                "Leave it out.",
            )
        self._positions = {normalise_name(name): k for k, name in enumerate(self.names)}

    def knows(self, name: str) -> bool:
        """Whether there is a label of that name."""
        return normalise_name(name) in self._positions

    def texts(self) -> list[str]:
        """The labels of each example as text."""
        annotations = self._examples.annotations
        if annotations is None:
            return [self.names[label] for label in self._values]
        if isinstance(annotations, LabelSets):
            return join_labels(self.names, self._values)
        return [SEPARATOR.join(f"{value:.6g}" for value in row) for row in self._values]

    def set(self, position: int, text: str, problems: _Problems) -> None:
        """Give an example the labels of a cell, unless they are unknown."""
        parsed = parse_cell(text)
        if isinstance(parsed, Mapping) and len(parsed) == 1:  # Label Studio's several choices
            (parsed,) = parsed.values()
        annotations = self._examples.annotations
        parts = parsed if isinstance(parsed, list) else [text]
        if annotations is not None and not isinstance(parsed, list):
            parts = [part.strip() for part in text.split(self._separator)]
        parts = [_text(part) for part in parts]
        if isinstance(annotations, Numbers):
            self._set_numbers(position, parts, text, problems)
            return
        unknown = [part for part in parts if not self.knows(part)]
        if unknown or (annotations is None and len(parts) > 1):
            for name in unknown or [text]:
                problems.labels[name] = problems.labels.get(name, 0) + 1
            return
        chosen = [self._positions[normalise_name(part)] for part in parts]
        if annotations is not None:
            self._values[position] = np.isin(np.arange(len(self.names)), chosen)
        elif chosen:
            self._values[position] = chosen[0]

    def _set_numbers(self, position: int, parts: list[str], text: str, problems: _Problems) -> None:
        try:
            numbers = [float(part) for part in parts]
        except ValueError:
            numbers = []
        if len(numbers) != len(self.names) or not np.isfinite(numbers).all():
            problems.labels[text] = problems.labels.get(text, 0) + 1
            return
        if numbers != [float(f"{value:.6g}") for value in self._values[position]]:
            self._values[position] = numbers  # else it is the old one, as fmkit's tables write it

    def apply(self) -> Examples:
        """The examples with these labels."""
        annotations = self._examples.annotations
        if annotations is None:
            return dataclasses.replace(self._examples, labels=self._values)
        if isinstance(annotations, LabelSets):
            annotations = dataclasses.replace(annotations, indicators=self._values)
        elif isinstance(annotations, Numbers):
            annotations = dataclasses.replace(annotations, values=self._values)
        return dataclasses.replace(self._examples, annotations=annotations)


def _changed(
    examples: Examples, before: list[str], after: list[str], dropped: set[int], file: str
) -> Examples:
    """The examples without those that are dropped, with a note about each change."""
    ids = examples.ids
    notes = [
        Finding(CHANGED, ids[k], f"was {old!r}, is {new!r}", (ids[k],))
        for k, (old, new) in enumerate(zip(before, after, strict=True))
        if old != new
    ]
    notes += [Finding(REMOVED, ids[k], f"by {Path(file).name}") for k in sorted(dropped)]
    if dropped:
        gone = {ids[k] for k in dropped}
        keep = np.array([k for k in range(len(examples)) if k not in dropped], np.int64)
        if not len(keep):
            raise DataError(f"data.relabel={file} leaves out all {len(examples):,} examples.")
        findings = tuple(
            f for f in examples.findings if not f.examples or not gone >= {*f.examples}
        )
        examples = dataclasses.replace(examples.take(keep), findings=findings)
    return dataclasses.replace(examples, findings=(*examples.findings, *notes))
