"""Where a learning-rate schedule is at an update, in a phase whose length changes under way."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

MOST_CHANGES = 31
"""As many changes of length as a phase may have."""


class Rescaling:
    """From updates of a phase to updates of its schedule, piece by piece in a straight line.

    A schedule is made for the configured length. When a phase is to end after `after` updates
    instead of `before`, what is left of its schedule is gone through in the updates that are left:
    the learning rate has no jump, and at the end it is where it would have been.

    The pieces are in a variable, which a compiled step reads: a change compiles nothing anew. It is
    not one of the optimizer's, so that checkpoints do not depend on it. Without a change an update
    of the schedule is one of the phase, exactly.
    """

    def __init__(self) -> None:
        # First update, number of updates, updates of the schedule for each of them.
        self._pieces = [(0.0, math.inf, 1.0)]
        self._variable = keras.Variable(self._table(), trainable=False, dtype="float32")

    def change(self, update: int, before: int, after: int) -> None:
        """From `update` on, the phase has `after` updates in all, and had `before`; both above it.

        Raises:
            ValueError: there were `MOST_CHANGES` changes before.
        """
        if len(self._pieces) > MOST_CHANGES:
            raise ValueError(f"a phase may have {MOST_CHANGES} changes of its length")
        left = self.position(before) - self.position(update)
        pieces = [piece for piece in self._pieces if piece[0] < update]
        if pieces:
            first, _, rate = pieces[-1]
            pieces[-1] = (first, update - first, rate)
        self._pieces = [*pieces, (float(update), math.inf, left / (after - update))]
        self._variable.assign(self._table())

    def position(self, update: int) -> float:
        """The update of the schedule that an update of the phase stands for."""
        return sum(
            rate * min(max(update - first, 0.0), length) for first, length, rate in self._pieces
        )

    def __call__(self, update: Any, library: Any, to_float: Callable[[Any], Any]) -> Any:
        """The same in float32, by NumPy (for an integer) or by Keras' operations."""
        table = self._table() if library is np else keras.ops.convert_to_tensor(self._variable)
        firsts, lengths, rates = table[0], table[1], table[2]
        past = library.clip(to_float(update) - firsts, to_float(0.0), lengths)
        return library.sum(rates * past)

    def _table(self) -> np.ndarray:
        unused = [(0.0, 0.0, 0.0)] * (MOST_CHANGES + 1 - len(self._pieces))
        most = float(np.finfo(np.float32).max)
        rows = [(first, min(length, most), rate) for first, length, rate in self._pieces]
        return np.array([*rows, *unused], np.float32).T
