"""Types that several packages share: messages, the tokenizer interface, `DataSpec`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

SPLITS = ("train", "val", "test")
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Message:
    """One message of a conversation; the role is one of `ROLES`.

    `learned` is false of an assistant's message that is only read, as those of others are.
    """

    role: str
    content: str
    learned: bool = True


class Tokenizer(Protocol):
    """From texts to token ids and back; it belongs to a model and is saved with it.

    Attributes:
        size: vocabulary size, V.
        start: the token before a text, or None.
        end: the token after a text (in BERT also between a pair), or None.
        mask: the token that replaces a hidden one in masked language modelling, or None.
        special_ids: ids of all tokens that do not stand for text.
        special_tokens: ids before a text, between a pair, and after it all.
    """

    size: int
    start: int | None
    end: int | None
    mask: int | None
    special_ids: tuple[int, ...]
    special_tokens: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

    def tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The ids of each text, (n,) int32, without special tokens, even where it names one."""

    def encode_continuation(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The same for texts that continue others without a space between."""

    def encode(
        self, texts: Sequence[str], pairs: Sequence[str] | None, max_length: int
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """N texts, or pairs of texts, with special tokens, as a model reads them.

        Returns:
            N rows (n,) int32 of at most `max_length` tokens, where the longer text of a pair is
            truncated first, and the length of each before truncation, (N,) int64.
        """

    def decode(self, tokens: np.ndarray) -> str:
        """The text of token ids, without special tokens."""

    def token_to_id(self, piece: str) -> int | None:
        """The id of a token by its text, such as `<|im_end|>`; None where there is none."""

    def is_continuation(self) -> np.ndarray:
        """Which tokens continue a word instead of beginning one, (V,) bool."""

    def fingerprint(self) -> str:
        """SHA-256 of everything that the token ids depend on."""

    def save(self, folder: Path) -> None:
        """Write all that `tokenizers.load` needs into an empty folder."""


@dataclass(frozen=True)
class DataSpec:
    """What a data set looks like.

    Attributes:
        modality: what an example is, a name in `fmkit.core.modalities`.
        classes: class names in the order of the model's outputs; empty for unlabelled data.
        counts: examples per split.
        class_counts: examples per split and class name; for sets of labels, per split and label.
        fingerprint: SHA-256 over every example's identity, size and label, in order.
        split_fingerprint: SHA-256 over which example is in which split.
        annotations: kind of the targets where an example does not have one class, as `data.labels`
            names it; empty where there are classes, or for unlabelled data.
        names: names of the outputs then, in their order.
        moments: mean and standard deviation over the training split of numeric targets, by name.
        grey_range: values that become black and white in grey photos with more than 8 bits, which
            the training photos decide; None where there are no such photos.
        units: of numeric targets out of a table, by name, such as `EUR`; empty for plain numbers.
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
    grey_range: tuple[float, float] | None = None
    units: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The values as JSON, without fields that do not apply."""
        annotated = {"annotations": self.annotations, "names": list(self.names)}
        moments = {name: list(pair) for name, pair in self.moments.items()}
        return {
            **(annotated if self.annotations else {}),
            **({"moments": moments} if moments else {}),
            **({"units": dict(self.units)} if self.units else {}),
            **({"grey_range": list(self.grey_range)} if self.grey_range else {}),
            "modality": self.modality,
            "classes": list(self.classes),
            "counts": dict(self.counts),
            "class_counts": {split: dict(counts) for split, counts in self.class_counts.items()},
            "fingerprint": self.fingerprint,
            "split_fingerprint": self.split_fingerprint,
        }
