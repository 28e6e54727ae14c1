"""SimMIM: a linear layer on the features of the whole image reconstructs its hidden blocks.

Xie et al. 2022, arxiv.org/abs/2111.09886: blocks of the input are hidden, the network sees the
whole grid, one linear layer predicts pixels from its features, and the loss is the mean absolute
error of the hidden pixels alone. So it is for convolutional backbones above all, and each step
costs what a step on the whole image costs.

SimMIM learns a vector for hidden patches. Here hidden pixels get the mean colour of the visible
ones of their image: the backbone takes images, and its BatchNorm sees their usual mean.

B images, S side in pixels, h w cells of a feature map, D features.
"""

import dataclasses
import math
from typing import Any

import keras
import numpy as np
from keras import ops

from fmkit.config.schema.task import MaskedImageConfig
from fmkit.core.errors import ConfigError
from fmkit.models.backbone import Backbone
from fmkit.tasks.base import Batch

_RATIO = 0.6
"""Default share of hidden blocks: SimMIM's."""

_BLOCKS_PER_SIDE = 6
"""Default blocks along a side: SimMIM's 32 of 192 pixels."""


class Simmim:
    """Mean absolute error of hidden pixels, from -1 to 1.

    Targets are the pixels and the mask, (B, S, S, 4); outputs are pixels, (B, S, S, 3).

    Args:
        config: ratio and size of the blocks.
        backbone: unused.
    """

    extra_inputs: tuple[Any, ...] = ()

    def __init__(self, config: MaskedImageConfig, backbone: Backbone) -> None:
        self._ratio = _RATIO if config.mask_ratio is None else config.mask_ratio
        self.resolved_config = dataclasses.replace(config, method="simmim", mask_ratio=self._ratio)
        self._block = config.mask_block

    def prepare_batch(self, images: np.ndarray, random: np.random.Generator) -> Batch:
        """Images (B, S, S, 3) with hidden blocks, and the targets."""
        mask = random_masks(len(images), images.shape[1], self._ratio, self._block, random)[
            ..., None
        ]
        visible = images.sum(axis=(1, 2), where=~mask, keepdims=True)
        mean = visible / np.maximum((~mask).sum(axis=(1, 2), keepdims=True), 1)
        hidden = np.where(mask, mean, images).astype(np.float32)
        pixels = images / np.float32(127.5) - np.float32(1)
        return (hidden,), np.concatenate([pixels, mask.astype(np.float32)], axis=-1)

    def head(self, backbone: Backbone) -> Any:
        """A linear layer that predicts each cell's pixels: (B, S, S, 3) in float32.

        Raises:
            ConfigError: the backbone returns one vector per image, without spatial positions.
        """
        x, size = backbone.model.output, backbone.image_size
        if backbone.features == "tokens":  # a square of cells, (B, h, w, D), if they form one
            count, width = x.shape[1:]
            side = math.isqrt(count - backbone.has_class_token)
            if side * side == count - backbone.has_class_token:
                if backbone.has_class_token:
                    x = keras.layers.Cropping1D((1, 0), name="head_patches")(x)
                x = keras.layers.Reshape((side, side, width), name="head_grid")(x)
        if len(x.shape) != 4 or size is None:
            raise ConfigError(
                f"task.name=masked_image needs features with spatial positions, and those of "
                f"model.name={backbone.name} have none: {tuple(x.shape)}.",
                "Take a backbone whose features are a map or a square of tokens.",
            )
        rows, columns = x.shape[1:3]
        cell = math.ceil(size / rows)
        floats: dict[str, Any] = {"dtype": "float32"}
        x = keras.layers.Dense(cell * cell * 3, name="head_pixels", **floats)(x)
        shape = (rows, columns, cell, cell, 3)
        x = keras.layers.Reshape(shape, name="head_cells", **floats)(x)
        x = keras.layers.Permute((1, 3, 2, 4, 5), name="head_rows", **floats)(x)
        whole = (rows * cell, columns * cell, 3)
        x = keras.layers.Reshape(whole, name="head_image", **floats)(x)
        if whole[:2] != (size, size):  # the side is not a multiple of the backbone's stride
            x = keras.layers.Resizing(size, size, name="head_resize", **floats)(x)
        return x

    def loss(self, targets: Any, outputs: Any) -> Any:
        """Mean absolute error of the hidden pixels; from black to white it is 2."""
        # Keras' own divides the mean among several devices.
        loss = keras.losses.MeanAbsoluteError(reduction="mean_with_sample_weight")
        return loss(targets[..., :3], outputs, sample_weight=targets[..., 3])

    def loss_weight(self, targets: Any) -> Any:
        """The number of hidden pixels."""
        return ops.sum(targets[..., 3])


def random_masks(
    count: int, side: int, ratio: float, block: int | None, random: np.random.Generator
) -> np.ndarray:
    """Which pixels of each image are hidden, (B, S, S) bool: the same number of blocks in each.

    Args:
        count: B.
        side: S.
        ratio: share of hidden blocks; at least one is hidden, and at least one is not.
        block: side of a block in pixels; None means a sixth of the image's. Those at the right
            and at the bottom may be cut.
        random: the generator.
    """
    block = min(block or max(1, round(side / _BLOCKS_PER_SIDE)), math.ceil(side / 2))
    grid = math.ceil(side / block)
    hidden = min(max(1, round(ratio * grid * grid)), grid * grid - 1)
    order = random.random((count, grid * grid)).argsort(axis=1, kind="stable")
    is_hidden = np.zeros((count, grid * grid), bool)
    np.put_along_axis(is_hidden, order[:, :hidden], True, axis=1)
    cells = is_hidden.reshape(count, grid, grid)
    return cells.repeat(block, axis=1).repeat(block, axis=2)[:, :side, :side]
