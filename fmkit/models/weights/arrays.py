"""What a file of weights holds: names, shapes, and a way to read one array at a time.

Whoever reads a format checks the whole file before the first array is read: every array must be
inside the file and of its declared size. No more memory is taken than the arrays that are asked
for, so a model that asks by shape is safe from files that declare any other.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from fmkit.core.safe_io import UnsafeContent

Shape = tuple[int, ...]

MAX_ARRAYS = 20_000
"""Arrays in a file; NASNet-Large has 1,546, and an optimizer three times as many."""
MAX_DIMENSIONS = 8


@dataclass(frozen=True)
class WeightArrays:
    """The arrays of an open file.

    Attributes:
        shapes: by name, in the file's order.
        load: the array of a name, in its shape.
        layers: of Keras' older HDF5 format, each layer's name and its arrays' names, in order.
    """

    shapes: dict[str, Shape]
    load: Callable[[str], np.ndarray]
    layers: list[tuple[str, list[str]]] = field(default_factory=list)


def element_count(name: str, shape: Shape, largest: int) -> int:
    """The number of elements of an array in the shape that a file declares.

    Raises:
        UnsafeContent: it is not a shape, or has more than the `largest` number in such a file.
    """
    whole = all(type(side) is int and side >= 0 for side in shape)
    if not whole or len(shape) > MAX_DIMENSIONS:
        raise UnsafeContent(f"{name!r} has the shape {str(shape)[:80]}")
    count = math.prod(shape)
    if count > largest:
        reason = f"{name!r} declares {count:,} numbers, and the file is too small for them"
        raise UnsafeContent(reason)
    return count
