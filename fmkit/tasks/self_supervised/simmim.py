"""SimMIM: hidden blocks of an image are painted by a linear layer on the features of all of it.

Xie et al. 2022, arxiv.org/abs/2111.09886: blocks of the input are hidden, the network sees the
whole grid, one linear layer paints pixels from its features, and the loss is the mean absolute
error of the hidden pixels alone. So it is for convolutional backbones above all, and each step
costs what a step on the whole image costs.

SimMIM learns the vector of a hidden patch. Here hidden pixels get the mean colour of those that are
left in their image: a backbone takes images, and its BatchNorm sees their usual mean.

B images, S side in pixels, h w cells of a feature map, D features.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import keras
import numpy as np

from fmkit.config.schema.task import MaskedImageConfig
from fmkit.core.errors import ConfigError
from fmkit.models.backbone import Backbone

_RATIO = 0.6
"""Share of the blocks that is hidden where the config names none: SimMIM's."""

_PARTS = 6
"""Blocks along a side where the config names no size: SimMIM's 32 of 192 pixels."""


class Simmim:
    """Mean absolute error of hidden pixels, from -1 to 1; `resolved_config` is its config.

    Targets are the pixels and the mask, (B, S, S, 4); outputs are pixels, (B, S, S, 3).

    Args:
        config: ratio and size of the blocks.
        backbone: nothing of it is read.
    """

    extra_inputs: tuple[Any, ...] = ()

    def __init__(self, config: MaskedImageConfig, backbone: Backbone) -> None:
        self._ratio = _RATIO if config.mask_ratio is None else config.mask_ratio
        self.resolved_config = dataclasses.replace(config, method="simmim", mask_ratio=self._ratio)
        self._block = config.mask_block

    def prepare_batch(
        self, images: np.ndarray, chance: np.random.Generator
    ) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """Images (B, S, S, 3) with hidden blocks, and the targets."""
        mask = masks(len(images), images.shape[1], self._ratio, self._block, chance)[..., None]
        seen = images.sum(axis=(1, 2), where=~mask, keepdims=True)
        mean = seen / np.maximum((~mask).sum(axis=(1, 2), keepdims=True), 1)
        hidden = np.where(mask, mean, images).astype(np.float32)
        pixels = images / np.float32(127.5) - np.float32(1)
        return (hidden,), np.concatenate([pixels, mask.astype(np.float32)], axis=-1)

    def head(self, backbone: Backbone) -> Any:
        """A linear layer that paints each cell's pixels: (B, S, S, 3) in float32.

        Raises:
            ConfigError: the backbone gives a vector an image, which has no places.
        """
        x, size = backbone.model.output, backbone.image_size
        if backbone.features == "tokens":
            x = _grid(x, backbone.has_class_token)
        if len(x.shape) != 4 or size is None:
            raise ConfigError(
                f"task.name=masked_image paints pixels in their places, and the features of "
                f"model.name={backbone.name} have none: {tuple(x.shape)}.",
                "Take a backbone that gives a feature map or a square of tokens.",
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
        if whole[:2] != (size, size):  # the side is no multiple of the backbone's stride
            x = keras.layers.Resizing(size, size, name="head_resize", **floats)(x)
        return x

    def loss(self, targets: Any, outputs: Any) -> Any:
        """Mean absolute error of the hidden pixels; 2 is the whole way from black to white."""
        # Keras' own, which shares the mean out among several devices.
        loss = keras.losses.MeanAbsoluteError(reduction="mean_with_sample_weight")
        return loss(targets[..., :3], outputs, sample_weight=targets[..., 3])


def masks(
    count: int, side: int, ratio: float, block: int | None, chance: np.random.Generator
) -> np.ndarray:
    """Which pixels of each image are hidden, (B, S, S) bool: as many blocks in each.

    Args:
        count: B.
        side: S.
        ratio: share of the blocks that is hidden; one at least is, and one at least is not.
        block: side of a block in pixels; empty means a sixth of the image's. Those at the right
            and at the bottom may be cut.
        chance: what is drawn from.
    """
    block = min(block or max(1, round(side / _PARTS)), math.ceil(side / 2))
    grid = math.ceil(side / block)
    hidden = min(max(1, round(ratio * grid * grid)), grid * grid - 1)
    order = chance.random((count, grid * grid)).argsort(axis=1, kind="stable")
    chosen = np.zeros((count, grid * grid), bool)
    np.put_along_axis(chosen, order[:, :hidden], True, axis=1)
    cells = chosen.reshape(count, grid, grid)
    return cells.repeat(block, axis=1).repeat(block, axis=2)[:, :side, :side]


def _grid(tokens: Any, has_class_token: bool) -> Any:
    """Tokens (B, T, D) as the square of cells that they stand for; as they are if it is none."""
    count, width = tokens.shape[1:]
    patches = count - 1 if has_class_token else count
    side = math.isqrt(patches)
    if side * side != patches:
        return tokens
    if has_class_token:
        tokens = keras.layers.Cropping1D((1, 0), name="head_patches")(tokens)
    return keras.layers.Reshape((side, side, width), name="head_grid")(tokens)
