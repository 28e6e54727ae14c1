"""The preset `views`: two draws of it show one image so differently that only its content agrees.

In this order, with the numbers of SimCLR (Chen et al. 2020, arxiv.org/abs/2002.05709, appendix A)
at colour strength 0.5 unless a line says otherwise:

| what          | how often | how                                                          |
|---------------|-----------|--------------------------------------------------------------|
| crop, resized | always    | 20 to 100% of the area (MoCo v2's, arxiv.org/abs/2003.04297; |
|               |           | 8% of few pixels are no content), sides 3:4 to 4:3           |
| flip          | 1 of 2    | where `data.flip` allows                                     |
| colours       | 4 of 5    | brightness, contrast, saturation by up to 40%, hue by 10%    |
| grey          | 1 of 5    |                                                              |
| blur          | 1 of 2    | from 64 pixels on (SimCLR has none for images of 32);        |
|               |           | kernel a tenth of the side, sigma 0.1 to 2                   |

The colours' order is fixed, where SimCLR draws it. The crop is cut out of the image at the size
that the model gets, and enlarged to it.

S side in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

_AREA, _ASPECT = (0.2, 1.0), (3 / 4, 4 / 3)
_JITTER, _HUE = 0.4, 0.1
_COLOURED, _GREY, _BLURRED = 0.8, 0.2, 0.5
_SMALLEST_BLUR = 64  # pixels


class Views:
    """Draws views of an image.

    Args:
        flips: of `horizontal` and `vertical`, those that are allowed.
        image_size: S.
    """

    def __init__(self, flips: Sequence[str], image_size: int) -> None:
        self._flips, self._size = flips, image_size
        self._blur: Any = None
        if image_size >= _SMALLEST_BLUR:
            self._blur = keras.layers.RandomGaussianBlur(
                factor=1.0,
                kernel_size=image_size // 20 * 2 + 1,
                sigma=(0.1, 2.0),
                value_range=(0, 1),
                dtype="float32",
                data_format="channels_last",
            )
            self._blur.backend.set_backend("tensorflow")

    def draw(self, image: tf.Tensor, seeds: Any) -> tf.Tensor:
        """A view, (S, S, 3) float32 from 0 to 255.

        Args:
            image: (S, S, 3), 0 to 255.
            seeds: a generator whose `next` gives a new stateless seed.
        """
        image = self._cropped(tf.cast(image, tf.float32) / 255.0, seeds)
        if "horizontal" in self._flips:
            image = tf.image.stateless_random_flip_left_right(image, seeds.next())
        if "vertical" in self._flips:
            image = tf.image.stateless_random_flip_up_down(image, seeds.next())
        image = _sometimes(_COLOURED, image, _coloured, seeds)
        image = _sometimes(_GREY, image, _grey, seeds)
        if self._blur is not None:
            image = _sometimes(_BLURRED, image, self._blurred, seeds)
        return tf.ensure_shape(255.0 * image, (self._size, self._size, 3))

    def _cropped(self, image: tf.Tensor, seeds: Any) -> tf.Tensor:
        """A random part of the image at its whole size."""
        side = self._size
        begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
            (side, side, 3),
            tf.zeros((1, 0, 4)),
            seeds.next(),
            min_object_covered=0.0,
            aspect_ratio_range=_ASPECT,
            area_range=_AREA,
            use_image_if_no_bounding_boxes=True,
        )
        corner = tf.cast(begin[:2], tf.float32)
        last = corner + tf.cast(size[:2], tf.float32) - 1.0
        box = tf.concat([corner, last], 0) / max(1.0, side - 1.0)
        cropped = tf.image.crop_and_resize(image[None], box[None], [0], (side, side))[0]
        return tf.clip_by_value(cropped, 0.0, 1.0)

    def _blurred(self, image: tf.Tensor, seeds: Any) -> tf.Tensor:
        drawn = self._blur.get_random_transformation(image[None], training=True, seed=seeds)
        drawn["should_apply_blur"] = tf.constant([True])
        return self._blur.transform_images(image[None], drawn, training=True)[0]


def _sometimes(
    share: float, image: tf.Tensor, change: Callable[[tf.Tensor, Any], tf.Tensor], seeds: Any
) -> tf.Tensor:
    """An image that is changed in a share of all draws."""
    coin = tf.random.stateless_uniform((), seeds.next())
    return tf.cond(coin < share, lambda: change(image, seeds), lambda: image)


def _coloured(image: tf.Tensor, seeds: Any) -> tf.Tensor:
    low, high = 1 - _JITTER, 1 + _JITTER
    image = image * tf.random.stateless_uniform((), seeds.next(), low, high)
    image = tf.image.stateless_random_contrast(image, low, high, seeds.next())
    image = tf.clip_by_value(image, 0.0, 1.0)  # hue and saturation are defined there
    image = tf.image.stateless_random_saturation(image, low, high, seeds.next())
    image = tf.image.stateless_random_hue(image, _HUE, seeds.next())
    return tf.clip_by_value(image, 0.0, 1.0)


def _grey(image: tf.Tensor, seeds: Any) -> tf.Tensor:
    return tf.repeat(tf.image.rgb_to_grayscale(image), 3, axis=-1)
