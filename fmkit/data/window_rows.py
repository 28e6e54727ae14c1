"""Windows of tokens, mapped from the cache: the content of a language model's examples.

N windows, L tokens of a window, n tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fmkit.store.features import Arrays

_ROWS = 256  # windows that are read together


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of tokens.

    Attributes:
        rows: the tokens of each.
    """

    modality: ClassVar[str] = "text"
    rows: WindowRows

    def take(self, indices: np.ndarray) -> Windows:
        """The windows at `indices`, in that order."""
        return Windows(self.rows.take(indices))

    def shape(self) -> str:
        """What they are."""
        return "windows"

    def identity(self, index: int) -> tuple[int, bytes]:
        """The tokens."""
        (row,) = self.rows.read(np.array([index]))
        return len(row), row.tobytes()


class WindowRows:
    """The tokens of windows, read from the cache as needed: a `fmkit.data.text_loader.Rows`.

    Args:
        arrays: of the cache: tokens (N, L), and (N, 2) split and length.
        lengths: tokens of each, (N,) of any whole type: there may be many millions.
        places: rows of the arrays, (N,); None where these are all rows in their order.

    Attributes:
        bytes: kept in memory: none.
    """

    bytes = 0

    def __init__(
        self, arrays: Arrays, lengths: np.ndarray, places: np.ndarray | None = None
    ) -> None:
        self._arrays, self._places, self.lengths = arrays, places, lengths

    def take(self, indices: np.ndarray) -> WindowRows:
        """Those at `indices`."""
        return WindowRows(self._arrays, self.lengths[indices], self._at(indices))

    def _at(self, indices: np.ndarray) -> np.ndarray:
        """Rows of the arrays."""
        indices = np.asarray(indices)
        return indices if self._places is None else self._places[indices]

    def read(self, indices: np.ndarray) -> list[np.ndarray]:
        """The tokens of the windows at `indices`, (n,) int32 each."""
        tokens = self._arrays.read(self._at(indices), np.int32)[0]
        lengths = self.lengths[indices]
        return [row[:length] for row, length in zip(tokens, lengths, strict=True)]

    def digest(self, indices: np.ndarray) -> str:
        """SHA-256 of the tokens of the windows at `indices`, in that order."""
        found = hashlib.sha256()
        for start in range(0, len(indices), _ROWS):
            for row in self.read(np.asarray(indices)[start : start + _ROWS]):
                found.update(f"{len(row)}\n".encode())
                found.update(np.ascontiguousarray(row).data)
        return found.hexdigest()

    def describe(self, max_length: int) -> str:
        """How many tokens there are."""
        total = int(self.lengths.sum())
        return f"{len(self.lengths):,} windows of {max_length} tokens, {total:,} in all"


class Numbered(Sequence[str]):
    """Ids that are made when they are asked for: `window-000001`, `window-000002` ..."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(self._count))]
        if not -self._count <= index < self._count:
            raise IndexError(index)
        return f"window-{index % self._count + 1:06d}"
