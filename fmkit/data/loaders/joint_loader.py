"""Several loaders as one: a batch of each at every step.

What step k yields is a function of (seed, k) alone, as it is of each loader.

Legend: B batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from fmkit.core.errors import DataError
from fmkit.data.loaders.base import pipeline_options
from fmkit.data.loaders.sampler import EpochOrder

_READY = 1
"""Steps that wait for the model; each loader has some of its own waiting."""


@dataclass(frozen=True)
class Stream:
    """One loader among several.

    Attributes:
        loader: makes the batches.
        indices: positions of its training examples.
    """

    loader: Any
    indices: np.ndarray


class JointLoader:
    """Batches of several loaders side by side, in a stream without end.

    Args:
        streams: by name; the first one counts the epochs. The others go through epochs of their
            own, at their own pace.
    """

    views = None
    draws_inputs = True

    def __init__(self, streams: Mapping[str, Stream]) -> None:
        self._streams = dict(streams)
        self._first = next(iter(self._streams.values()))

    @property
    def held_bytes(self) -> int:
        """What all of them keep in memory."""
        return sum(each.loader.held_bytes for each in self._streams.values())

    @property
    def ordered_width(self) -> int:
        """Of the first one."""
        return int(self._first.loader.ordered_width)

    def describe(self) -> str:
        """What each one says of itself, in one phrase for the log."""
        return "; ".join(f"{name}: {each.loader.describe()}" for name, each in self._items())

    def prepare(self, *arguments: Any) -> None:
        """See `ImageLoader.prepare`."""
        for _, each in self._items():
            each.loader.prepare()

    def check(self, augment: str | None = None) -> None:
        """See `ImageLoader.check`."""
        for _, each in self._items():
            if hasattr(each.loader, "check"):
                each.loader.check(augment)

    def explain(self, error: BaseException) -> DataError | None:
        """See `ImageLoader.explain`: the first one that knows."""
        found = (each.loader.explain(error) for _, each in self._items())
        return next((each for each in found if each is not None), None)

    def order(self, indices: np.ndarray, seed: int) -> EpochOrder:
        """Which of the first one's examples are in which training step."""
        order: EpochOrder = self._first.loader.order(indices, seed)
        return order

    def positions(self, seed: int, step: int) -> dict[str, np.ndarray]:
        """By name, the positions of the examples of a training step, counted from 0."""
        return {
            name: each.loader.order(each.indices, self._seed(name, seed)).indices(step)
            for name, each in self._items()
        }

    def train(
        self,
        indices: np.ndarray,
        seed: int,
        steps: int,
        first_step: int = 0,
        augment: str | None = None,
    ) -> tf.data.Dataset:
        """Exactly `steps` batches of each.

        Args:
            indices: the first one's training examples, as for any loader; not read.
            seed: of the first one; each of the others has one that follows from it and its name,
                so that two that read the same data do not go hand in hand.
            steps: how many batches.
            first_step: number of the first one, 0 at the start of training.
            augment: preset of all; empty means each loader's own.

        Returns:
            A data set of (inputs, targets) or, where any of them weighs examples, (inputs, targets,
            weights): a tuple of all inputs, the first one's first; targets by name; weights (B,) by
            name, ones of those that do not weigh.
        """
        parts = [
            each.loader.train(each.indices, self._seed(name, seed), steps, first_step, augment)
            for name, each in self._items()
        ]
        zipped = tf.data.Dataset.zip(tuple(parts)).map(self._joined)
        counted = zipped.apply(tf.data.experimental.assert_cardinality(steps))
        return counted.prefetch(_READY).with_options(pipeline_options())

    def ordered(self, indices: np.ndarray) -> tf.data.Dataset:
        """The first one's: see `ImageLoader.ordered`."""
        return self._first.loader.ordered(indices)

    def _joined(self, *batches: Any) -> tuple[Any, ...]:
        named = dict(zip(self._streams, batches, strict=True))
        inputs = tuple(tensor for each in batches for tensor in tf.nest.flatten(each[0]))
        targets = {name: each[1] for name, each in named.items()}
        if all(len(each) == 2 for each in batches):
            return inputs, targets
        weights = {
            name: each[2] if len(each) > 2 else tf.ones(tf.shape(each[1])[:1])
            for name, each in named.items()
        }
        return inputs, targets, weights

    def _seed(self, name: str, seed: int) -> int:
        return seed if self._streams[name] is self._first else seed_of(name, seed)

    def _items(self) -> Any:
        return self._streams.items()


def seed_of(name: str, seed: int) -> int:
    """The seed of an objective that is not the first, 31 bits of a hash."""
    digest = hashlib.sha256(f"objective\0{name}\0{seed}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
