"""Dataclasses with a row per example in each of several fields, from which rows are taken."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np


class Columnar:
    """Base class of dataclasses whose fields have a row per example, N rows."""

    columns: ClassVar[tuple[str, ...]]
    """Names of the fields with N rows: sequences, arrays, what has a `take` itself, or None."""

    def __len__(self) -> int:
        return len(getattr(self, self.columns[0]))

    def take(self, indices: np.ndarray) -> Self:
        """The rows at `indices`, in that order; fields without rows stay as they are."""
        indices = np.asarray(indices, dtype=np.int64)
        taken = {name: _take(getattr(self, name), indices) for name in self.columns}
        return dataclasses.replace(self, **taken)  # type: ignore[type-var]


def _take(column: Any, indices: np.ndarray) -> Any:
    if column is None:
        return None
    if isinstance(column, np.ndarray):
        return column[indices]
    if isinstance(column, Sequence):
        return tuple(column[index] for index in indices)
    return column.take(indices)
