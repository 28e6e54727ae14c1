"""What every loader of batches shares: targets, their weights, and the end of the pipeline.

Legend: N examples, B batch, C classes, K width of a target, T tokens, S side of an image in pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from fmkit.core.machine import available_cores
from fmkit.data.loaders.sampler import EpochOrder

_LOADS, _READY = 4, 2
"""Most batches that are made at once, each by all cores, and how many wait for the model."""


Prepare = Callable[[np.ndarray, np.random.Generator], tuple[tuple[np.ndarray, ...], Any]]
"""What a task makes of a batch where it has inputs or targets of its own: tokens (B, T) int32 or
images (B, S, S, 3) float32, and a source of chance -> inputs of the network, and targets; of texts
None for these where they are the loader's."""


class Batches:
    """Targets beside what a loader reads.

    Args:
        targets: (N,) int32 class numbers, or (N, K) float32.
        batch_size: examples per batch, over all replicas together.
        num_classes: makes class numbers one-hot, (B, C).
        class_weights: (C,) weight of each class in the loss of training; mixed as targets are.
        parallel: examples worked on at once; empty means one for each core. The result does not
            depend on it.
    """

    draws_inputs = False
    """Whether inputs are drawn at every step, so that nothing computed of them can be kept."""

    def __init__(
        self,
        targets: np.ndarray,
        batch_size: int,
        num_classes: int | None = None,
        class_weights: np.ndarray | Sequence[float] | None = None,
        parallel: int | None = None,
    ) -> None:
        self._targets = np.asarray(targets)
        self._batch = batch_size
        self._classes = num_classes if self._targets.ndim == 1 else None
        self._weights = None if class_weights is None else np.asarray(class_weights, np.float32)
        self._calls = parallel or available_cores()
        self._loads = min(self._calls, _LOADS)

    def order(self, indices: np.ndarray, seed: int) -> EpochOrder:
        """Which of the examples at `indices` are in which training step."""
        return EpochOrder(indices, seed, self._batch)

    @property
    def held_bytes(self) -> int:
        """What is kept in memory of the examples."""
        return 0

    @property
    def ordered_width(self) -> int:
        """Examples in each batch of `ordered` but the last."""
        return self._batch

    def steps_per_epoch(self, count: int) -> int:
        """Batches that `count` examples make, a smaller last one included."""
        return -(-count // self._batch)

    def _dense(self, targets: tf.Tensor) -> tf.Tensor:
        """Targets (B, C) where class numbers are made one-hot, else as they are."""
        targets.set_shape((None, *self._targets.shape[1:]))
        return targets if self._classes is None else tf.one_hot(targets, self._classes)

    def _weighted(self, inputs: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """The batch with a weight per example, that of its class or of its mixture."""
        if self._weights is None:
            return inputs, targets
        weights = tf.constant(self._weights)
        if targets.shape.rank == 1:
            return inputs, targets, tf.gather(weights, targets)
        return inputs, targets, tf.linalg.matvec(targets, weights)

    def _finished(self, dataset: tf.data.Dataset, steps: int) -> tf.data.Dataset:
        counted = dataset.apply(tf.data.experimental.assert_cardinality(steps))
        return counted.prefetch(_READY).with_options(pipeline_options())


def generator(chance: str, step: int) -> np.random.Generator:
    """A source of chance for one step, a function of both arguments alone."""
    digest = hashlib.sha256(f"{chance}\0{step}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def pipeline_options() -> tf.data.Options:
    """What every data set here is run with."""
    chosen = tf.data.Options()
    chosen.deterministic = True
    # Its thread sleeps 10 ms, 20, 40 ... and the end of an iterator may wait until it wakes: a pass
    # of 7 s over photos took 10.2 s, and so did every validation.
    chosen.autotune.enabled = False
    # An element is a global batch: replicas split it, hosts would take turns.
    chosen.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return chosen
