"""The sampler: which examples are in which training step, one exact permutation per epoch."""

import hashlib

import numpy as np
import tensorflow as tf

_ROUNDS = 8
_POOL_BATCHES = 64
"""Batches whose order is computed at once, and among which similar lengths are grouped."""


class EpochOrder:
    """An endless sequence of shuffled epochs, cut into batches, with random access to steps.

    The slot of an example in an epoch is computed and not stored: TensorFlow's random index
    shuffle is a block cipher over 0 to N - 1, so memory does not grow with N and a resume replays
    nothing. Keyed by (seed, epoch) as they are, its permutations of 50 are far from uniform (chi-
    square 11 to 12 per degree of freedom over 3,000 epochs, where 1 is right), and its default of 4
    rounds is too few; keyed by a hash of both and with 8 rounds it gives 0.97.

    Args:
        indices: positions of the training examples, (N,).
        batch_size: examples per step; the last step of an epoch has what is left.
    """

    def __init__(self, indices: np.ndarray, seed: int, batch_size: int) -> None:
        self._indices = np.asarray(indices, dtype=np.int64)
        self._seed, self._batch_size = seed, batch_size
        self.steps_per_epoch = -(-len(self._indices) // batch_size)  # a smaller last one included
        self.width = min(batch_size, len(self._indices))  # examples in the largest step
        self._last_pool: tuple[tuple[int, int], list[np.ndarray]] = ((-1, -1), [])

    def indices(self, step: int, steps: int = 1) -> np.ndarray:
        """Positions of the examples of step `step`, counted from 0 over all epochs, (B,) int64.

        Args:
            step: the first step.
            steps: how many, all in one epoch.
        """
        epoch, number = divmod(int(step), self.steps_per_epoch)
        batches, last = [], min(number + steps, self.steps_per_epoch)
        while number < last:
            pool, first = divmod(number, _POOL_BATCHES)
            count = min(_POOL_BATCHES - first, last - number)
            batches += self._pool(epoch, pool)[first : first + count]
            number += count
        return np.concatenate(batches)

    def _pool(self, epoch: int, pool: int) -> list[np.ndarray]:
        """The batches of a pool, in their order; those of the last pool are kept, since the cipher
        takes a tenth of the time for a pool that it takes batch by batch."""
        key, batches = self._last_pool
        if key != (epoch, pool):
            size = _POOL_BATCHES * self._batch_size
            slots = np.arange(pool * size, min((pool + 1) * size, len(self._indices)))
            batches = self._cut(epoch, pool, self._permute(epoch, slots))
            self._last_pool = (epoch, pool), batches
        return batches

    def _cut(self, epoch: int, pool: int, positions: np.ndarray) -> list[np.ndarray]:
        """The batches that a pool's positions make."""
        return np.split(positions, range(self._batch_size, len(positions), self._batch_size))

    def _permute(self, epoch: int, slots: np.ndarray) -> np.ndarray:
        """Positions of the examples at some slots of the order of an epoch."""
        count = len(self._indices)
        if count == 1:
            return self._indices
        with tf.device("CPU"):  # a few numbers: not worth a trip to a GPU
            shuffled = tf.raw_ops.RandomIndexShuffle(
                index=tf.constant(slots, tf.int64),
                seed=tf.constant(np.tile(self._key(epoch), (len(slots), 1))),
                max_index=tf.constant(count - 1, tf.int64),
                rounds=_ROUNDS,
            )
        return self._indices[shuffled.numpy()]

    def _key(self, epoch: int) -> np.ndarray:
        """The cipher's key of an epoch, (3,) uint32."""
        digest = hashlib.sha256(f"order\0{self._seed}\0{epoch}".encode()).digest()
        return np.frombuffer(digest[:12], dtype="<u4").astype(np.uint32)


class LengthOrder(EpochOrder):
    """The same, with examples of similar length in one batch, so that little of it is padding.

    The permutation of an epoch is cut into pools of 64 batches. In each pool the examples are
    sorted by length, cut into batches, and the batches shuffled. The examples of an epoch's smaller
    last batch are set aside before, so that it stays the last one.

    Args:
        indices: positions of the training examples, (N,).
        batch_size: examples per step.
        lengths: of all examples of the data set, by position.
    """

    def __init__(
        self, indices: np.ndarray, seed: int, batch_size: int, lengths: np.ndarray
    ) -> None:
        super().__init__(indices, seed, batch_size)
        self._lengths = np.asarray(lengths)

    def _cut(self, epoch: int, pool: int, positions: np.ndarray) -> list[np.ndarray]:
        """The batches that a pool's positions make, each of similar lengths."""
        full = len(positions) // self._batch_size * self._batch_size
        by_length = np.argsort(self._lengths[positions[:full]], kind="stable")
        rows = positions[:full][by_length].reshape(-1, self._batch_size)
        seed = [*self._key(epoch).tolist(), pool]
        batches = list(np.random.Generator(np.random.PCG64(seed)).permutation(rows))
        return [*batches, positions[full:]] if full < len(positions) else batches
