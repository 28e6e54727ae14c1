"""What every data source hands over: examples with a stable order, identity and label."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fmkit.data.findings import Finding


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Images that lie in files.

    Attributes:
        paths: absolute paths, in the order of the examples.
        sizes: bytes of each file, (N,) int64.
    """

    paths: tuple[str, ...]
    sizes: np.ndarray

    def take(self, indices: np.ndarray) -> ImageFiles:
        """The files at `indices`, in that order."""
        return ImageFiles(tuple(self.paths[each] for each in indices), self.sizes[indices])


@dataclass(frozen=True, eq=False)
class ImageArray:
    """Images in memory: `pixels` is uint8, (N, H, W) or (N, H, W, C) with C of 1, 3 or 4."""

    pixels: np.ndarray

    def take(self, indices: np.ndarray) -> ImageArray:
        """The images at `indices`, in that order."""
        return ImageArray(self.pixels[indices])


@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled examples of one data set, all splits together.

    Attributes:
        ids: identities that no move or new listing changes: the path relative to the root with
            forward slashes, or `row-000012`; unique.
        labels: positions in `classes`, (N,) int32.
        classes: class names in the order of the model's outputs.
        images: what the ids stand for.
        splits: `train`, `val` or `test` of each example, (N,), where the source names splits.
        groups: a name per example, (N,); examples with the same one stay in one split.
        findings: what is wrong with the source, as far as listing it tells.
    """

    ids: tuple[str, ...]
    labels: np.ndarray
    classes: tuple[str, ...]
    images: ImageFiles | ImageArray
    splits: np.ndarray | None = None
    groups: np.ndarray | None = None
    findings: tuple[Finding, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, indices: np.ndarray) -> Examples:
        """The examples at `indices`, in that order; the classes stay as they are."""
        indices = np.asarray(indices, dtype=np.int64)
        return dataclasses.replace(
            self,
            ids=tuple(self.ids[each] for each in indices),
            labels=self.labels[indices],
            images=self.images.take(indices),
            splits=None if self.splits is None else self.splits[indices],
            groups=None if self.groups is None else self.groups[indices],
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over identity, bytes and label name of every example, in the order of ids.

        Files count by their size, arrays by their pixels: hashing 100 GB of photos at every start
        would cost more than it tells. Neither the root's place nor the listing's order matters.
        """
        digest = hashlib.sha256()
        files = self.images if isinstance(self.images, ImageFiles) else None
        if files is None:
            pixels = self.images.pixels  # type: ignore[union-attr]
            digest.update(repr(pixels.shape[1:]).encode())
        for index in sorted(range(len(self)), key=self.ids.__getitem__):
            name = self.classes[self.labels[index]]
            size = files.sizes[index] if files else 0
            digest.update(f"{self.ids[index]}\0{size}\0{name}\n".encode())
            if files is None:
                digest.update(np.ascontiguousarray(pixels[index]).data)
        return digest.hexdigest()


def from_names(
    ids: list[str],
    names: list[str],
    images: ImageFiles | ImageArray,
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
        images=images,
        splits=None if splits is None else np.array(splits, dtype=str),
        groups=None if groups is None else np.array(groups, dtype=str),
        findings=tuple(findings),
    )
