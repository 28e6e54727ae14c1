"""MAE: a vision transformer sees a few patches of an image, and a decoder reconstructs the others.

Masked autoencoders, He et al. 2022, arxiv.org/abs/2111.06377. Hidden patches are left out before
the transformer, so that its layers run on a quarter of the tokens. A decoder, which is discarded
after training, gets their features and one learned vector for each hidden patch, both with fixed
positions, and reconstructs the hidden patches; the loss is the mean squared error of their pixels,
each patch normalised by its own mean and variance.

The order of tokens does not matter to a transformer once positions are added. So the decoder gets
the visible tokens first, as they are, and the hidden ones last, and only these are reconstructed.

B images, S side in pixels, N patches, V of them visible, M hidden, P side of a patch, L leading
tokens that are not patches, D features of the model, W of the decoder.
"""

import dataclasses
import math
from typing import Any

import keras
import keras_hub
import numpy as np
from keras import ops

from fmkit.config.schema.task import MaskedImageConfig
from fmkit.core.errors import ConfigError
from fmkit.models.backbone import Backbone, Patches
from fmkit.tasks.base import Batch

_RATIO = 0.75
"""Default share of hidden patches: MAE's."""

_HEAD_WIDTH = 32
"""Features of an attention head of the decoder: MAE's."""

_EXPANSION = 4
"""Width of a decoder block's hidden layer, by W: MAE's."""

_EPSILON = 1e-6
"""Added to the variance of a patch, whose pixels are numbers from -1 to 1; MAE's."""


class Mae:
    """Mean squared error of the normalised pixels of hidden patches.

    Inputs are images (B, S, S, 3) and the numbers of their patches in a random order, (B, N) int32,
    the V visible ones first; targets and outputs are pixels of the hidden ones in that order,
    (B, M, 3 P P).

    Args:
        config: ratio, width and depth.
        backbone: a vision transformer with `patches`.

    Raises:
        ConfigError: the backbone has fewer than two patches; or `task.mask_block` is set.
    """

    def __init__(self, config: MaskedImageConfig, backbone: Backbone) -> None:
        patches = backbone.patches
        if patches is None or patches.count < 2:
            why = "cannot leave patches out" if patches is None else "has only one patch"
            raise ConfigError(
                f"task.method=mae runs a model on its visible patches alone, and "
                f"model.name={backbone.name} {why}.",
                "Take task.method=simmim; or model=small_vit, or a ViT, DeiT or DINOv2 of "
                "model=hub.",
            )
        if config.mask_block is not None:
            raise ConfigError(
                f"task.mask_block={config.mask_block} is for task.method=simmim, and "
                f"model.name={backbone.name} is trained with mae, which hides whole patches.",
                "Remove task.mask_block, or add task.method=simmim.",
            )
        ratio = _RATIO if config.mask_ratio is None else config.mask_ratio
        width = config.decoder_width or max(8, 4 * math.ceil(patches.features.shape[-1] / 8))
        self.resolved_config = dataclasses.replace(
            config, method="mae", mask_ratio=ratio, decoder_width=width
        )
        hidden = round(ratio * patches.count)
        self._visible = patches.count - min(max(1, hidden), patches.count - 1)
        self._patches: Patches = patches
        self._width, self._depth = width, config.decoder_depth
        self.extra_inputs: tuple[Any, ...] = ()

    def prepare_batch(self, images: np.ndarray, random: np.random.Generator) -> Batch:
        """((images, order), targets) of images (B, S, S, 3)."""
        keys = random.random((len(images), self._patches.count))
        order = keys.argsort(axis=1, kind="stable").astype(np.int32)
        pixels = patches_of(images, self._patches.side)
        hidden = np.take_along_axis(pixels, order[:, self._visible :, None], axis=1)
        return (images, order), normalised(hidden)

    def head(self, backbone: Backbone) -> Any:
        """The encoder on visible tokens, and the decoder: (B, M, 3 P P) in float32."""
        patches, count = self._patches, self._patches.count
        order = keras.Input((count,), dtype="int32", name="patch_order")
        self.extra_inputs = (order,)
        visible, hidden = order[:, : self._visible], order[:, self._visible :]
        seen = _gather(patches.tokens, visible + patches.leading)
        if patches.leading:
            leading = patches.tokens[:, : patches.leading]
            seen = keras.layers.Concatenate(axis=1, name="visible_tokens")([leading, seen])
        encoded = patches.encode(seen)  # (B, L + V, D)
        width = self._width
        x = keras.layers.Dense(width, name="head_embedding")(encoded)
        table = position_table(math.isqrt(count), width)
        # Leading tokens, which are not patches, get no position.
        pad = keras.layers.ZeroPadding1D((patches.leading, 0), name="head_ahead")
        x = x + pad(ops.cast(ops.take(table, visible, axis=0), x.dtype))
        masked = keras.layers.Embedding(
            1, width, keras.initializers.RandomNormal(stddev=0.02), name="head_mask_token"
        )(ops.zeros_like(hidden))
        masked = masked + ops.cast(ops.take(table, hidden, axis=0), masked.dtype)
        x = keras.layers.Concatenate(axis=1, name="head_tokens")([x, masked])  # (B, L + N, W)
        for number in range(self._depth):
            x = keras_hub.layers.TransformerEncoder(
                _EXPANSION * width,
                max(1, width // _HEAD_WIDTH),
                activation="gelu",
                layer_norm_epsilon=1e-6,
                normalize_first=True,
                name=f"head_block{number}",
            )(x)
        x = x[:, patches.leading + self._visible :]  # (B, M, W)
        x = keras.layers.LayerNormalization(epsilon=1e-6, name="head_norm")(x)
        pixels = 3 * patches.side**2
        return keras.layers.Dense(pixels, dtype="float32", name="head_pixels")(x)

    def loss(self, targets: Any, outputs: Any) -> Any:
        """The mean squared error; predicting each patch's mean gives 1."""
        # Keras' own divides the mean among several devices.
        return keras.losses.MeanSquaredError()(targets, outputs)

    def loss_weight(self, targets: Any) -> Any:
        """The number of images: each has as many hidden patches."""
        return ops.shape(targets)[0]


def patches_of(images: np.ndarray, side: int) -> np.ndarray:
    """Images (B, S, S, 3) as patches, row by row, and their pixels likewise: (B, N, 3 P P).

    Pixels beyond the last whole patch at the right and at the bottom are left out.
    """
    count = images.shape[1] // side
    whole = images[:, : count * side, : count * side]
    grid = whole.reshape(len(images), count, side, count, side, 3)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(len(images), count * count, side * side * 3)


def normalised(pixels: np.ndarray) -> np.ndarray:
    """Pixels from 0 to 255 of patches, (..., K), normalised by each patch's mean and variance."""
    scaled = pixels.astype(np.float32) / np.float32(127.5)
    centred = scaled - scaled.mean(axis=-1, keepdims=True)
    variance = centred.var(axis=-1, keepdims=True, ddof=1)
    return np.asarray(centred / np.sqrt(variance + np.float32(_EPSILON)), np.float32)


def position_table(side: int, width: int) -> np.ndarray:
    """Sine-cosine position embeddings of a grid, (side * side, width), float32.

    Half of the numbers encode the column, half the row; each is a sine or a cosine of the position
    at one of width / 4 frequencies from 1 down to 1 / 10,000. MAE's own table.

    Args:
        side: of the grid, whose cells come row by row.
        width: a multiple of 4.
    """
    frequencies = 10_000.0 ** -(np.arange(width // 4) / (width // 4))
    angles = np.arange(side)[:, None] * frequencies
    embeddings = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)  # (side, width / 2)
    columns = np.tile(embeddings, (side, 1))
    rows = np.repeat(embeddings, side, axis=0)
    return np.concatenate([columns, rows], axis=1).astype(np.float32)


def _gather(tokens: Any, positions: Any) -> Any:
    """The tokens at some positions of each image, (B, V, D), from one table of all images.

    Args:
        tokens: (B, T, D), symbolic.
        positions: (B, V) int32, from 0 to T - 1.
    """
    length, width = tokens.shape[1:]
    image = ops.cumsum(ops.ones_like(positions), axis=0) - 1  # (B, V)
    return ops.take(ops.reshape(tokens, (-1, width)), image * length + positions, axis=0)
