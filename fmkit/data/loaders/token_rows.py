"""Examples as rows of tokens, where a task makes rows of its own: more than one of an example, or
with a number beside each token.

N examples, M rows, n tokens, K numbers of a token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fmkit.data.dataset import Dataset
from fmkit.data.examples import Content, Examples
from fmkit.data.loaders.text_loader import TokenRows


@dataclass(frozen=True, eq=False)
class Encoded(Content):
    """Rows of tokens that a task made of examples.

    Attributes:
        rows: the tokens of each row, with what stands beside them.
        origin: which example each row was made of, (M,) int64, not falling.
        source: the examples.
    """

    modality: ClassVar[str] = "text"
    rows: TokenRows
    origin: np.ndarray
    source: Examples

    def __len__(self) -> int:
        return len(self.origin)

    def shape(self) -> str:
        """A constant."""
        return "rows"

    def take(self, indices: np.ndarray) -> Encoded:
        """Refused: rows are chosen by position in their splits."""
        raise TypeError("rows of tokens are not taken apart")

    def identity(self, index: int) -> tuple[int, bytes]:
        """The tokens, and what stands beside them."""
        (row,) = self.rows.read(np.array([index]))
        return len(row), row.tobytes()


def dataset(data: Dataset, content: Encoded) -> Dataset:
    """A data set as rows; its record stays that of the examples.

    A row is in the split that its example is in.
    """
    split_of = {name: np.isin(content.origin, indices) for name, indices in data.splits.items()}
    names, ids = data.examples.ids, []
    counts: dict[int, int] = {}
    for place in content.origin.tolist():
        counts[place] = counts.get(place, 0) + 1
        ids.append(names[place] if counts[place] == 1 else f"{names[place]} ({counts[place]})")
    examples = Examples(tuple(ids), np.zeros(len(ids), np.int32), (), content)
    return Dataset(examples, {k: np.flatnonzero(each) for k, each in split_of.items()}, data.spec)
