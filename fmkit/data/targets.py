"""What is to be learned where that is not one class an example: sets of labels, or numbers.

N examples, K labels or numbers of each.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from fmkit.core.errors import DataError, join_names


@dataclass(frozen=True, eq=False)
class LabelSets:
    """Any number of labels an example, none included.

    Attributes:
        names: of the labels, in the order of the model's outputs.
        there: whether an example has a label, (N, K) bool.
        is_open: the names are those that occur, so that data in which a label does not occur may
            do without it; otherwise each label has a column of its own.
    """

    kind: ClassVar[str] = "sets"
    names: tuple[str, ...]
    there: np.ndarray
    is_open: bool = False

    def take(self, indices: np.ndarray) -> LabelSets:
        """Those of the examples at `indices`, in that order; the labels stay as they are."""
        return dataclasses.replace(self, there=self.there[indices])

    def identity(self, index: int) -> bytes:
        """The labels of an example, a byte each."""
        return self.there[index].astype(np.uint8).tobytes()

    def matched(self, names: tuple[str, ...]) -> LabelSets:
        """The same in the order of a run's labels, matched by name.

        A label of the run that does not occur here is nobody's, where the names are those that
        occur.

        Raises:
            DataError: a label is unknown to the run, or a label's column is missing.
        """
        places = _places(self.names, names, "labels", self.is_open)
        there = np.zeros((len(self.there), len(names)), bool)
        for place, own in enumerate(places):
            if own is not None:
                there[:, place] = self.there[:, own]
        return LabelSets(names, there, self.is_open)

    def counts(self, indices: np.ndarray) -> dict[str, int]:
        """How many of the examples at `indices` have each label."""
        found = self.there[indices].sum(axis=0)
        return dict(zip(self.names, found.tolist(), strict=True))

    def rarest(self) -> np.ndarray:
        """Of each example its rarest label, (N,), of equally rare ones the first; K is none.

        Shares of these are near to shares of every label, and where a rarest label keeps an example
        so does that label.
        """
        counts = self.there.sum(axis=0)
        weight = np.where(self.there, counts, len(self.there) + 1)
        last = np.full((len(self.there), 1), len(self.there))
        return np.concatenate([weight, last], axis=1).argmin(axis=1)


@dataclass(frozen=True, eq=False)
class Numbers:
    """One number an example, or several.

    Attributes:
        names: of the numbers, in the order of the model's outputs.
        values: finite numbers in the user's units, (N, K) float64.
    """

    kind: ClassVar[str] = "numbers"
    names: tuple[str, ...]
    values: np.ndarray

    def take(self, indices: np.ndarray) -> Numbers:
        """Those of the examples at `indices`, in that order."""
        return Numbers(self.names, self.values[indices])

    def identity(self, index: int) -> bytes:
        """The numbers of an example, eight bytes each."""
        return self.values[index].astype("<f8").tobytes()

    def matched(self, names: tuple[str, ...]) -> Numbers:
        """The same in the order of a run's numbers, matched by name.

        Raises:
            DataError: a name is missing or unknown.
        """
        places = _places(self.names, names, "numbers")
        return Numbers(names, self.values[:, [int(each or 0) for each in places]])

    def moments(self, indices: np.ndarray) -> dict[str, tuple[float, float]]:
        """Mean and standard deviation of each number over the examples at `indices`."""
        chosen = self.values[indices]
        pairs = zip(chosen.mean(axis=0).tolist(), chosen.std(axis=0).tolist(), strict=True)
        return dict(zip(self.names, pairs, strict=True))


def join_labels(names: Sequence[str], there: np.ndarray) -> list[str]:
    """The labels of each example in one text, (N, K) bool to N texts; none is an empty text."""
    return [SEPARATOR.join(names[int(k)] for k in np.flatnonzero(row)) for row in there]


SEPARATOR = "|"
"""What stands between labels in one cell, unless `data.label_separator` says otherwise."""


def _places(
    there: tuple[str, ...], wanted: tuple[str, ...], what: str, may_lack: bool = False
) -> list[int | None]:
    """Where each wanted name is among those that are there; None where it may be missing.

    Names that look the same are the same, as with classes.

    Raises:
        DataError: a name is missing or unknown; all are told.
    """
    known = {normalise_name(each): place for place, each in enumerate(there)}
    asked = {normalise_name(each) for each in wanted}
    missing = [each for each in wanted if normalise_name(each) not in known and not may_lack]
    extra = [each for each in there if normalise_name(each) not in asked]
    problems = []
    if missing:
        problems.append(f"the data has no {join_names([ascii(each) for each in missing], 10)}")
    if extra:
        problems.append(f"the run does not know {join_names([ascii(each) for each in extra], 10)}")
    if problems:
        raise DataError(
            f"{what} do not match: {'; '.join(problems)}.",
            f"The run was trained on {join_names(wanted, 10)}. They are matched by name, letter by "
            "letter.",
        )
    return [known.get(normalise_name(each)) for each in wanted]


class Annotations(Protocol):
    """What is to be learned of each example, in the order of the examples.

    Attributes:
        kind: as `data.labels` names it, such as `sets` or `numbers`.
    """

    kind: ClassVar[str]

    @property
    def names(self) -> tuple[str, ...]:
        """What the model's outputs are called, in their order; K of them.

        Where answers have no names, as spans of a text, there are none.
        """
        ...

    def take(self, indices: np.ndarray) -> Any:
        """Those of the examples at `indices`, in that order."""
        ...

    def identity(self, index: int) -> bytes:
        """What tells an example's annotation from another one, for the fingerprint."""
        ...

    def matched(self, names: tuple[str, ...]) -> Any:
        """The same in the order of a run's names, matched by name and never by position.

        Raises:
            DataError: a name is missing or unknown; both are told.
        """
        ...


def normalise_name(name: str) -> str:
    """A name as an eye sees it: composed (unicode.org/reports/tr15, NFC), with single spaces."""
    return " ".join(unicodedata.normalize("NFC", name).split())
