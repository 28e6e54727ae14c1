"""How much training fits into a time, for `recipe=auto` under a time limit."""

from __future__ import annotations

import math
from dataclasses import dataclass

_TRAINING = 3.0
"""Forward passes that a training step costs: one, and the gradients by outputs and by weights."""
_ENOUGH, _HARDLY = 0.5, 0.25
"""Parts of the updates that are wanted: so many are worth a smaller image, fewer are not worth
beginning."""
_STEP = 16


@dataclass(frozen=True)
class Speed:
    """What the network takes on this device, and the time that there is.

    Attributes:
        seconds: for training, a refit included.
        forward: of one example through the network.
        side: of the images that it was measured with, in pixels; None where there are none.
    """

    seconds: float
    forward: float
    side: int | None = None

    def updates(
        self, side: int | None, examples: int, validation: int, batch_size: int, refits: bool
    ) -> int:
        """Updates of the whole network that fit, after one pass over all examples for the head."""
        forward = self.forward
        if side is not None and self.side is not None:
            forward *= (side / self.side) ** 2
        left = self.seconds - forward * (examples + validation)
        update = forward * batch_size * _TRAINING * (2 if refits else 1)
        update += forward * validation * batch_size / examples  # of an epoch's validation
        return max(math.floor(left / update), 0)


def is_enough(updates: int, wanted: int) -> bool:
    """Whether so many updates are worth having at this image size."""
    return updates >= _ENOUGH * wanted


def is_hardly_any(updates: int, wanted: int) -> bool:
    """Whether so few updates are not worth beginning with."""
    return updates < _HARDLY * wanted


def smaller_sides(side: int) -> list[int]:
    """Image sizes to try, from `side` pixels down to half of it."""
    least = max(2 * _STEP, math.ceil(side / 2 / _STEP) * _STEP)
    return [side, *range((side - 1) // _STEP * _STEP, least - 1, -_STEP)]
