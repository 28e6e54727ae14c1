"""Content of image examples: files, or an array in memory."""

import dataclasses
import hashlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fmkit.core import console
from fmkit.data.content.files import Files
from fmkit.data.examples import Content


@dataclass(frozen=True, eq=False)
class ImageFiles(Files):
    """Image files.

    Attributes:
        grey_range: of grey photos with more than 8 bits, the values that become black and white;
            None: 0 and 65,535.
    """

    modality: ClassVar[str] = "image"
    copies_must_agree: ClassVar[bool] = True
    grey_range: tuple[float, float] | None = None

    def digest(self) -> str:
        """As of all files; what their values become is part of it."""
        digest = super().digest()
        if self.grey_range is None:
            return digest
        return hashlib.sha256(f"{digest} {self.grey_range}".encode()).hexdigest()


def describe_grey_range(grey_range: tuple[float, float]) -> str:
    """What becomes of the values of grey with more than 8 bits, for messages."""
    low, high = (f"{value:,.6g}" for value in grey_range)
    return f"values from {low} to {high} become 0 to 255"


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


def with_grey_range(content: Content, grey_range: tuple[float, float] | None) -> Content:
    """Image files whose grey values of more than 8 bits are scaled by a range; others as they are.

    A warning says where most of their own values lie outside of it.
    """
    if not isinstance(content, ImageFiles) or content.grey_range == grey_range:
        return content
    if content.grey_range and grey_range:
        (low, high), (black, white) = content.grey_range, grey_range
        if min(high, white) - max(low, black) < (high - low) / 2:
            console.warning(
                f"the grey values of these photos go from {low:,.6g} to {high:,.6g}, and the run "
                f"learned those from {black:,.6g} to {white:,.6g}: much becomes black or white."
            )
    return dataclasses.replace(content, grey_range=grey_range)
