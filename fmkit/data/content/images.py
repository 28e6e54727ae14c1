"""Content of image examples: files, or an array in memory."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np


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
