"""Sentences as words, as whoever tagged them has split them.

N sentences, W words of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np


@dataclass(frozen=True, eq=False)
class Sentences:
    """Sentences in memory.

    Attributes:
        words: those of each sentence; none of one that cannot be used.
    """

    modality: ClassVar[str] = "text"
    words: tuple[tuple[str, ...], ...]

    def take(self, indices: np.ndarray) -> Sentences:
        """The sentences at `indices`, in that order."""
        return Sentences(tuple(self.words[each] for each in indices))

    def shape(self) -> str:
        """What they are."""
        return "sentences"

    def identity(self, index: int) -> tuple[int, bytes]:
        """The words in UTF-8, with a NUL between, which no word has."""
        whole = "\0".join(self.words[index]).encode("utf-8", "surrogatepass")
        return len(whole), whole

    def text(self, index: int) -> str:
        """A sentence with a space between its words."""
        return " ".join(self.words[index])
