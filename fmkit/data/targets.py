"""Targets that are not one class per example: sets of labels, or numbers.

N examples, K labels or numbers of each.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np

from fmkit.core.errors import DataError, join_names
from fmkit.data.columnar import Columnar


class Annotations(Columnar):
    """Targets of the examples of a data set, in their order; a base class.

    A subclass defines `kind`, `names`, `columns` and `identity`, and overrides what differs.
    """

    kind: ClassVar[str]
    """As `data.labels` and the run's record name it, such as `sets` or `numbers`."""
    names: tuple[str, ...]
    """Names of the model's outputs in their order, K of them; empty where they have no names, as
    spans of a text have none."""

    def identity(self, index: int) -> bytes:
        """Bytes that distinguish an example's annotation, for the fingerprint and for conflicts."""
        raise NotImplementedError

    def align(self, names: tuple[str, ...]) -> Self:
        """The same in the order of a run's names, matched by name and never by position.

        Raises:
            DataError: a name is missing, or was not in the training data; all are listed.
        """
        if names != self.names:
            has = f"{self.kind} of {join_names(self.names, 10)}" if self.names else self.kind
            raise DataError(f"the run learned {join_names(names, 10)}, and the data has {has}.")
        return self

    def presence(self) -> np.ndarray | None:
        """Whether an example has something of each name, (N, K) bool; None: not a useful question.

        Splits are stratified by it, and every name must occur in the training split.
        """
        return None

    def counts(self, indices: np.ndarray) -> dict[str, int]:
        """The number of examples at `indices` that have each name, where `presence` is defined."""
        if (presence := self.presence()) is None:
            return {}
        return dict(zip(self.names, presence[indices].sum(axis=0).tolist(), strict=True))

    def absent(self, indices: np.ndarray) -> list[str]:
        """The names that no example at `indices` has; none where the question is not useful."""
        return [name for name, count in self.counts(indices).items() if not count]

    def strata(self) -> tuple[np.ndarray, int] | None:
        """The stratum of each example, (N,), and the number of strata; None: there are none.

        An example's stratum is its rarest name, of equally rare ones the first; K where it has
        none. Shares of these are close to shares of every name, and where a rarest name keeps an
        example, so does that name.
        """
        presence = self.presence()
        if presence is None:
            return None
        rows, count = presence.shape
        weight = np.where(presence, presence.sum(axis=0), rows + 1)
        none = np.full((rows, 1), rows)
        return np.concatenate([weight, none], axis=1).argmin(axis=1), count + 1

    def moments(self, indices: np.ndarray) -> dict[str, tuple[float, float]]:
        """Mean and standard deviation by name over the examples at `indices`, of numbers."""
        return {}

    def summary(self) -> dict[str, int]:
        """Counts for the report; empty where there is nothing to count."""
        return {}


@dataclass(frozen=True, eq=False)
class LabelSets(Annotations):
    """Any number of labels per example, none included."""

    kind: ClassVar[str] = "sets"
    columns: ClassVar = ("indicators",)
    names: tuple[str, ...]  # of the labels, in the order of the model's outputs
    indicators: np.ndarray  # whether an example has a label, (N, K) bool
    # The names are those that occur, so a label of the run may be absent from the data; otherwise
    # each label has a column of its own.
    is_open: bool = False

    def identity(self, index: int) -> bytes:
        """The labels of an example, a byte each."""
        return self.indicators[index].astype(np.uint8).tobytes()

    def align(self, names: tuple[str, ...]) -> LabelSets:
        """In the order of a run's labels; a label that is absent from open names has no example."""
        positions = _match_names(self.names, names, "labels", self.is_open)
        # A last column of False, at -1, is for labels that the data lacks.
        indicators = np.pad(self.indicators, ((0, 0), (0, 1)))[:, positions]
        return LabelSets(names, indicators, self.is_open)

    def presence(self) -> np.ndarray:
        """The indicators."""
        return self.indicators


@dataclass(frozen=True, eq=False)
class Numbers(Annotations):
    """One number per example, or several."""

    kind: ClassVar[str] = "numbers"
    columns: ClassVar = ("values",)
    names: tuple[str, ...]  # of the numbers, in the order of the model's outputs
    values: np.ndarray  # finite numbers in the user's units, (N, K) float64
    units: Mapping[str, str] = field(default_factory=dict)  # by name, empty for plain numbers

    def identity(self, index: int) -> bytes:
        """The numbers of an example, eight bytes each."""
        return self.values[index].astype("<f8").tobytes()

    def align(self, names: tuple[str, ...]) -> Numbers:
        """In the order of a run's numbers."""
        positions = _match_names(self.names, names, "numbers")
        renamed = {
            self.names[position]: name for position, name in zip(positions, names, strict=True)
        }
        units = {renamed[name]: unit for name, unit in self.units.items() if name in renamed}
        return Numbers(names, self.values[:, positions], units)

    def moments(self, indices: np.ndarray) -> dict[str, tuple[float, float]]:
        """Mean and standard deviation of each number over the examples at `indices`."""
        values = self.values[indices]
        pairs = zip(values.mean(axis=0).tolist(), values.std(axis=0).tolist(), strict=True)
        return dict(zip(self.names, pairs, strict=True))


SEPARATOR = "|"
"""Separates labels in one cell, unless `data.label_separator` says otherwise."""


def join_labels(names: Sequence[str], indicators: np.ndarray) -> list[str]:
    """The labels of each example in one text, (N, K) bool to N texts; no label is an empty text."""
    return [SEPARATOR.join(names[int(k)] for k in np.flatnonzero(row)) for row in indicators]


def _match_names(
    data_names: tuple[str, ...], run_names: tuple[str, ...], noun: str, may_lack: bool = False
) -> list[int]:
    """The position of each of a run's names in the data's names; -1 where it may be missing.

    Names that look the same are the same, as with classes.

    Raises:
        DataError: a name is missing or was not in the training data; all are listed.
    """
    position = {normalise_name(name): index for index, name in enumerate(data_names)}
    missing = [name for name in run_names if normalise_name(name) not in position and not may_lack]
    learned = {normalise_name(name) for name in run_names}
    extra = [name for name in data_names if normalise_name(name) not in learned]
    refuse_mismatch(noun, run_names, missing, extra, "Names are matched exactly.")
    return [position.get(normalise_name(name), -1) for name in run_names]


def positions_in_run(
    data_names: Sequence[str], run_names: Sequence[str], noun: str, hint: str = ""
) -> np.ndarray:
    """The position of each of the data's names in a run's names, (K,) int32, matched exactly.

    Names of the run may be absent: a few images or sentences need not have every class.

    Raises:
        DataError: a name was not in the training data; all are listed.
    """
    position = {name: index for index, name in enumerate(run_names)}
    extra = [name for name in data_names if name not in position]
    refuse_mismatch(noun, run_names, [], extra, hint)
    return np.array([position[name] for name in data_names], np.int32)


def refuse_mismatch(
    noun: str, run_names: Sequence[str], missing: Sequence[str], extra: Sequence[str], hint: str
) -> None:
    """Raise a DataError where names of a run are missing from the data, or the data has others."""
    problems = []
    if missing:
        problems.append(f"the data has no {join_names([ascii(name) for name in missing], 10)}")
    if extra:
        verb = "was" if len(extra) == 1 else "were"
        names = join_names([ascii(name) for name in extra], 10)
        problems.append(f"{names} {verb} not in the training data")
    if problems:
        trained_on = f"The run was trained on {join_names(run_names, 10)}. {hint}".strip()
        raise DataError(f"{noun} do not match: {'; '.join(problems)}.", trained_on)


def normalise_name(name: str) -> str:
    """A name as it looks: composed (unicode.org/reports/tr15, NFC), with single spaces."""
    return " ".join(unicodedata.normalize("NFC", name).split())
