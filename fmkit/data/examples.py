"""Examples of a data set: ids, what they show (`Content`), labels, named splits and groups."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from fmkit.data.columnar import Columnar
from fmkit.data.findings import Finding
from fmkit.data.targets import Annotations

ProgressCallback = Callable[[int, int], None]
"""Called with how many examples are done and how many there are; it may raise."""


@dataclass(frozen=True)
class TextPart:
    """A text of the example at `index`, or a part of a long one, which ends with the last part."""

    index: int
    text: str
    is_last: bool = True


class Content(Columnar):
    """What the examples of a data set show, in their order; a base class.

    A subclass defines `columns` (or `__len__` and `take`) and `identity`, and overrides what
    differs.
    """

    modality: ClassVar[str]
    """What a model has to read: `image`, `text` or `audio`."""
    noun: ClassVar[str] = "file"
    """What messages call one example, in the singular."""
    are_pieces: ClassVar[bool] = False
    """An example is a piece of a file; the source applies `data.limit` to documents."""
    copies_must_agree: ClassVar[bool] = False
    """Equal examples under two classes are an error and not only a warning: in photo files one of
    the two labels must be wrong, while small arrays and short texts may coincide."""
    layout: ClassVar[str] = ""
    """What it consists of, for the fingerprint; empty in files of images or sound."""

    def identity(self, index: int) -> tuple[int, bytes | memoryview]:
        """Size and bytes that distinguish an example, for the fingerprint of the data set.

        Files leave the bytes empty: hashing 100 GB of photos at every start would take too long.
        """
        raise NotImplementedError

    @property
    def grey_range(self) -> tuple[float, float] | None:
        """Values that become black and white in grey photos of more than 8 bits, if there are."""
        return None

    def shape(self) -> str:
        """What all examples have in common, for the fingerprint."""
        return self.layout

    def digest(self) -> str:
        """SHA-256 of all the content: the key of caches on this machine."""
        digest = hashlib.sha256(self.shape().encode())
        for index in range(len(self)):
            size, content = self.identity(index)
            digest.update(f"{size}\n".encode())
            digest.update(content)
        return digest.hexdigest()

    def duplicate_key(self, index: int) -> bytes | memoryview | None:
        """Bytes that are equal for copies of one example; None: it is not compared."""
        return self.identity(index)[1] or None

    def size_columns(self) -> dict[str, np.ndarray]:
        """Sizes of the examples for the report, such as `characters` or `width`, (N,) int64."""
        return {}

    def excerpt(self, index: int) -> dict[str, str]:
        """The texts of an example, for samples in the report; empty where it has none."""
        return {}

    def text_parts(self) -> Iterator[TextPart]:
        """All texts in their order, for what reads them once; none where there are no texts.

        Raises:
            UnusableInput: a file is not text in the encoding that was named.
            OSError: a file cannot be read.
        """
        return iter(())

    def text_size(self) -> int:
        """Approximate length of all texts together, in characters or bytes."""
        return sum(len(part.text) for part in self.text_parts())


@dataclass(frozen=True, eq=False)
class Examples(Columnar):
    """Examples of one data set, with or without classes, all splits together."""

    columns: ClassVar = (
        "ids", "labels", "content", "splits", "groups", "annotations", "listed_strata"
    )  # fmt: skip
    # Identities that survive moving the data and listing it again: the path relative to the root
    # with forward slashes, or `row-000012`; unique.
    ids: Sequence[str]
    labels: np.ndarray  # positions in `classes`, (N,) int32; zeros where there are no classes
    classes: tuple[str, ...]  # in the order of the model's outputs; empty where there are none
    content: Content  # what the examples show
    splits: np.ndarray | None = None  # `train`, `val` or `test`, (N,), where the source names them
    groups: np.ndarray | None = None  # a name each, (N,); a group is never divided between splits
    findings: tuple[Finding, ...] = ()  # problems that listing the source has shown
    annotations: Annotations | None = None  # targets that are not classes; `classes` is empty then
    # The stratum of each example before `data.relabel`, (N,): a corrected label leaves its example
    # in the split that it was in. None: no label was changed.
    listed_strata: np.ndarray | None = None

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over identity, content and label of every example, in the order of ids.

        It depends neither on where the root is nor on the order of the listing.
        """
        digest = hashlib.sha256(self.content.shape().encode())
        if self.annotations is not None:
            heading = [self.annotations.kind, *self.annotations.names]
            digest.update(json.dumps(heading).encode())
        for index in sorted(range(len(self)), key=self.ids.__getitem__):
            size, content = self.content.identity(index)
            name = self.classes[self.labels[index]] if self.classes else ""
            digest.update(f"{self.ids[index]}\0{size}\0{name}\n".encode())
            digest.update(content)
            if self.annotations is not None:
                digest.update(self.annotations.identity(index))
        return digest.hexdigest()


def from_names(
    ids: Sequence[str],
    names: Sequence[str],
    content: Content,
    splits: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    classes: tuple[str, ...] | None = None,
    findings: Sequence[Finding] = (),
) -> Examples:
    """Examples with one class each, of `classes`, or else of the names that occur, sorted."""
    classes = classes or tuple(sorted(set(names)))
    position = {name: index for index, name in enumerate(classes)}
    return Examples(
        ids=tuple(ids),
        labels=np.array([position[name] for name in names], dtype=np.int32),
        classes=classes,
        content=content,
        splits=None if splits is None else np.array(splits, dtype=str),
        groups=None if groups is None else np.array(groups, dtype=str),
        findings=tuple(findings),
    )


def without_classes(
    ids: Sequence[str],
    content: Content,
    annotations: Annotations | None = None,
    splits: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    findings: Sequence[Finding] = (),
) -> Examples:
    """Examples without classes, with or without other targets."""
    labels = np.zeros(len(ids), np.int32)
    return Examples(tuple(ids), labels, (), content, splits, groups, tuple(findings), annotations)
