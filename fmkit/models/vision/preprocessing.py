"""From pixel values 0 to 255 to what a family was trained on, as stock Keras layers.

The layers compute in float32 whatever the dtype policy says: 8 bits of mantissa would round the
pixels before the mean is taken off.
"""

from typing import Any

import keras

from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ConfigError, received

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
_SCALES_AND_OFFSETS: dict[str, tuple[Any, Any]] = {
    "tf": (1 / 127.5, -1.0),
    "v2": (1 / 128, -1.0),
    "torch": (
        [1 / (255 * deviation) for deviation in IMAGENET_DEVIATION],
        [-mean / sd for mean, sd in zip(IMAGENET_MEAN, IMAGENET_DEVIATION, strict=True)],
    ),
    "caffe": (1.0, [-103.939, -116.779, -123.68]),  # blue, green, red
}


def image_size(config: ModelConfig, default: int, smallest: int) -> int:
    """The side of a model's input, in pixels: `model.image_size`, or the model's own.

    Raises:
        ConfigError: it is smaller than the model takes.
    """
    size = config.image_size or default
    if size < smallest:
        key = f"model.image_size for model.name={config.name}"
        raise ConfigError(received(key, size, f"{smallest} pixels or more"))
    return size


def image_input(size: int) -> keras.KerasTensor:
    """RGB images of a fixed size, floats 0 to 255: (B, H, W, 3)."""
    return keras.Input((size, size, 3), dtype="float32", name="image")


def deployed_input(
    network_input: keras.KerasTensor, data: Any
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """The input of a deployed model, RGB images of any size, 0 to 255, and those resized.

    Args:
        network_input: (B, H, W, 3).
        data: keys of `data`: images are resized as in training.
    """
    side = network_input.shape[1]
    images = keras.Input((None, None, 3), dtype="float32", name="images")
    resize = keras.layers.Resizing(
        side,
        side,
        antialias=True,
        crop_to_aspect_ratio=data.resize == "crop",
        pad_to_aspect_ratio=data.resize == "pad",
        dtype="float32",  # mixed precision would round the pixels
        name="resize",
    )
    # Resizing has `training=True` by default, which Keras would pass on to dropout and BatchNorm
    # where the model is called as `model(images)`.
    return images, resize(images, training=False)


def preprocess(images: keras.KerasTensor, mode: str) -> keras.KerasTensor:
    """The same as `keras.applications.imagenet_utils.preprocess_input`, and two modes more.

    Args:
        images: (B, H, W, 3), RGB, 0 to 255.
        mode: `caffe`, `tf` or `torch` as in Keras; `v2` is x / 128 - 1 as in EfficientNetV2 S, M
            and L; `built_in` leaves the pixels alone.
    """
    if mode == "built_in":
        return images
    if mode == "caffe":
        images = keras.ops.flip(images, axis=-1)  # blue first
    return rescale(images, *_SCALES_AND_OFFSETS[mode])


def rescale(
    images: keras.KerasTensor, scale: float | list[float], offset: float | list[float]
) -> keras.KerasTensor:
    """`images * scale + offset`, with one number for all channels or one for each."""
    layer = keras.layers.Rescaling(scale, offset, dtype="float32", name="preprocess")
    return layer(images)
