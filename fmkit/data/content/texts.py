"""Content of text examples: single texts or pairs, and conversations."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fmkit.core.types import Message


@dataclass(frozen=True, eq=False)
class Texts:
    """Texts in memory, or pairs of them.

    Attributes:
        texts: one an example.
        pairs: the second text of each example; None where there are no pairs.
    """

    modality: ClassVar[str] = "text"
    texts: tuple[str, ...]
    pairs: tuple[str, ...] | None = None

    def take(self, indices: np.ndarray) -> Texts:
        """The texts at `indices`, in that order."""
        pairs = None if self.pairs is None else tuple(self.pairs[each] for each in indices)
        return Texts(tuple(self.texts[each] for each in indices), pairs)

    def shape(self) -> str:
        """Whether they are pairs."""
        return "texts" if self.pairs is None else "pairs"

    def identity(self, index: int) -> tuple[int, bytes]:
        """The text in UTF-8, a pair with a NUL between."""
        second = "" if self.pairs is None else f"\0{self.pairs[index]}"
        whole = (self.texts[index] + second).encode("utf-8", "surrogatepass")
        return len(whole), whole


@dataclass(frozen=True, eq=False)
class Conversations:
    """Conversations in memory: `conversations` has the messages of each."""

    modality: ClassVar[str] = "text"
    conversations: tuple[tuple[Message, ...], ...]

    def take(self, indices: np.ndarray) -> Conversations:
        """The conversations at `indices`, in that order."""
        return Conversations(tuple(self.conversations[each] for each in indices))

    def shape(self) -> str:
        """What they are."""
        return "conversations"

    def identity(self, index: int) -> tuple[int, bytes]:
        """Roles and contents as JSON."""
        whole = json.dumps([[each.role, each.content] for each in self.conversations[index]])
        return len(whole), whole.encode()
