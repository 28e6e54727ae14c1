"""Nouns that cross rooms: what a data set looks like to models, tasks and the record of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class DataSpec:
    """What a data set looks like.

    Attributes:
        modality: what an example is; `image` so far.
        classes: class names in the order of the model's outputs.
        counts: examples per split.
        class_counts: examples per split and class name.
        fingerprint: SHA-256 over every example's identity, size and label, in order.
        split_fingerprint: SHA-256 over which example is in which split.
    """

    modality: str
    classes: tuple[str, ...]
    counts: dict[str, int]
    class_counts: dict[str, dict[str, int]] = field(default_factory=dict)
    fingerprint: str = ""
    split_fingerprint: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON wants it."""
        return {
            "modality": self.modality,
            "classes": list(self.classes),
            "counts": dict(self.counts),
            "class_counts": {split: dict(each) for split, each in self.class_counts.items()},
            "fingerprint": self.fingerprint,
            "split_fingerprint": self.split_fingerprint,
        }
