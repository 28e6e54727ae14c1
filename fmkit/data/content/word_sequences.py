"""Sentences as words, in the tokenisation of the data set.

N sentences, W words of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fmkit.data.examples import Content, TextPart


@dataclass(frozen=True, eq=False)
class Sentences(Content):
    """Sentences in memory.

    Attributes:
        words: the words of each sentence; none of a sentence that cannot be used.
    """

    modality: ClassVar[str] = "text"
    noun: ClassVar[str] = "sentence"
    layout: ClassVar[str] = "sentences"
    columns: ClassVar = ("words",)
    words: tuple[tuple[str, ...], ...]

    def identity(self, index: int) -> tuple[int, bytes]:
        """The words in UTF-8, with a NUL between, which no word has."""
        encoded = "\0".join(self.words[index]).encode("utf-8", "surrogatepass")
        return len(encoded), encoded

    def text(self, index: int) -> str:
        """A sentence with a space between its words."""
        return " ".join(self.words[index])

    def size_columns(self) -> dict[str, np.ndarray]:
        """Words, and characters with a space between words."""
        return {
            "words": np.array([len(words) for words in self.words], np.int64),
            "characters": np.array([len(self.text(i)) for i in range(len(self))], np.int64),
        }

    def excerpt(self, index: int) -> dict[str, str]:
        """The sentence."""
        return {"text": self.text(index)}

    def text_parts(self) -> Iterator[TextPart]:
        """The sentences."""
        for index in range(len(self)):
            yield TextPart(index, self.text(index))
