"""Content of image examples: files, or an array in memory."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fmkit.data.content.files import Files
from fmkit.data.examples import Content


class ImageFiles(Files):
    """Image files."""

    modality: ClassVar[str] = "image"
    copies_must_agree: ClassVar[bool] = True


@dataclass(frozen=True, eq=False)
class ImageArray(Content):
    """Images in memory: `pixels` is uint8, (N, H, W) or (N, H, W, C) with C of 1, 3 or 4."""

    modality: ClassVar[str] = "image"
    columns: ClassVar = ("pixels",)
    pixels: np.ndarray

    def identity(self, index: int) -> tuple[int, memoryview]:
        """The pixels."""
        return 0, np.ascontiguousarray(self.pixels[index]).data

    def shape(self) -> str:
        """Height, width and channels."""
        return repr(self.pixels.shape[1:])

    def size_columns(self) -> dict[str, np.ndarray]:
        """Width and height."""
        height, width = self.pixels.shape[1:3]
        return {"width": np.full(len(self), width), "height": np.full(len(self), height)}
