"""What every data source hands over: examples with a stable order, identity and label."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np

from fmkit.data.findings import Finding
from fmkit.data.targets import Annotations


class Content(Protocol):
    """What the examples of a data set show, in their order."""

    modality: ClassVar[str]
    """`image` or `text`: what a model has to read."""

    def take(self, indices: np.ndarray) -> Any:
        """The content at `indices`, in that order."""
        ...

    def shape(self) -> str:
        """What all examples share, for the fingerprint; empty where that is nothing."""
        ...

    def identity(self, index: int) -> tuple[int, bytes | memoryview]:
        """What tells an example from another, for the fingerprint: its bytes and their number.

        Files may leave the bytes out: hashing 100 GB of photos at every start would cost more than
        it tells.
        """
        ...


@dataclass(frozen=True, eq=False)
class Examples:
    """Examples of one data set, with classes or without, all splits together.

    Attributes:
        ids: identities that no move or new listing changes: the path relative to the root with
            forward slashes, or `row-000012`; unique.
        labels: positions in `classes`, (N,) int32; zeros where there are no classes.
        classes: class names in the order of the model's outputs; empty where there are none.
        content: what the ids stand for.
        splits: `train`, `val` or `test` of each example, (N,), where the source names splits.
        groups: a name per example, (N,); examples with the same one stay in one split.
        findings: what is wrong with the source, as far as listing it tells.
        annotations: what is to be learned where that is not one class an example; there are no
            classes then.
    """

    ids: Sequence[str]
    labels: np.ndarray
    classes: tuple[str, ...]
    content: Content
    splits: np.ndarray | None = None
    groups: np.ndarray | None = None
    findings: tuple[Finding, ...] = ()
    annotations: Annotations | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, indices: np.ndarray) -> Examples:
        """The examples at `indices`, in that order; the classes stay as they are."""
        indices = np.asarray(indices, dtype=np.int64)
        return dataclasses.replace(
            self,
            ids=tuple(self.ids[each] for each in indices),
            labels=self.labels[indices],
            content=self.content.take(indices),
            splits=None if self.splits is None else self.splits[indices],
            groups=None if self.groups is None else self.groups[indices],
            annotations=None if self.annotations is None else self.annotations.take(indices),
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over identity, content and label of every example, in the order of ids.

        Neither the root's place nor the listing's order matters.
        """
        digest = hashlib.sha256()
        if shape := self.content.shape():
            digest.update(shape.encode())
        if self.annotations is not None:
            told = [self.annotations.kind, *self.annotations.names]
            digest.update(json.dumps(told).encode())
        for index in sorted(range(len(self)), key=self.ids.__getitem__):
            size, content = self.content.identity(index)
            name = self.classes[self.labels[index]] if self.classes else ""
            digest.update(f"{self.ids[index]}\0{size}\0{name}\n".encode())
            digest.update(content)
            if self.annotations is not None:
                digest.update(self.annotations.identity(index))
        return digest.hexdigest()


def from_names(
    ids: list[str],
    names: list[str],
    content: Content,
    splits: list[str] | None = None,
    groups: list[str] | None = None,
    classes: tuple[str, ...] | None = None,
    findings: Sequence[Finding] = (),
) -> Examples:
    """Examples from a class name each.

    Args:
        names: class name of each example.
        classes: class names in order; empty means the names that occur, sorted.
        findings: what is wrong with the source.
    """
    classes = classes or tuple(sorted(set(names)))
    number = {name: index for index, name in enumerate(classes)}
    return Examples(
        ids=tuple(ids),
        labels=np.array([number[name] for name in names], dtype=np.int32),
        classes=classes,
        content=content,
        splits=None if splits is None else np.array(splits, dtype=str),
        groups=None if groups is None else np.array(groups, dtype=str),
        findings=tuple(findings),
    )
