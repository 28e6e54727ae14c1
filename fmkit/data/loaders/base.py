"""`Loader`, the base class of all loaders of batches, and what those of one data set share.

Training is an endless sequence of epochs cut into steps. Each epoch is one exact permutation of
the examples, a function of (seed, epoch); its last batch is smaller. What step k yields is a
function of (seed, k) alone, so a resumed run starts anywhere without replaying anything.

Legend: N examples, B batch, C classes, K width of a target, T tokens, S side of an image in pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import tensorflow as tf

from fmkit.core.errors import DataError
from fmkit.core.machine import available_cores
from fmkit.data.examples import ProgressCallback
from fmkit.data.loaders.sampler import EpochOrder

if TYPE_CHECKING:
    from fmkit.data.images.augment import Augmentation

_MAX_PARALLEL_BATCHES = 4  # that are made at once, each by all cores

PrepareBatch = Callable[[np.ndarray, np.random.Generator], tuple[tuple[np.ndarray, ...], Any]]
"""A task's own inputs and targets, from a batch of tokens (B, T) int32 or images (B, S, S, 3)
float32 and a random generator -> inputs of the network, and targets; for texts None in their place
where the targets are the loader's."""

Positions = Callable[[int], np.ndarray]
"""Number of a step -> positions of its examples in the data set, (B,) int64."""

LoadStep = Callable[[tf.Tensor], tuple[Any, tf.Tensor]]
"""Number of a step -> its inputs and targets."""


class Loader:
    """Batches for training, validation and prediction.

    A subclass defines `train`, `ordered`, `order` and `steps_per_epoch`, and overrides those
    defaults that differ.
    """

    augment_views: int | None = None
    """Augmented views of an example that the epochs take in turn; None: a fresh one each epoch."""
    has_random_inputs = False
    """Whether inputs are drawn anew at every step, so that no features of them can be cached."""
    can_augment = False
    """Whether `augmentation` may change the inputs."""
    memory_bytes = 0
    """Size of the examples that are kept in memory."""

    def train(
        self, indices: np.ndarray, seed: int, steps: int, start: int = 0, augment: str | None = None
    ) -> tf.data.Dataset:
        """Exactly `steps` shuffled batches of an endless sequence of epochs.

        Args:
            indices: positions of the training examples.
            seed: of the order and of everything that is drawn.
            steps: how many batches.
            start: number of the first one, 0 at the start of training.
            augment: augmentation preset; empty means the loader's own.

        Returns:
            A data set of (inputs, targets) or, with class weights, (inputs, targets, weights);
            weights are (B,) float32.
        """
        raise NotImplementedError

    def ordered(self, indices: np.ndarray) -> tf.data.Dataset:
        """The examples at `indices` once, in that order, for evaluation: (inputs, targets).

        What is random is drawn alike each time, whatever the seed of the run, so that losses of
        all epochs compare.
        """
        raise NotImplementedError

    def order(self, indices: np.ndarray, seed: int) -> EpochOrder:
        """Which of the examples at `indices` are in which training step."""
        raise NotImplementedError

    def steps_per_epoch(self, count: int) -> int:
        """Batches that `count` examples make, a smaller last one included."""
        raise NotImplementedError

    @property
    def ordered_batch_size(self) -> int:
        """Examples in each batch of `ordered` but the last."""
        raise NotImplementedError

    def positions(self, indices: np.ndarray, seed: int, step: int) -> dict[str, np.ndarray]:
        """Positions of the examples of a training step, by objective; "" where there are none."""
        return {"": self.order(indices, seed).indices(step)}

    def unaugmented(self, indices: np.ndarray) -> tf.data.Dataset:
        """The examples at `indices` once, in that order, as they are: (inputs, targets)."""
        return self.ordered(indices)

    def augmented(
        self, indices: np.ndarray, seed: int, view: int, augment: str | None = None
    ) -> tf.data.Dataset:
        """The examples at `indices` once, in that order: (inputs, targets).

        Each is what `train` yields of it in every epoch that takes this view. Not for loaders with
        random inputs.
        """
        return self.ordered(indices)

    def pass_order(self, indices: np.ndarray) -> np.ndarray:
        """The order in which one pass over the examples at `indices` takes the least time.

        Returns:
            Positions in `indices`, (N,), for `ordered(indices[order])`; `restore_order` puts what
            comes out of that back in the order of `indices`.
        """
        return np.arange(len(indices))

    def describe(self) -> str:
        """What the loader holds, in one phrase for the log."""
        return ""

    def cache_facts(self, indices: np.ndarray) -> dict[str, Any]:
        """Everything that features of the examples at `indices` depend on, for a cache's key."""
        raise NotImplementedError

    def prepare(
        self, indices: np.ndarray | None = None, progress: ProgressCallback | None = None
    ) -> None:
        """Read the examples at `indices`, or all, before training, where files may be broken.

        Raises:
            DataError: files are broken.
        """

    def data_error(self, error: BaseException) -> DataError | None:
        """The broken files behind an error of `fit` or `predict`; None if its cause is another."""
        return None

    def check_augment(self, augment: str | None = None) -> None:
        """Refuse an augmentation preset that does not go with the task, by a ConfigError."""

    def augmentation(self, augment: str | None = None) -> Augmentation | None:
        """What a phase's own preset, or the loader's, does; None where it changes nothing."""
        return None


class DatasetLoader(Loader):
    """A loader of one data set, with its targets.

    A subclass overrides `read` and sets `input_spec`, or overrides `_load_step`.

    Args:
        targets: (N,) int32 class numbers, or (N, K) float32.
        batch_size: examples per batch, over all replicas together.
        num_classes: makes class numbers one-hot, (B, C).
        class_weights: (C,) weight of each class in the training loss; mixed as targets are.
        parallel: examples processed at once; empty means one for each core. The result does not
            depend on it.
    """

    input_spec: ClassVar[tf.TensorSpec]
    """Shape, its first axis B, and type of the inputs."""

    def __init__(
        self,
        targets: np.ndarray,
        batch_size: int,
        num_classes: int | None = None,
        class_weights: np.ndarray | Sequence[float] | None = None,
        parallel: int | None = None,
    ) -> None:
        self._targets = np.asarray(targets)
        self._batch_size = batch_size
        self._num_classes = num_classes if self._targets.ndim == 1 else None
        self._weights = None if class_weights is None else np.asarray(class_weights, np.float32)
        self._parallel = parallel or available_cores()
        self._parallel_batches = min(self._parallel, _MAX_PARALLEL_BATCHES)

    def read(self, indices: np.ndarray) -> np.ndarray:
        """The inputs of the examples at `indices`, as `input_spec` says."""
        raise NotImplementedError

    def train(
        self, indices: np.ndarray, seed: int, steps: int, start: int = 0, augment: str | None = None
    ) -> tf.data.Dataset:
        """Exactly `steps` shuffled batches; see `Loader.train`."""
        load = self._load_step(self.order(indices, seed).indices, f"train {seed}")
        loaded = tf.data.Dataset.range(start, start + steps).map(load, self._parallel_batches)
        return finalize(self._add_weights(loaded), steps)

    def ordered(self, indices: np.ndarray) -> tf.data.Dataset:
        """The examples at `indices` once, in that order; see `Loader.ordered`."""
        return self._in_order(indices, self._load_step(self._slices(indices), "ordered"))

    def order(self, indices: np.ndarray, seed: int) -> EpochOrder:
        """Which of the examples at `indices` are in which training step."""
        return EpochOrder(indices, seed, self._batch_size)

    def steps_per_epoch(self, count: int) -> int:
        """Batches that `count` examples make, a smaller last one included."""
        return -(-count // self._batch_size)

    @property
    def ordered_batch_size(self) -> int:
        """Examples in each batch of `ordered` but the last."""
        return self._batch_size

    def _load_step(self, positions: Positions, rng_name: str) -> LoadStep:
        """From a step's number to its inputs and targets, drawn by `rng_name` and that number."""

        def read(number: np.ndarray) -> tuple[np.ndarray, ...]:
            indices = positions(int(number))
            return self.read(indices), self._targets[indices]

        return lambda number: self._call(read, [number], [self.input_spec])

    def _call(
        self,
        function: Callable[..., tuple[np.ndarray, ...]],
        arguments: Sequence[tf.Tensor],
        inputs: Sequence[tf.TensorSpec],
        targets: tf.TensorSpec | None = None,
    ) -> tuple[Any, tf.Tensor]:
        """Inputs and targets that a NumPy function makes, with their static shapes.

        Without a spec of its own the last output is the loader's targets, made one-hot if need be.
        """
        shape = (None, *self._targets.shape[1:])
        specs = [*inputs, targets or tf.TensorSpec(shape, self._targets.dtype)]
        # Not stateful: with op determinism tf.data would run stateful functions one by one.
        tensors = tf.numpy_function(
            function, arguments, [spec.dtype for spec in specs], stateful=False
        )
        for tensor, spec in zip(tensors, specs, strict=True):
            tensor.set_shape(spec.shape)
        *made, labels = tensors
        if targets is None and self._num_classes is not None:
            labels = tf.one_hot(labels, self._num_classes)
        return (made[0] if len(made) == 1 else tuple(made)), labels

    def _slices(self, indices: np.ndarray) -> Positions:
        """The positions of each step where examples come in the order of `indices`."""
        indices, size = np.asarray(indices, np.int64), self._batch_size
        return lambda step: indices[step * size : (step + 1) * size]

    def _in_order(self, indices: np.ndarray, load: LoadStep) -> tf.data.Dataset:
        steps = self.steps_per_epoch(len(indices))
        loaded = tf.data.Dataset.range(steps).map(load, self._parallel_batches)
        return finalize(loaded, steps)

    def _add_weights(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """The batches with a weight per example, that of its class or of its mixture."""
        if self._weights is None:
            return batches  # a function that does nothing would take time at every step

        def weigh(inputs: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, ...]:
            weights = tf.constant(self._weights)
            if targets.shape.rank == 1:
                return inputs, targets, tf.gather(weights, targets)
            return inputs, targets, tf.linalg.matvec(targets, weights)

        return batches.map(weigh)


def finalize(dataset: tf.data.Dataset, steps: int, prefetched: int = 2) -> tf.data.Dataset:
    """Known length, options, and some batches that wait for the model: every pipeline's end."""
    counted = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    return counted.prefetch(prefetched).with_options(pipeline_options())


def restore_order(
    batches: Iterable[Sequence[np.ndarray]], order: np.ndarray
) -> Iterator[list[np.ndarray]]:
    """The rows of a pass in the order that its examples had before `Loader.pass_order`.

    Holds no more rows than it has to wait for.

    Args:
        batches: arrays (B, ...), the rows of a batch, in the order of the pass.
        order: of the pass, (N,).
    """
    # After so many rows of the pass, all up to the last of them have come.
    complete = np.flatnonzero(np.maximum.accumulate(order) == np.arange(len(order))) + 1
    pending: list[Sequence[np.ndarray]] = []
    passed = received = 0
    for batch in batches:
        pending.append(batch)
        received += len(batch[0])
        count = int(np.searchsorted(complete, received, side="right"))
        end = int(complete[count - 1]) if count else 0
        if end == passed:
            continue
        rows = [np.concatenate(parts) for parts in zip(*pending, strict=True)]
        places = np.argsort(order[passed:end])
        yield [array[places] for array in rows]
        pending = [[array[end - passed :] for array in rows]]
        passed = end


def random_generator(name: str, step: int) -> np.random.Generator:
    """A random generator for one step, a function of both arguments alone."""
    digest = hashlib.sha256(f"{name}\0{step}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def pipeline_options() -> tf.data.Options:
    """The options of every `tf.data` pipeline here."""
    options = tf.data.Options()
    options.deterministic = True
    # Its thread sleeps 10 ms, 20, 40 ... and the end of an iterator may wait until it wakes: a pass
    # of 7 s over photos took 10.2 s, and so did every validation.
    options.autotune.enabled = False
    # An element is a global batch: replicas split it, hosts would take turns.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return options
