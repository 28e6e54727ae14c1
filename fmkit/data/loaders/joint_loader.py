"""Several loaders as one, for joint training: a batch of each at every step.

What step k yields is a function of (seed, k) alone, as it is for each loader.

Legend: B batch.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from fmkit.core.errors import DataError
from fmkit.data.examples import ProgressCallback
from fmkit.data.loaders.base import Loader, finalize
from fmkit.data.loaders.sampler import EpochOrder


class JointLoader(Loader):
    """Batches of several loaders side by side, in an endless stream.

    Args:
        streams: by objective, its loader and the positions of its training examples; the first one
            counts the epochs. The others go through epochs of their own, at their own pace.
    """

    has_random_inputs = True

    def __init__(self, streams: Mapping[str, tuple[Loader, np.ndarray]]) -> None:
        self._streams = dict(streams)
        self._loaders = {name: loader for name, (loader, _) in streams.items()}
        self._primary, self._primary_loader = next(iter(self._loaders.items()))
        self.memory_bytes = sum(loader.memory_bytes for loader in self._loaders.values())

    def train(
        self, indices: np.ndarray, seed: int, steps: int, start: int = 0, augment: str | None = None
    ) -> tf.data.Dataset:
        """Exactly `steps` batches of each; see `Loader.train`.

        `indices` is not read: each stream has its own. `seed` is that of the first one; each of
        the others has one derived from it and the objective's name, so that two that read the same
        data do not show the same examples.

        Returns:
            A data set of (inputs, targets) or, where any of them weighs examples, (inputs, targets,
            weights): a tuple of all inputs, the first one's first; targets by objective; weights
            (B,) by objective, ones where a loader has none.
        """
        batches = [
            loader.train(positions, self._seed(name, seed), steps, start, augment)
            for name, (loader, positions) in self._streams.items()
        ]
        joined = tf.data.Dataset.zip(tuple(batches)).map(self._join)
        return finalize(joined, steps, prefetched=1)  # each loader has some of its own waiting

    def ordered(self, indices: np.ndarray) -> tf.data.Dataset:
        """Batches of the first one."""
        return self._primary_loader.ordered(indices)

    def order(self, indices: np.ndarray, seed: int) -> EpochOrder:
        """Which of the first one's examples are in which training step."""
        return self._primary_loader.order(indices, seed)

    def steps_per_epoch(self, count: int) -> int:
        """Batches that `count` examples of the first one make."""
        return self._primary_loader.steps_per_epoch(count)

    @property
    def ordered_batch_size(self) -> int:
        """That of the first one."""
        return self._primary_loader.ordered_batch_size

    def positions(self, indices: np.ndarray, seed: int, step: int) -> dict[str, np.ndarray]:
        """Positions of the examples of a training step, by objective."""
        return {
            name: loader.order(positions, self._seed(name, seed)).indices(step)
            for name, (loader, positions) in self._streams.items()
        }

    def describe(self) -> str:
        """What each one holds, in one phrase for the log."""
        return "; ".join(f"{name}: {loader.describe()}" for name, loader in self._loaders.items())

    def prepare(
        self, indices: np.ndarray | None = None, progress: ProgressCallback | None = None
    ) -> None:
        """Let each loader read all its examples once; see `Loader.prepare`."""
        for loader in self._loaders.values():
            loader.prepare()

    def data_error(self, error: BaseException) -> DataError | None:
        """The broken files behind an error, by the first loader that has any."""
        errors = (loader.data_error(error) for loader in self._loaders.values())
        return next((data_error for data_error in errors if data_error is not None), None)

    def check_augment(self, augment: str | None = None) -> None:
        """Refuse a preset that any of them cannot train with."""
        for loader in self._loaders.values():
            loader.check_augment(augment)

    def _join(self, *batches: Any) -> tuple[Any, ...]:
        by_name = dict(zip(self._streams, batches, strict=True))
        inputs = tuple(tensor for batch in batches for tensor in tf.nest.flatten(batch[0]))
        targets = {name: batch[1] for name, batch in by_name.items()}
        if all(len(batch) == 2 for batch in batches):
            return inputs, targets
        weights = {
            name: batch[2] if len(batch) > 2 else tf.ones(tf.shape(batch[1])[:1])
            for name, batch in by_name.items()
        }
        return inputs, targets, weights

    def _seed(self, name: str, seed: int) -> int:
        return seed if name == self._primary else derive_seed(name, seed)


def derive_seed(name: str, seed: int) -> int:
    """The seed of an objective that is not the first, 31 bits of a hash."""
    digest = hashlib.sha256(f"objective\0{name}\0{seed}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
