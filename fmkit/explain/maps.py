"""Heat maps: what a method gives for a batch of photos, and how it is settled."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Settings:
    """Settings of methods that have some.

    Attributes:
        steps: of the integral of integrated gradients.
        cells: of occlusion, on a side.
    """

    steps: int = 32
    cells: int = 14


@dataclass(frozen=True)
class Maps:
    """Heat maps of a batch.

    Attributes:
        values: (B, h, w) float32: how much each part of a photo speaks for the target. Below 0,
            where a method knows that, it speaks against it.
        figures: of each photo, (B,), by name, for JSON.
    """

    values: np.ndarray
    figures: Mapping[str, np.ndarray] = field(default_factory=dict)


def resized(maps: np.ndarray, size: int) -> np.ndarray:
    """Maps (N, h, w) at the size of the photos, (N, S, S), interpolated bilinearly.

    Cell centres stay where they are: a value of h cells covers S / h pixels.
    """
    from PIL import Image

    count = len(maps)
    large = np.empty((count, size, size), np.float32)
    for number in range(count):
        picture = Image.fromarray(np.asarray(maps[number], np.float32))
        large[number] = np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR))
    return large


def relative(values: np.ndarray) -> np.ndarray:
    """A map (h, w) from 0 to 1: its part above 0, by its largest value; 0 where there is none."""
    positive = np.maximum(values, 0.0)
    highest = positive.max()
    return positive / highest if highest > 0 else positive
