"""Bounding boxes as targets: object detection.

N examples, n boxes of one, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fmkit.data.targets import Annotations, positions_in_run


@dataclass(frozen=True, eq=False)
class Boxes(Annotations):
    """Any number of boxes per image, none included, each with a class.

    Attributes:
        names: of the classes, in the order of the model's outputs.
        corners: of each image (n, 4) float32: x and y of the upper left corner, then of the lower
            right one, in pixels of the image as it is shown, after its EXIF orientation.
        classes: positions in `names` of each image's boxes, (n,) int32.
    """

    kind: ClassVar[str] = "boxes"
    columns: ClassVar = ("corners", "classes")
    names: tuple[str, ...]
    corners: tuple[np.ndarray, ...]
    classes: tuple[np.ndarray, ...]

    def identity(self, index: int) -> bytes:
        """Number, corners and class names of an image's boxes, in their order."""
        names = "\0".join(self.names[label] for label in self.classes[index])
        corners = self.corners[index].astype("<f4").tobytes()
        return f"{len(self.classes[index])}\0{names}\0".encode() + corners

    def align(self, names: tuple[str, ...]) -> Boxes:
        """In the order of a run's classes, of which some may have no box (`positions_in_run`)."""
        order = positions_in_run(self.names, names, "classes of boxes")
        return Boxes(names, self.corners, tuple(order[labels] for labels in self.classes))

    def presence(self) -> np.ndarray:
        """Whether an image has a box of each class."""
        presence = np.zeros((len(self.classes), len(self.names)), bool)
        for index, labels in enumerate(self.classes):
            presence[index, labels] = True
        return presence

    def summary(self) -> dict[str, int]:
        """Boxes, and images without one."""
        counts = [len(labels) for labels in self.classes]
        return {"boxes": sum(counts), "without": counts.count(0)}
