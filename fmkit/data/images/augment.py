"""Augmentation presets, from Keras' layers and TensorFlow's functions, seeded per example.

| preset   | every example                                     | every batch                    |
|----------|---------------------------------------------------|--------------------------------|
| `none`   | as it is                                          |                                |
| `light`  | flip; shift by up to 1/14 of the side             |                                |
| `medium` | light, then 2 operations at mild strength         |                                |
| `strong` | light, then 2 at full strength, then in 1 of 4 a  | MixUp (alpha 0.2) or CutMix    |
|          | grey rectangle (RandomErasing)                    | (alpha 1), each in 1 of 2      |
| `views`  | random resized crop, flip, colours; see `Views`   |                                |

The shift is a crop out of the image with its edges mirrored outwards, so images are decoded at the
size that validation sees, and nothing looks larger in training than it will later.

The operations are RandAugment's (Cubuk et al. 2019, arxiv.org/abs/1909.13719) with zoom added. They
are chosen here, one `tf.switch_case` each, among Keras' layers, and not through
`keras.layers.RandAugment`: that layer computes all its operations for each image and keeps one
(83 ms an image of 224 x 224 on one core where this takes under 10), and its single factor cannot be
mild: a factor of 0.5 rotates by up to 180 degrees, and a small one solarizes nearly everything.

Every draw comes from (seed, epoch, position of the example, number of the view), or (seed, epoch,
batch) for MixUp and CutMix. So an example becomes the same whatever the threads, the batch
size and the step that a resumed run starts from.

Legend: B batch, S side in pixels, C classes.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from fmkit.core.errors import ConfigError, received

PRESETS = ("none", "light", "medium", "strong", "views")
"""Names of the presets, weakest first; `views` is for tasks that compare views of one image."""

FLIPS = {"none": (), "horizontal": ("horizontal",), "both": ("horizontal", "vertical")}
"""By `data.flip`, modes of keras.layers.RandomFlip, whose own mode for both tosses one coin."""

_SHIFTS = "shifts of up to 1/14 of the side"

_OPERATIONS_PER_IMAGE = 2  # in `medium` and `strong`, RandAugment's N

_OPERATIONS: tuple[tuple[Any, dict[str, Any] | None, dict[str, Any]], ...] = (
    (layers.RandomShear, {"x_factor": 0.1, "y_factor": 0.1}, {"x_factor": 0.3, "y_factor": 0.3}),
    (layers.RandomRotation, {"factor": 15 / 360}, {"factor": 30 / 360}),
    (layers.RandomZoom, {"height_factor": (-0.2, 0.1)}, {"height_factor": (-0.4, 0.2)}),
    (layers.RandomBrightness, {"factor": 0.15}, {"factor": 0.35}),
    (layers.RandomContrast, {"factor": 0.25}, {"factor": 0.6}),
    (layers.RandomColorDegeneration, {"factor": 0.5}, {"factor": 1.0}),
    (layers.RandomSharpness, {"factor": 1.0}, {"factor": 1.0}),
    (layers.RandomPosterization, {"factor": 6}, {"factor": 4}),
    (layers.Solarization, None, {"threshold_factor": 1.0}),
    (layers.AutoContrast, {}, {}),
    (layers.Equalization, None, {}),
)
"""The operations with their arguments in `medium`, which lacks some, and in `strong`. Their order
is part of the draws: keep it."""


class _Seeds(keras.random.SeedGenerator):
    """Keras' seed generator without its variable: each draw is a function of `base` alone.

    The one hook into Keras' randomness: every image layer takes a generator, and every function of
    keras.random calls its `next`. One lives as long as one trace of one example.

    Args:
        base: (2,) int32 tensor.
    """

    def __init__(self, base: tf.Tensor) -> None:  # the parent's would make a variable
        self._base = base
        self._draws = 0

    def next(self, ordered: bool = True) -> tf.Tensor:
        """A new stateless seed, (2,) int32."""
        self._draws += 1
        return tf.random.experimental.stateless_fold_in(self._base, self._draws)


class Augmentation:
    """What a preset does to one example and to one batch.

    Args:
        image_size: side of the images, S.

    Raises:
        ConfigError: no such preset or flip.
    """

    def __init__(self, preset: str, flip: str, image_size: int) -> None:
        if preset not in PRESETS:
            raise ConfigError(received("data.augment", preset, PRESETS))
        if flip not in FLIPS:
            raise ConfigError(received("data.flip", flip, FLIPS))
        self.preset = preset
        self.mixes_targets = preset == "strong"
        self._size = image_size
        self._margin = max(1, round(image_size / 14))
        side = image_size + 2 * self._margin
        self._padded = keras.KerasTensor((1, side, side, 3))
        self._flips = [_layer(layers.RandomFlip, mode=mode) for mode in FLIPS[flip]]
        self._crop = _layer(layers.RandomCrop, height=image_size, width=image_size)
        self._operations = [
            _layer(layer_class, **arguments)
            for layer_class, medium, strong in _OPERATIONS
            if (arguments := {"medium": medium, "strong": strong}.get(preset)) is not None
        ]
        self._views = Views(FLIPS[flip], image_size) if preset == "views" else None
        self._erase = None
        if self.mixes_targets:
            quarter = (0.25, 0.25)  # a single number would mean a draw between 0 and it
            self._erase = _layer(
                layers.RandomErasing, factor=quarter, scale=(0.02, 0.2), fill_value=127
            )
            # CutMix's own default draws alpha from 0 to 1: then most patches are all or nothing.
            self._mixers = [
                _layer(layers.MixUp, alpha=0.2),
                _layer(layers.CutMix, factor=(1.0, 1.0)),
            ]
        # Traced once for all data sets of a run: eleven layers take seconds to trace.
        self._traced_example = tf.function(self._example, autograph=False)
        self._traced_operation = tf.function(self._operation, autograph=False)
        self._traced_batch = tf.function(self._batch, autograph=False)

    def describe(self) -> str:
        """What it does, in one phrase for people."""
        flips = " and ".join(layer.mode for layer in self._flips)
        flips = f"{flips} flips" if flips else "no flips"
        steps = {
            "none": [],
            "light": [flips, _SHIFTS],
            "medium": [flips, _SHIFTS, "2 mild operations"],
            "strong": [flips, _SHIFTS, "2 strong operations", "RandomErasing", "MixUp or CutMix"],
            "views": ["crops", flips, "colours, grey and blur"],
        }[self.preset]
        return f"{self.preset} ({', '.join(steps)})" if steps else self.preset

    def example(
        self, image: tf.Tensor, seed: tf.Tensor, epoch: tf.Tensor, index: tf.Tensor
    ) -> tf.Tensor:
        """One augmented image, (S, S, 3) float32 from 0 to 255.

        Args:
            image: (S, S, 3) uint8.
            seed: (2,) int32.
            epoch: scalar int64.
            index: the example's position in the data set, scalar int64.
        """
        return self._traced_example(image, _fold_in(seed, 0, epoch, index))

    def views(
        self, image: tf.Tensor, seed: tf.Tensor, epoch: tf.Tensor, index: tf.Tensor, count: int
    ) -> tf.Tensor:
        """Augmented images of one, (count, S, S, 3) float32, each with draws of its own.

        A single one is that of `example`.
        """
        if count == 1:
            return self.example(image, seed, epoch, index)[None]
        base = _fold_in(seed, 2, epoch, index)
        fold_in = tf.random.experimental.stateless_fold_in
        return tf.stack([self._traced_example(image, fold_in(base, view)) for view in range(count)])

    def batch(
        self,
        images: tf.Tensor,
        targets: tf.Tensor,
        seed: tf.Tensor,
        epoch: tf.Tensor,
        number: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Images and targets after MixUp or CutMix, where the preset has them.

        Args:
            images: (B, S, S, 3) float32.
            targets: (B, C) float32.
            seed: (2,) int32.
            epoch: scalar int64.
            number: the batch's number in its epoch, scalar int64.
        """
        if not self.mixes_targets:
            return images, targets
        return self._traced_batch(images, targets, _fold_in(seed, 1, epoch, number))

    def _example(self, image: tf.Tensor, base: tf.Tensor) -> tf.Tensor:
        seeds = _Seeds(base)
        if self._views is not None:
            return self._views.apply(image, seeds)
        images = tf.cast(self._shift_and_flip(image, seeds), tf.float32)[None]
        for _ in range(_OPERATIONS_PER_IMAGE if self._operations else 0):
            images = self._traced_operation(images, seeds.next())
        if self._erase is not None:
            images = _apply(self._erase, images, seeds)
        if self._operations:  # interpolation overshoots by a rounding error
            images = tf.clip_by_value(images, 0.0, 255.0)
        return tf.ensure_shape(images[0], (self._size, self._size, 3))

    def _shift_and_flip(self, image: tf.Tensor, seeds: _Seeds) -> tf.Tensor:
        """Shifted, edges mirrored outwards, and flipped: a choice of rows and columns."""
        # The layers only draw. To pad, crop and flip as they do takes 3 times as long, 2 ms an
        # image of 224 x 224: TensorFlow's mirroring pad is slow, their flip computes both outcomes.

        def mirrored(start: tf.Tensor) -> tf.Tensor:
            last = self._size - 1
            return last - tf.abs(last - tf.abs(start - self._margin + tf.range(self._size)))

        top, left = self._crop.get_random_transformation(self._padded, training=True, seed=seeds)
        rows, columns = mirrored(top), mirrored(left)
        for layer in self._flips:
            flip = layer.get_random_transformation(self._padded, training=True, seed=seeds)
            is_flipped = tf.reshape(flip["flips"], ())
            if layer.mode == "horizontal":
                columns = tf.where(is_flipped, columns[::-1], columns)
            else:
                rows = tf.where(is_flipped, rows[::-1], rows)
        return tf.gather(tf.gather(image, rows), columns, axis=1)

    def _operation(self, images: tf.Tensor, base: tf.Tensor) -> tf.Tensor:
        seeds = _Seeds(base)
        count = len(self._operations)
        number = tf.random.stateless_uniform((), seeds.next(), 0, count, tf.int32)
        inner = seeds.next()  # all branches start from the same seed: only one of them runs

        def apply(layer: Any) -> tf.Tensor:
            return tf.ensure_shape(_apply(layer, images, _Seeds(inner)), images.shape)

        return tf.switch_case(number, [partial(apply, layer) for layer in self._operations])

    def _batch(
        self, images: tf.Tensor, targets: tf.Tensor, base: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        seeds = _Seeds(base)
        coin = tf.random.stateless_uniform((), seeds.next(), 0, 2, tf.int32)

        def mix(layer: Any, base: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            draws = layer.get_random_transformation(images, training=True, seed=_Seeds(base))
            mixed = layer.transform_images(images, draws, training=True)
            labels = layer.transform_labels(targets, draws, training=True)
            return tf.ensure_shape(mixed, images.shape), tf.ensure_shape(labels, targets.shape)

        return tf.switch_case(coin, [partial(mix, layer, seeds.next()) for layer in self._mixers])


def _fold_in(seed: tf.Tensor, stream: int, epoch: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """A separate seed for each stream, epoch and number, (2,) int32."""
    fold_in = tf.random.experimental.stateless_fold_in
    for value in (stream, epoch, number):
        seed = fold_in(seed, tf.cast(value, tf.int32))
    return seed


def _layer(layer_class: Any, **arguments: Any) -> Any:
    # float32 whatever the policy of the model: 8 bits of bfloat16 are too few for 0 to 255.
    layer = layer_class(**arguments, dtype="float32", data_format="channels_last")
    layer.backend.set_backend("tensorflow")  # tf.data is TensorFlow's also when the model is JAX's
    return layer


def _apply(layer: Any, images: tf.Tensor, seeds: _Seeds) -> tf.Tensor:
    """A layer's own draw and transformation, with our seeds."""
    transformation = layer.get_random_transformation(images, training=True, seed=seeds)
    return layer.transform_images(images, transformation, training=True)


_CROP_AREA, _CROP_ASPECT = (0.2, 1.0), (3 / 4, 4 / 3)
_JITTER, _HUE = 0.4, 0.1
_COLOUR_SHARE, _GREY_SHARE, _BLUR_SHARE = 0.8, 0.2, 0.5
_SMALLEST_BLURRED = 64  # pixels; a blur of smaller images leaves nothing to see


class Views:
    """The preset `views`: a random resized crop, flips, and changes of colour and sharpness.

    Args:
        flips: of `horizontal` and `vertical`, those that are allowed.
        image_size: S.
    """

    def __init__(self, flips: Sequence[str], image_size: int) -> None:
        self._flips, self._size = flips, image_size
        self._blur: Any = None
        if image_size >= _SMALLEST_BLURRED:
            self._blur = _layer(
                layers.RandomGaussianBlur,
                factor=1.0,
                kernel_size=image_size // 20 * 2 + 1,
                sigma=(0.1, 2.0),
                value_range=(0, 1),
            )

    def apply(self, image: tf.Tensor, seeds: Any) -> tf.Tensor:
        """A view, (S, S, 3) float32 from 0 to 255, of an image, (S, S, 3) from 0 to 255."""
        image = self._random_crop(tf.cast(image, tf.float32) / 255.0, seeds)
        if "horizontal" in self._flips:
            image = tf.image.stateless_random_flip_left_right(image, seeds.next())
        if "vertical" in self._flips:
            image = tf.image.stateless_random_flip_up_down(image, seeds.next())
        image = _apply_to_share(_COLOUR_SHARE, image, _jitter_colours, seeds)
        image = _apply_to_share(_GREY_SHARE, image, _to_grey, seeds)
        if self._blur is not None:
            image = _apply_to_share(_BLUR_SHARE, image, self._apply_blur, seeds)
        return tf.ensure_shape(255.0 * image, (self._size, self._size, 3))

    def _random_crop(self, image: tf.Tensor, seeds: Any) -> tf.Tensor:
        """A random part of the image at its whole size."""
        side = self._size
        begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
            (side, side, 3),
            tf.zeros((1, 0, 4)),
            seeds.next(),
            min_object_covered=0.0,
            aspect_ratio_range=_CROP_ASPECT,
            area_range=_CROP_AREA,
            use_image_if_no_bounding_boxes=True,
        )
        corner = tf.cast(begin[:2], tf.float32)
        last = corner + tf.cast(size[:2], tf.float32) - 1.0
        box = tf.concat([corner, last], 0) / max(1.0, side - 1.0)
        cropped = tf.image.crop_and_resize(image[None], box[None], [0], (side, side))[0]
        return tf.clip_by_value(cropped, 0.0, 1.0)

    def _apply_blur(self, image: tf.Tensor, seeds: Any) -> tf.Tensor:
        blur = self._blur.get_random_transformation(image[None], training=True, seed=seeds)
        blur["should_apply_blur"] = tf.constant([True])
        return self._blur.transform_images(image[None], blur, training=True)[0]


def _apply_to_share(
    share: float, image: tf.Tensor, change: Callable[[tf.Tensor, Any], tf.Tensor], seeds: Any
) -> tf.Tensor:
    """An image that is changed with a probability of `share`."""
    coin = tf.random.stateless_uniform((), seeds.next())
    return tf.cond(coin < share, lambda: change(image, seeds), lambda: image)


def _jitter_colours(image: tf.Tensor, seeds: Any) -> tf.Tensor:
    low, high = 1 - _JITTER, 1 + _JITTER
    image = image * tf.random.stateless_uniform((), seeds.next(), low, high)
    image = tf.image.stateless_random_contrast(image, low, high, seeds.next())
    image = tf.clip_by_value(image, 0.0, 1.0)  # hue and saturation are defined there
    image = tf.image.stateless_random_saturation(image, low, high, seeds.next())
    image = tf.image.stateless_random_hue(image, _HUE, seeds.next())
    return tf.clip_by_value(image, 0.0, 1.0)


def _to_grey(image: tf.Tensor, seeds: Any) -> tf.Tensor:
    return tf.repeat(tf.image.rgb_to_grayscale(image), 3, axis=-1)
