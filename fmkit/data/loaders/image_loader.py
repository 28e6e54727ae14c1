"""The loader of images: decoded once, kept in memory where they fit, augmented example by example.

Images are decoded at the size that the model gets. The shift of augmentation mirrors the edges
outwards instead of cropping a larger decode (see `fmkit.data.images.augment`), so one decoded copy
serves training, validation and test.

Legend: N examples, B batch, S side in pixels, C classes, K width of a target, V views.
"""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from fmkit.config import units
from fmkit.config.schema.data import ImageData
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.core.errors import ConfigError, DataError
from fmkit.data.examples import Examples, ProgressCallback
from fmkit.data.images.augment import Augmentation
from fmkit.data.images.pixel_cache import PixelCache
from fmkit.data.loaders.base import (
    DatasetLoader,
    LoadStep,
    Positions,
    PrepareBatch,
    finalize,
    random_generator,
)
from fmkit.data.loaders.sampler import EpochOrder

_EVALUATION = "judged"
"""Stands for the seed of what is drawn for validation. The word is part of the draws: keep it."""


class ImageLoader(DatasetLoader):
    """Batches of images with targets.

    Args:
        targets: as in `DatasetLoader`; MixUp and CutMix need one-hot or dense ones.
        image_size: side of the square images, S.
        resize: `squash`, `pad` or `crop`.
        augment: preset of `fmkit.data.images.augment`, for training only; a phase may have another.
        augment_views: augmented views of each example, taken in turn by the epochs; empty means a
            fresh one every epoch.
        views_per_image: augmented views of each example in a batch, V; the rows of an example
            follow each other, (B * V, S, S, 3), and its targets are not repeated.
        prepare_batch: makes inputs and targets of a batch of images, where a task has targets of
            its own, such as hidden blocks; `targets` is not read then.
        options: the other arguments of `DatasetLoader`; `parallel` threads decode, too.

    Raises:
        ConfigError: `augment=strong` without one-hot or dense targets, or with several views.
    """

    can_augment = True

    def __init__(
        self,
        examples: Examples,
        targets: np.ndarray,
        *,
        image_size: int,
        resize: str = "squash",
        augment: str = "none",
        flip: str = "horizontal",
        augment_views: int | None = None,
        views_per_image: int = 1,
        prepare_batch: PrepareBatch | None = None,
        memory_budget_bytes: int = 2**31,
        **options: Any,
    ) -> None:
        super().__init__(targets, **options)
        if len(self._targets) != len(examples):
            raise ValueError(f"{len(self._targets)} targets for {len(examples)} examples")
        self._size, self._preset, self._flip = image_size, augment, flip
        self._examples, self._resize = examples, resize
        self._augmentations: dict[str, Augmentation] = {}
        self._prepare_batch, self._views_per_image = prepare_batch, views_per_image
        self.has_random_inputs = prepare_batch is not None or views_per_image > 1
        self.augmentation(augment)  # a preset that the task cannot use is refused now
        self.augment_views = augment_views
        self._all_decoded = False
        self.pixels = PixelCache(examples, image_size, resize, memory_budget_bytes, self._parallel)
        self.memory_bytes = self.pixels.bytes if self.pixels.in_memory else 0

    def describe(self) -> str:
        """Whether decoded images are kept in memory and why, in one phrase for the log."""
        return self.pixels.decision

    def cache_facts(self, indices: np.ndarray) -> dict[str, Any]:
        """Everything that features of the images at `indices` depend on, for a cache's key."""
        return {
            "image_size": self._size,
            "resize": self._resize,
            "flip": self._flip,
            "examples": self._examples.content.take(indices).digest(),
        }

    def prepare(
        self, indices: np.ndarray | None = None, progress: ProgressCallback | None = None
    ) -> None:
        """Decode images once before training, so that broken files are found; see `Loader.prepare`.

        Images that were decoded without an error before are not decoded again.
        """
        if not self._all_decoded:
            self.pixels.prepare(indices, progress)
            self._all_decoded = indices is None

    def data_error(self, error: BaseException) -> DataError | None:
        """The broken files behind an error of `fit` or `predict`; None if its cause is another."""
        if isinstance(error, DataError):
            return error
        return self.pixels.failure if isinstance(error, tf.errors.OpError) else None

    def augmentation(self, augment: str | None = None) -> Augmentation | None:
        """What a phase's own preset, or the loader's, does; None where it changes nothing."""
        preset = augment or self._preset
        if preset not in self._augmentations:  # made once, since some take seconds to trace
            has_no_labels = self._num_classes is None and self._targets.ndim == 1
            if preset == "strong" and (has_no_labels or self.has_random_inputs):
                raise ConfigError(
                    "data.augment=strong mixes labels (MixUp, CutMix), which this task cannot do.",
                    "Use data.augment=medium.",
                )
            self._augmentations[preset] = Augmentation(preset, self._flip, self._size)
        return self._augmentations[preset] if preset != "none" else None

    def check_augment(self, augment: str | None = None) -> None:
        """Refuse a preset that cannot be trained with.

        Raises:
            ConfigError: it would mix labels that do not exist, or all views would be the same.
        """
        if self.augmentation(augment) is None and self._views_per_image > 1:
            raise ConfigError(
                "this task compares two views of a photo, which are the same without augmentation.",
                "Use stage=self_supervised, or set stage.PHASE.augment=views.",
            )

    def train(
        self, indices: np.ndarray, seed: int, steps: int, start: int = 0, augment: str | None = None
    ) -> tf.data.Dataset:
        """Exactly `steps` shuffled batches, augmented; see `Loader.train`.

        Images are (B, S, S, 3), uint8 or, augmented, float32 from 0 to 255. With `prepare_batch`,
        inputs and targets are what it makes of them.
        """
        self.check_augment(augment)
        if (augmentation := self.augmentation(augment)) is None:
            return super().train(indices, seed, steps, start)
        numbers, order = tf.data.Dataset.range(start, start + steps), self.order(indices, seed)
        loaded = self._load_augmented(numbers, order, augmentation, _augment_seed(seed))
        prepared = loaded.map(self._prepare(f"train {seed}"), self._parallel_batches)
        return finalize(self._add_weights(prepared), steps)

    def augmented(
        self, indices: np.ndarray, seed: int, view: int, augment: str | None = None
    ) -> tf.data.Dataset:
        """The examples at `indices` once, in that order; see `Loader.augmented`."""
        if (augmentation := self.augmentation(augment)) is None:
            return self.unaugmented(indices)
        return self._augment_in_order(indices, augmentation, _augment_seed(seed), view, 1)

    def ordered(self, indices: np.ndarray) -> tf.data.Dataset:
        """The examples at `indices` once, in that order, for evaluation: (images, targets).

        Several views are always of the preset `views`.
        """
        views, augmentation = self._views_per_image, self.augmentation("views")
        if views == 1 or augmentation is None:
            return super().ordered(indices)
        return self._augment_in_order(indices, augmentation, _augment_seed(_EVALUATION), 0, views)

    def unaugmented(self, indices: np.ndarray) -> tf.data.Dataset:
        """The examples at `indices` once, in that order, as they are: (images, targets)."""
        positions = self._slices(indices)
        return self._in_order(indices, lambda step: self._read_batch(positions, step)[:2])

    def _load_step(self, positions: Positions, rng_name: str) -> LoadStep:
        """From a step's number to its inputs, images as they are by default, and targets."""
        prepare = self._prepare(rng_name)
        return lambda step: prepare(step, *self._read_batch(positions, step)[:2])

    def _read_batch(self, positions: Positions, step: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Images (B, S, S, 3) uint8, targets and positions (B,) of one step."""

        def read(number: np.ndarray) -> tuple[np.ndarray, ...]:
            indices = positions(int(number))
            return self.pixels.read(indices), indices, self._targets[indices]

        # Paths, order and targets stay out of the graph: a constant in it may not exceed 2 GB.
        shape = (None, self._size, self._size, 3)
        specs = [tf.TensorSpec(shape, tf.uint8), tf.TensorSpec((None,), tf.int64)]
        (images, indices), targets = self._call(read, [step], specs)
        return images, targets, indices

    def _augment_in_order(
        self,
        indices: np.ndarray,
        augmentation: Augmentation,
        seed: tuple[int, int],
        epoch: int,
        views: int,
    ) -> tf.data.Dataset:
        """The examples at `indices` once, in that order, as an epoch shows them."""
        positions, steps = self._slices(indices), self.steps_per_epoch(len(indices))
        numbers = tf.data.Dataset.range(steps)
        loaded = numbers.map(lambda step: self._read_batch(positions, step), self._parallel_batches)
        augmented = loaded.unbatch().map(
            lambda image, target, index: (
                augmentation.views(image, seed, tf.constant(epoch, tf.int64), index, views),
                target,
            ),
            self._parallel,
        )
        batches = augmented.batch(self._batch_size)
        merged = batches.map(lambda images, targets: (_merge_views(images), targets))
        return finalize(merged, steps)

    def _load_augmented(
        self,
        numbers: tf.data.Dataset,
        order: EpochOrder,
        augmentation: Augmentation,
        seed: tuple[int, int],
    ) -> tf.data.Dataset:
        """From numbers of steps to (step, images, targets), augmented one by one, on all cores.

        An epoch's last batch is padded to `width` rows on the way, since tf.data only makes
        batches of one size, and cut again after.
        """
        steps_per_epoch, width = order.steps_per_epoch, order.width
        epoch_views, views = self.augment_views, self._views_per_image

        def load(step: tf.Tensor) -> tuple[tf.Tensor, ...]:
            images, targets, indices = self._read_batch(order.indices, step)
            rows = (images, targets, indices, tf.ones_like(indices))
            missing = width - tf.size(indices)
            padded = [tf.pad(row, [[0, missing], *[[0, 0]] * (row.shape.rank - 1)]) for row in rows]
            return (tf.fill((width,), step), *padded)

        def augment(
            step: tf.Tensor, image: tf.Tensor, target: tf.Tensor, index: tf.Tensor, real: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            epoch = step // steps_per_epoch
            view = epoch if epoch_views is None else epoch % epoch_views
            return step, augmentation.views(image, seed, view, index, views), target, real

        def mix(
            steps: tf.Tensor, images: tf.Tensor, targets: tf.Tensor, real: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            count, step = tf.reduce_sum(real), steps[0]
            images, targets = _merge_views(images[:count]), targets[:count]
            epoch, number = step // steps_per_epoch, step % steps_per_epoch
            return step, *augmentation.batch(images, targets, seed, epoch, number)

        examples = numbers.map(load, self._parallel_batches).unbatch().map(augment, self._parallel)
        return examples.batch(width).map(mix)

    def _prepare(self, rng_name: str) -> Callable[..., tuple[Any, tf.Tensor]]:
        """(step, images, targets) -> inputs and targets of the network, by `prepare_batch`.

        What it draws at a step is a function of `rng_name` and the step.
        """
        prepare = self._prepare_batch
        if prepare is None:
            return lambda step, images, targets: (images, targets)

        def draw(images: np.ndarray, step: int) -> tuple[np.ndarray, ...]:
            inputs, targets = prepare(images, random_generator(f"images\0{rng_name}", int(step)))
            return (*inputs, targets)

        blank = np.zeros((1, self._size, self._size, 3), np.float32)  # for shapes and types
        specs = [tf.TensorSpec((None, *made.shape[1:]), made.dtype) for made in draw(blank, 0)]
        *inputs, targets = specs
        return lambda step, images, _: self._call(
            draw, [tf.cast(images, tf.float32), step], inputs, targets
        )


def _merge_views(images: tf.Tensor) -> tf.Tensor:
    """(B, V, S, S, 3) -> (B * V, S, S, 3)."""
    return tf.reshape(images, (-1, *images.shape[2:]))


def _augment_seed(seed: int | str) -> tuple[int, int]:
    """Two 31-bit numbers for augmentation, unlike those of the order."""
    digest = hashlib.sha256(f"augment\0{seed}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1, int.from_bytes(digest[4:8], "big") >> 1


def open_loader(
    examples: Examples, task: Any, backbone: Any, config: ImageData, runtime: RuntimeConfig
) -> ImageLoader:
    """The loader of images for a task and a backbone."""
    return ImageLoader(
        examples,
        targets=task.targets(examples),
        image_size=backbone.image_size,
        batch_size=config.batch_size,
        resize=config.resize,
        augment=config.augment,
        flip=config.flip,
        augment_views=config.augment_views,
        views_per_image=task.views_per_image,
        prepare_batch=task.prepare_batch,
        num_classes=task.num_classes,
        class_weights=task.class_weights,
        memory_budget_bytes=units.parse_bytes(runtime.memory_budget),
    )
