"""From examples to batches: the only place that shuffles, batches and prefetches.

Training is an endless sequence of epochs cut into steps. Each epoch is one exact permutation of
the examples, a function of (seed, epoch); its last batch is smaller. What step k yields is a
function of (seed, k) alone, so a resume starts anywhere without replaying anything.

Images are decoded at the size that the model gets. The shift of augmentation mirrors the edges
outwards instead of cropping a larger decode (see `augment`), so one decoded copy serves training,
validation and test.

Legend: N examples, B batch, S side in pixels, C classes, K width of a target, V views.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from fmkit.core.errors import ConfigError, DataError
from fmkit.data.examples import Examples
from fmkit.data.images.augment import Augmentation
from fmkit.data.images.pixel_cache import Pixels
from fmkit.data.loaders.base import Batches, Prepare, generator
from fmkit.data.loaders.sampler import EpochOrder

_JUDGED = "judged"
"""Stands for the seed of what is drawn for validation."""


class ImageLoader(Batches):
    """Batches of images with targets, for training and in order.

    Args:
        examples: the whole data set; `indices` below are positions in it.
        targets: (N,) int32 class numbers, or (N, K) float32.
        image_size: side of the square images, S.
        batch_size: examples per batch, over all replicas together.
        resize: `squash`, `pad` or `crop`.
        augment: preset of `augment`, for training only; a phase may take another.
        flip: flips that augmentation may use.
        num_classes: makes class numbers one-hot, (B, C); MixUp and CutMix need that.
        class_weights: (C,) weight of each class in the loss of training; mixed as targets are.
        augment_views: augmented views of each example, taken in turn by the epochs; empty means a
            fresh one every epoch.
        views_at_once: augmented views of each example in a batch, V; the rows of an example follow
            each other, (B * V, S, S, 3), and its targets are not repeated.
        prepare: makes inputs and targets of a batch of images, where a task has targets of its own,
            such as hidden blocks; `targets` is not read then.
        memory_budget_bytes: most memory for decoded images.
        parallel: examples worked on at once, and decoding threads; empty means one for each core.
            The result does not depend on it.

    Raises:
        ConfigError: `augment=strong` without one-hot or dense targets, or with several views.
    """

    def __init__(
        self,
        examples: Examples,
        targets: np.ndarray,
        *,
        image_size: int,
        batch_size: int,
        resize: str = "squash",
        augment: str = "none",
        flip: str = "horizontal",
        num_classes: int | None = None,
        class_weights: np.ndarray | Sequence[float] | None = None,
        augment_views: int | None = None,
        views_at_once: int = 1,
        prepare: Prepare | None = None,
        memory_budget_bytes: int = 2**31,
        parallel: int | None = None,
    ) -> None:
        super().__init__(targets, batch_size, num_classes, class_weights, parallel)
        if len(self._targets) != len(examples):
            raise ValueError(f"{len(self._targets)} targets for {len(examples)} examples")
        self._size, self._preset, self._flip = image_size, augment, flip
        self._examples, self._resize = examples, resize
        self._augmentations: dict[str, Augmentation] = {}
        self._prepare, self._at_once = prepare, views_at_once
        self.draws_inputs = prepare is not None or views_at_once > 1
        self.mixes(augment)  # what cannot be is told now
        self.views = augment_views
        self._is_whole = False
        self.pixels = Pixels(examples, image_size, resize, memory_budget_bytes, parallel)

    @property
    def held_bytes(self) -> int:
        """Of decoded images that are kept."""
        return self.pixels.bytes if self.pixels.in_memory else 0

    def describe(self) -> str:
        """Whether decoded images are kept in memory and why, in one phrase for the log."""
        return self.pixels.decision

    def facts(self, indices: np.ndarray) -> dict[str, Any]:
        """What features of the images at `indices` depend on, for the key of a cache."""
        return {
            "image_size": self._size,
            "resize": self._resize,
            "flip": self._flip,
            "examples": self._examples.content.take(indices).digest(),
        }

    def prepare(
        self,
        indices: np.ndarray | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Decode everything once before training, so that broken files are found; see `Pixels`.

        What was found whole before is not decoded again.

        Raises:
            DataError: files are broken; the first ten by name, with their total.
        """
        if self._is_whole:
            return
        self.pixels.prepare(indices, progress)
        self._is_whole = indices is None

    def explain(self, error: BaseException) -> DataError | None:
        """The broken files behind an error of `fit` or `predict`; none if it has another cause."""
        if isinstance(error, DataError):
            return error
        return self.pixels.failure if isinstance(error, tf.errors.OpError) else None

    def _augmentation(self, preset: str | None) -> Augmentation:
        """A preset's, made once, since some take seconds to trace."""
        preset = self.preset(preset)
        if preset not in self._augmentations:
            no_labels = self._classes is None and self._targets.ndim == 1
            if preset == "strong" and (no_labels or self.draws_inputs):
                raise ConfigError(
                    "data.augment=strong mixes labels (MixUp, CutMix), which this task cannot do.",
                    "Take data.augment=medium.",
                )
            self._augmentations[preset] = Augmentation(preset, self._flip, self._size)
        return self._augmentations[preset]

    def check(self, augment: str | None = None) -> None:
        """Refuse a preset that cannot be trained with.

        Raises:
            ConfigError: it would mix labels that are not there, or all views would be the same.
        """
        if self._at_once > 1 and not self.changes_images(augment):
            raise ConfigError(
                "this task compares two views of a photo, which are the same without augmentation.",
                "Take stage=self_supervised, or set stage.PHASE.augment=views.",
            )
        self.mixes(augment)

    def preset(self, augment: str | None = None) -> str:
        """The preset that a phase takes: its own, or the loader's."""
        return augment or self._preset

    def mixes(self, augment: str | None = None) -> bool:
        """Whether a preset mixes examples of a batch with each other."""
        return self._augmentation(augment).mixes_targets

    def changes_images(self, augment: str | None = None) -> bool:
        """Whether a preset shows an example in more than one way."""
        return self._augmentation(augment).changes_images

    def train(
        self,
        indices: np.ndarray,
        seed: int,
        steps: int,
        first_step: int = 0,
        augment: str | None = None,
    ) -> tf.data.Dataset:
        """Exactly `steps` shuffled batches of an endless sequence of epochs, augmented.

        Args:
            indices: positions of the training examples.
            seed: of order and augmentation.
            steps: how many batches.
            first_step: number of the first one, 0 at the start of training.
            augment: preset; empty means the loader's own.

        Returns:
            A data set of (images, targets) or, with class weights, (images, targets, weights):
            images (B, S, S, 3), uint8 or, augmented, float32 from 0 to 255; targets as promised to
            the constructor; weights (B,) float32. With `prepare`, what it makes of them.
        """
        self.check(augment)
        order = self.order(indices, seed)
        numbers = tf.data.Dataset.range(first_step, first_step + steps)
        augmentation = self._augmentation(augment)
        if augmentation.changes_images:
            loaded = self._augmented(numbers, order, augmentation, _derived(seed))
        else:
            loaded = self._loaded(numbers, order.indices)
        shown = loaded.map(self._shown(f"train {seed}"), self._loads)
        return self._finished(shown.map(self._weighted), steps)

    def view(
        self, indices: np.ndarray, seed: int, view: int, augment: str | None = None
    ) -> tf.data.Dataset:
        """The examples at `indices` once, in that order, as an epoch's view shows them.

        What `train` yields of an example in every epoch that takes this view: (images, targets).
        Not where inputs are drawn at every step.
        """
        augmentation = self._augmentation(augment)
        if not augmentation.changes_images:
            return self.plain(indices)
        return self._viewed(indices, augmentation, _derived(seed), view, 1)

    def _viewed(
        self,
        indices: np.ndarray,
        augmentation: Augmentation,
        key: tuple[int, int],
        epoch: int,
        at_once: int,
    ) -> tf.data.Dataset:
        """The examples at `indices` once, in that order, as an epoch shows them."""
        seed, of_epoch = tf.constant(key, tf.int32), tf.constant(epoch, tf.int64)

        def augment_one(image: tf.Tensor, target: tf.Tensor, index: tf.Tensor) -> Any:
            if at_once == 1:
                return augmentation.example(image, seed, of_epoch, index)[None], target
            return augmentation.views(image, seed, of_epoch, index, at_once), target

        chosen, steps = np.asarray(indices, np.int64), self.steps_per_epoch(len(indices))
        numbers = tf.data.Dataset.range(steps)
        loaded = numbers.map(lambda step: self._load(self._slices(chosen), step), self._loads)
        examples = loaded.unbatch().map(augment_one, self._calls)
        flat = examples.batch(self._batch).map(lambda images, targets: (_flat(images), targets))
        return self._finished(flat, steps)

    def ordered(self, indices: np.ndarray) -> tf.data.Dataset:
        """The examples at `indices` once, in that order, as they are judged: (images, targets).

        What is drawn is the same each time, whatever the seed of the run: several views, always of
        the preset `views`, or what `prepare` hides. So losses of all epochs compare.
        """
        if self._at_once > 1:
            augmentation = self._augmentation("views")
            return self._viewed(indices, augmentation, _derived(_JUDGED), 0, self._at_once)
        steps = self.steps_per_epoch(len(indices))
        loaded = self._loaded(tf.data.Dataset.range(steps), self._slices(np.asarray(indices)))
        return self._finished(loaded.map(self._shown("ordered"), self._loads), steps)

    def plain(self, indices: np.ndarray) -> tf.data.Dataset:
        """The examples at `indices` once, in that order, as they are: (images, targets)."""
        steps = self.steps_per_epoch(len(indices))
        loaded = self._loaded(tf.data.Dataset.range(steps), self._slices(np.asarray(indices)))
        return self._finished(loaded.map(lambda _, images, targets: (images, targets)), steps)

    def _loaded(
        self, numbers: tf.data.Dataset, positions: Callable[[int], np.ndarray]
    ) -> tf.data.Dataset:
        """From steps to (step, images, targets), as they are."""
        return numbers.map(lambda step: (step, *self._load(positions, step)[:2]), self._loads)

    def _shown(self, chance: str) -> Shown:
        """From (step, images, targets) to inputs and targets of the network."""
        return shown(self._prepare, self._size, chance)

    def _slices(self, indices: np.ndarray) -> Callable[[int], np.ndarray]:
        """Positions of a step when examples come in the order of `indices`."""
        return lambda step: indices[step * self._batch : (step + 1) * self._batch]

    def _load(self, positions: Callable[[int], np.ndarray], step: tf.Tensor) -> tuple[Any, ...]:
        """Images (B, S, S, 3) uint8, targets and positions (B,) of one step."""

        def read(number: np.ndarray) -> tuple[np.ndarray, ...]:
            indices = positions(int(number))
            return self.pixels.read(indices), self._targets[indices], indices

        # Paths, order and targets stay out of the graph: a constant of it may not exceed 2 GB.
        # Not stateful: with op determinism tf.data would run stateful functions one by one.
        kinds = [tf.uint8, tf.as_dtype(self._targets.dtype), tf.int64]
        images, targets, indices = tf.numpy_function(read, [step], kinds, stateful=False)
        images.set_shape((None, self._size, self._size, 3))
        indices.set_shape((None,))
        return images, self._dense(targets), indices

    def _augmented(
        self,
        numbers: tf.data.Dataset,
        order: EpochOrder,
        augmentation: Augmentation,
        seed: tuple[int, int],
    ) -> tf.data.Dataset:
        """Batches whose examples are augmented one by one, on all cores.

        An epoch's last batch is filled up to `width` rows on the way, since tf.data only makes
        batches of one size, and cut again after.
        """

        per_epoch, width, views = order.steps_per_epoch, order.width, self.views
        at_once = self._at_once

        def load(step: tf.Tensor) -> tuple[tf.Tensor, ...]:
            images, targets, indices = self._load(order.indices, step)
            rows = (images, targets, indices, tf.ones_like(indices))
            missing = width - tf.size(indices)
            filled = [tf.pad(row, [[0, missing], *[[0, 0]] * (row.shape.rank - 1)]) for row in rows]
            return (tf.fill((width,), step), *filled)

        def augment(
            step: tf.Tensor, image: tf.Tensor, target: tf.Tensor, index: tf.Tensor, real: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            epoch = step // per_epoch
            shown = epoch if views is None else epoch % views
            if at_once == 1:
                return step, augmentation.example(image, seed, shown, index), target, real
            return step, augmentation.views(image, seed, shown, index, at_once), target, real

        def mix(
            steps: tf.Tensor, images: tf.Tensor, targets: tf.Tensor, real: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            count, step = tf.reduce_sum(real), steps[0]
            images, targets = images[:count], targets[:count]
            if at_once > 1:
                return step, _flat(images), targets
            epoch, number = step // per_epoch, step % per_epoch
            return step, *augmentation.batch(images, targets, seed, epoch, number)

        examples = numbers.map(load, self._loads).unbatch().map(augment, self._calls)
        return examples.batch(width).map(mix)


def _flat(images: tf.Tensor) -> tf.Tensor:
    """(B, V, S, S, 3) -> (B * V, S, S, 3)."""
    return tf.reshape(images, (-1, *images.shape[2:]))


def _derived(seed: int | str) -> tuple[int, int]:
    """Two 31-bit numbers for augmentation, unlike those of the order."""
    digest = hashlib.sha256(f"augment\0{seed}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1, int.from_bytes(digest[4:8], "big") >> 1


Shown = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[Any, Any]]
"""(step, images, targets) -> inputs and targets of the network."""


def shown(prepare: Prepare | None, image_size: int, chance: str) -> Shown:
    """What a network gets of a batch; without `prepare` the batch itself.

    Args:
        prepare: the task's; what it draws at a step is a function of `chance` and the step.
        image_size: S.
        chance: names the source of chance.
    """
    if prepare is None:
        return lambda step, images, targets: (images, targets)
    blank = np.zeros((1, image_size, image_size, 3), np.float32)
    inputs, target = prepare(blank, generator(f"images\0{chance}", 0))
    samples = [*inputs, target]  # tell shapes and types

    def draw(images: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, ...]:
        inputs, targets = prepare(images, generator(f"images\0{chance}", int(step)))
        return (*inputs, targets)

    def of_batch(step: tf.Tensor, images: tf.Tensor, targets: tf.Tensor) -> tuple[Any, Any]:
        kinds = [tf.as_dtype(each.dtype) for each in samples]
        # Not stateful: with op determinism tf.data would run stateful functions one by one.
        found = tf.numpy_function(draw, [tf.cast(images, tf.float32), step], kinds, stateful=False)
        for tensor, sample in zip(found, samples, strict=True):
            tensor.set_shape((None, *sample.shape[1:]))
        *inputs, made = found
        return (inputs[0] if len(inputs) == 1 else tuple(inputs)), made

    return of_batch
