"""Nouns that cross rooms: what a data set looks like to models, tasks and the record of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

SPLITS = ("train", "val", "test")
MODALITIES = ("image", "text")
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Message:
    """One message of a conversation.

    Attributes:
        role: one of `ROLES`: who says it.
        content: what is said.
    """

    role: str
    content: str


class Tokenizer(Protocol):
    """From texts to numbers of tokens and back; it comes with a model and is kept with it.

    Attributes:
        size: how many tokens there are, V.
        start: the token before a text, or None.
        end: the token after a text (in BERT also between a pair), or None.
        mask: the token that stands for a hidden one, or None.
        special: numbers of all tokens that stand for no text.
        marks: tokens before a text, between a pair, and after it all.
    """

    size: int
    start: int | None
    end: int | None
    mask: int | None
    special: tuple[int, ...]
    marks: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

    def tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The tokens of each text, (n,) int32, without marks of start and end.

        What looks like a special token in a text is text.
        """
        ...

    def inside(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The same of texts that stand behind others without a space."""
        ...

    def encode(
        self, texts: Sequence[str], pairs: Sequence[str] | None, max_length: int
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """Texts, or pairs, as a model reads them.

        Args:
            texts: N of them.
            pairs: the second text of each, or None.
            max_length: most tokens of a row; of a pair the longer text is cut first.

        Returns:
            N rows (n,) int32, and how many tokens each has uncut, (N,) int64.
        """
        ...

    def text(self, tokens: np.ndarray) -> str:
        """The text of tokens, special ones left out."""
        ...

    def number(self, piece: str) -> int | None:
        """The number of a piece by its name, such as `<|im_end|>`; None where there is none."""
        ...

    def continues(self) -> np.ndarray:
        """Which tokens go on a word instead of beginning one, (V,) bool."""
        ...

    def fingerprint(self) -> str:
        """SHA-256 of everything that the result depends on."""
        ...

    def save(self, folder: Path) -> None:
        """Write all that `tokenizers.load` needs into a folder that is there and empty."""
        ...


@dataclass(frozen=True)
class DataSpec:
    """What a data set looks like.

    Attributes:
        modality: what an example is: `image` or `text`.
        classes: class names in the order of the model's outputs; none where nothing is labelled.
        counts: examples per split.
        class_counts: examples per split and class name; of sets of labels, per split and label.
        fingerprint: SHA-256 over every example's identity, size and label, in order.
        split_fingerprint: SHA-256 over which example is in which split.
        annotations: kind of what is to be learned where that is not one class an example, as
            `data.labels` names it; empty where there are classes, or nothing is labelled.
        names: what the outputs are called then, in their order.
        moments: of numbers, by name, mean and standard deviation over the training split.
    """

    modality: str
    classes: tuple[str, ...]
    counts: dict[str, int]
    class_counts: dict[str, dict[str, int]] = field(default_factory=dict)
    fingerprint: str = ""
    split_fingerprint: str = ""
    annotations: str = ""
    names: tuple[str, ...] = ()
    moments: dict[str, tuple[float, float]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON wants it."""
        annotated = {"annotations": self.annotations, "names": list(self.names)}
        moments = {name: list(each) for name, each in self.moments.items()}
        return {
            **(annotated if self.annotations else {}),
            **({"moments": moments} if moments else {}),
            "modality": self.modality,
            "classes": list(self.classes),
            "counts": dict(self.counts),
            "class_counts": {split: dict(each) for split, each in self.class_counts.items()},
            "fingerprint": self.fingerprint,
            "split_fingerprint": self.split_fingerprint,
        }
