"""What every data source hands over: examples with a stable order, identity and label."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from fmkit.data.annotations import Annotations
from fmkit.data.findings import Finding
from fmkit.spec import Message


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
class ImageFiles:
    """Images that lie in files.

    Attributes:
        paths: absolute paths, in the order of the examples.
        sizes: bytes of each file, (N,) int64.
    """

    modality: ClassVar[str] = "image"
    paths: tuple[str, ...]
    sizes: np.ndarray

    def take(self, indices: np.ndarray) -> ImageFiles:
        """The files at `indices`, in that order."""
        return ImageFiles(tuple(self.paths[each] for each in indices), self.sizes[indices])

    def digest(self) -> str:
        """SHA-256 of paths, sizes and times of change: what a cache on this machine goes by."""
        found = hashlib.sha256()
        for path, size in zip(self.paths, self.sizes, strict=True):
            changed = 0
            with contextlib.suppress(OSError):
                changed = Path(path).stat().st_mtime_ns
            found.update(f"{path}\0{size}\0{changed}\n".encode())
        return found.hexdigest()

    def shape(self) -> str:
        """Nothing: each file has its own."""
        return ""

    def identity(self, index: int) -> tuple[int, bytes]:
        """The file's size."""
        return int(self.sizes[index]), b""


@dataclass(frozen=True, eq=False)
class ImageArray:
    """Images in memory: `pixels` is uint8, (N, H, W) or (N, H, W, C) with C of 1, 3 or 4."""

    modality: ClassVar[str] = "image"
    pixels: np.ndarray

    def take(self, indices: np.ndarray) -> ImageArray:
        """The images at `indices`, in that order."""
        return ImageArray(self.pixels[indices])

    def digest(self) -> str:
        """SHA-256 of the pixels."""
        found = hashlib.sha256(self.shape().encode())
        found.update(np.ascontiguousarray(self.pixels).view(np.uint8).data)
        return found.hexdigest()

    def shape(self) -> str:
        """Sides and channels."""
        return repr(self.pixels.shape[1:])

    def identity(self, index: int) -> tuple[int, memoryview]:
        """The pixels."""
        return 0, np.ascontiguousarray(self.pixels[index]).data


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
