"""Batches of features that were computed before: the same order and targets as the images' own.

Steps are cut out of blocks of many steps, so that Python is asked once a block and not once a
step: 110 steps of a linear head take less time than 110 calls.

Legend: N examples, B batch, F the shape of a feature tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from fmkit.data.loaders.base import Batches, pipeline_options
from fmkit.data.loaders.sampler import EpochOrder

_BLOCK_BYTES = 2**25

Read = Callable[[np.ndarray, int], Sequence[np.ndarray]]
"""Positions (B,) and the number of an epoch -> one array (B, *F) float32 for each tensor."""

Ordering = Callable[[np.ndarray, int], EpochOrder]
"""Positions of the training examples and a seed -> which of them are in which step."""


class FeatureLoader(Batches):
    """Batches of ((features, ...), targets), as `ImageLoader` makes them of images.

    Args:
        read: gives the features.
        shapes: F of each tensor.
        targets: as in `Batches`.
        ordering: that of the loader of the examples themselves; empty means any permutation.
        options: the other arguments of `Batches`.
    """

    def __init__(
        self,
        read: Read,
        shapes: Sequence[tuple[int, ...]],
        targets: np.ndarray,
        ordering: Ordering | None = None,
        **options: Any,
    ) -> None:
        super().__init__(targets, **options)
        self._ordering = ordering
        self._read, self._shapes = read, [tuple(shape) for shape in shapes]
        row = 4 * sum(int(np.prod(shape)) for shape in self._shapes)
        self._block = max(1, _BLOCK_BYTES // (row * self._batch))

    def train(
        self, indices: np.ndarray, seed: int, steps: int, first_step: int = 0
    ) -> tf.data.Dataset:
        """Exactly `steps` shuffled batches: see `ImageLoader.train`."""
        order = self.order(indices, seed)
        blocks = _blocks(first_step, steps, order.steps_per_epoch, self._block)

        def positions(number: int) -> tuple[np.ndarray, int]:
            first, count = blocks[number]
            return order.indices(first, count), first // order.steps_per_epoch

        loaded = tf.data.Dataset.range(len(blocks)).map(self._loaded(positions))
        weighted = loaded.map(self._weighted).prefetch(1)
        return self._finished(weighted.flat_map(self._cut), steps)

    def ordered(self, indices: np.ndarray) -> tf.data.Dataset:
        """The examples at `indices` once, in that order: (features, targets).

        Its batches are as large as a block: nothing that judges examples depends on their batch.
        """
        chosen, width = np.asarray(indices, np.int64), self.ordered_width
        blocks = -(-len(chosen) // width)
        if blocks == 1:
            # An epoch's validation makes an iterator anew: no Python, no copy, no thread, and no
            # search for a better graph, which took longer than the one batch.
            bare = pipeline_options()
            bare.experimental_optimization.apply_default_optimizations = False
            whole = self._loaded(lambda _: (chosen, 0))(tf.constant(0, tf.int64))
            return tf.data.Dataset.from_tensors(whole).with_options(bare)

        def positions(number: int) -> tuple[np.ndarray, int]:
            return chosen[number * width : (number + 1) * width], 0

        return self._finished(tf.data.Dataset.range(blocks).map(self._loaded(positions)), blocks)

    def order(self, indices: np.ndarray, seed: int) -> EpochOrder:
        """The order in which the examples themselves would come."""
        if self._ordering is None:
            return super().order(indices, seed)
        return self._ordering(indices, seed)

    @property
    def ordered_width(self) -> int:
        """Examples in each batch of `ordered` but the last."""
        return self._block * self._batch

    def explain(self, error: BaseException) -> None:
        """Features have no files to name; see `ImageLoader.explain`."""

    def _loaded(
        self, positions: Callable[[int], tuple[np.ndarray, int]]
    ) -> Callable[[tf.Tensor], tuple[Any, tf.Tensor]]:
        """From a block's number to its features and targets."""
        kinds = [*[tf.float32] * len(self._shapes), tf.as_dtype(self._targets.dtype)]

        def read(number: np.ndarray) -> tuple[np.ndarray, ...]:
            indices, epoch = positions(int(number))
            return (*self._read(indices, epoch), self._targets[indices])

        def load(number: tf.Tensor) -> tuple[Any, tf.Tensor]:
            # Not stateful: with op determinism tf.data would run stateful functions one by one.
            *features, targets = tf.numpy_function(read, [number], kinds, stateful=False)
            for tensor, shape in zip(features, self._shapes, strict=True):
                tensor.set_shape((None, *shape))
            inputs = features[0] if len(features) == 1 else tuple(features)
            return inputs, self._dense(targets)

        return load

    def _cut(self, *block: Any) -> tf.data.Dataset:
        """A block as batches."""
        return tf.data.Dataset.from_tensor_slices(block).batch(self._batch)


def _blocks(first: int, steps: int, steps_per_epoch: int, most: int) -> list[tuple[int, int]]:
    """(first step, steps) of each block: none crosses the end of an epoch."""
    found, step, end = [], first, first + steps
    while step < end:
        left = steps_per_epoch - step % steps_per_epoch
        count = min(left, most, end - step)
        found.append((step, count))
        step += count
    return found
