"""Batches of cached features: the same order and targets as those of the examples themselves.

Steps are cut out of blocks of many steps, so that Python is called once a block and not once a
step: 110 steps of a linear head take less time than 110 calls.

Legend: N examples, B batch, F the shape of a feature tensor.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from fmkit.data.loaders.base import DatasetLoader, LoadStep, finalize, pipeline_options
from fmkit.data.loaders.sampler import EpochOrder

_BLOCK_BYTES = 2**25

ReadFeatures = Callable[[np.ndarray, int], Sequence[np.ndarray]]
"""Positions (B,) and the number of an epoch -> one array (B, *F) float32 for each tensor."""

MakeOrder = Callable[[np.ndarray, int], EpochOrder]
"""Positions of the training examples and a seed -> which of them are in which step."""


class FeatureLoader(DatasetLoader):
    """Batches of ((features, ...), targets), as the loader of the examples would order them.

    Args:
        shapes: F of each tensor.
        targets: as in `DatasetLoader`.
        make_order: that of the loader of the examples; empty means any permutation.
        options: the other arguments of `DatasetLoader`.
    """

    def __init__(
        self,
        read_features: ReadFeatures,
        shapes: Sequence[tuple[int, ...]],
        targets: np.ndarray,
        make_order: MakeOrder | None = None,
        **options: Any,
    ) -> None:
        super().__init__(targets, **options)
        self._make_order, self._read_features = make_order or super().order, read_features
        self._specs = [tf.TensorSpec((None, *shape), tf.float32) for shape in shapes]
        example_bytes = 4 * sum(int(np.prod(shape)) for shape in shapes)
        self._block_steps = max(1, _BLOCK_BYTES // (example_bytes * self._batch_size))

    def train(
        self, indices: np.ndarray, seed: int, steps: int, start: int = 0, augment: str | None = None
    ) -> tf.data.Dataset:
        """Exactly `steps` shuffled batches: see `Loader.train`; `augment` is not read."""
        order = self.order(indices, seed)
        blocks = _blocks(start, steps, order.steps_per_epoch, self._block_steps)

        def positions(number: int) -> tuple[np.ndarray, int]:
            first, count = blocks[number]
            return order.indices(first, count), first // order.steps_per_epoch

        def to_batches(*block: Any) -> tf.data.Dataset:
            return tf.data.Dataset.from_tensor_slices(block).batch(self._batch_size)

        loaded = tf.data.Dataset.range(len(blocks)).map(self._load_block(positions))
        weighted = self._add_weights(loaded).prefetch(1)
        return finalize(weighted.flat_map(to_batches), steps)

    def ordered(self, indices: np.ndarray) -> tf.data.Dataset:
        """The examples at `indices` once, in that order: (features, targets).

        Its batches are as large as a block: no result of an evaluation depends on the batch.
        """
        indices, size = np.asarray(indices, np.int64), self.ordered_batch_size
        blocks = -(-len(indices) // size)
        load = self._load_block(lambda number: (indices[number * size : (number + 1) * size], 0))
        if blocks == 1:
            # Each epoch's validation makes a new iterator: no Python, no copy, no thread, and no
            # graph optimizations, which took longer than the one batch.
            options = pipeline_options()
            options.experimental_optimization.apply_default_optimizations = False
            batch = load(tf.constant(0, tf.int64))
            return tf.data.Dataset.from_tensors(batch).with_options(options)
        return finalize(tf.data.Dataset.range(blocks).map(load), blocks)

    def order(self, indices: np.ndarray, seed: int) -> EpochOrder:
        """The order in which the examples themselves would come."""
        return self._make_order(indices, seed)

    @property
    def ordered_batch_size(self) -> int:
        """Examples in each batch of `ordered` but the last."""
        return self._block_steps * self._batch_size

    def _load_block(self, positions: Callable[[int], tuple[np.ndarray, int]]) -> LoadStep:
        """From a block's number to its features and targets, by its positions and its epoch."""

        def read(number: np.ndarray) -> tuple[np.ndarray, ...]:
            indices, epoch = positions(int(number))
            return (*self._read_features(indices, epoch), self._targets[indices])

        return lambda number: self._call(read, [number], self._specs)


def _blocks(first: int, steps: int, steps_per_epoch: int, limit: int) -> list[tuple[int, int]]:
    """(first step, steps) of each block, at most `limit` steps: none crosses the end of an epoch.

    An epoch may show its own augmented view, and features are read one epoch at a time.
    """
    blocks, step, end = [], first, first + steps
    while step < end:
        left_in_epoch = steps_per_epoch - step % steps_per_epoch
        count = min(left_in_epoch, limit, end - step)
        blocks.append((step, count))
        step += count
    return blocks
