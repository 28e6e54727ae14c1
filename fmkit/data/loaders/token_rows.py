"""Examples as rows of tokens, where a task makes its own rows: several of one example, or with
numbers beside each token.

N examples, M rows, n tokens, K numbers of a token.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fmkit.data.dataset import Dataset
from fmkit.data.examples import Content, Examples, without_classes
from fmkit.data.loaders.text_loader import TokenRows


@dataclass(frozen=True, eq=False)
class Encoded(Content):
    """Rows of tokens that a task made of examples.

    Attributes:
        rows: the tokens of each row, with the numbers beside them.
        origin: which example each row was made of, (M,) int64, ascending.
        source: the examples.
    """

    modality: ClassVar[str] = "text"
    layout: ClassVar[str] = "rows"
    rows: TokenRows
    origin: np.ndarray
    source: Examples

    def __len__(self) -> int:
        return len(self.origin)

    def take(self, indices: np.ndarray) -> Encoded:
        """Refused: rows are chosen by position in their splits."""
        raise TypeError("rows of tokens cannot be taken apart")

    def identity(self, index: int) -> tuple[int, bytes]:
        """The tokens, and the numbers beside them."""
        (row,) = self.rows.read(np.array([index]))
        return len(row), row.tobytes()


def encoded_dataset(data: Dataset, content: Encoded) -> Dataset:
    """A data set as rows; its spec stays that of the examples.

    A row is in the split that its example is in.
    """
    splits = {
        name: np.flatnonzero(np.isin(content.origin, indices))
        for name, indices in data.splits.items()
    }
    ids, rows_of = [], Counter[int]()
    for example in content.origin.tolist():
        rows_of[example] += 1
        number = rows_of[example]
        suffix = f" ({number})" if number > 1 else ""
        ids.append(f"{data.examples.ids[example]}{suffix}")
    return Dataset(without_classes(ids, content), splits, data.spec)
