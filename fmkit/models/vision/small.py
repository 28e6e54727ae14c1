"""Two small networks with random weights: they need no download and train in seconds on a CPU.

Both are made of stock Keras layers only, so that an exported `.keras` file loads without fmkit.

B batch, T patches, D features, H W pixels.
"""

from typing import Any

import keras

from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ConfigError, received
from fmkit.models.backbone import Backbone, Patches
from fmkit.models.blocks import blocks_by_name
from fmkit.models.vision.preprocessing import image_input, image_size, preprocess
from fmkit.models.weights.load import apply_weights, chosen_weights

_SIZE = 32
_CNN_FILTERS = (16, 32, 64, 96)
_PATCH = 4
_WIDTH = 64
_HEADS, _HEAD = 4, 16  # how many, and the width of each
_DEPTH = 3


def small_cnn(config: ModelConfig) -> Backbone:
    """Four 3x3 convolutions with BatchNorm and ReLU, the side halved between: (B, h, w, 96)."""
    size = image_size(config, _SIZE, smallest=2 ** (len(_CNN_FILTERS) - 1))
    images = image_input(size)
    x = preprocess(images, "tf")
    for number, filters in enumerate(_CNN_FILTERS):
        name = "stem" if number == 0 else f"block{number}"
        if number:
            x = keras.layers.MaxPooling2D(2, name=f"{name}_pool")(x)
        x = keras.layers.Conv2D(
            filters,
            3,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"{name}_conv",
        )(x)
        # Short trainings are what this net is for: 0.99 would need hundreds of steps to settle.
        x = keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
        x = keras.layers.ReLU(name=f"{name}_relu")(x)
    model = keras.Model(images, x, name="small_cnn")
    return _backbone(config, model, size, features="map")


def small_vit(config: ModelConfig) -> Backbone:
    """A small pre-norm vision transformer with 4x4 patches and a class token: (B, 1 + T, 64).

    Dosovitskiy et al. 2020, An image is worth 16x16 words, arXiv:2010.11929.
    """
    size = image_size(config, _SIZE, smallest=2 * _PATCH)
    if size % _PATCH:
        key = f"model.image_size for model.name={config.name}"
        raise ConfigError(received(key, size, f"a multiple of {_PATCH} pixels"))
    images = image_input(size)
    x = tokens = _tokens(preprocess(images, "tf"), size // _PATCH)
    for name in (f"block{number}" for number in range(_DEPTH)):
        y = keras.layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm1")(x)
        attention = keras.layers.MultiHeadAttention(_HEADS, _HEAD, name=f"{name}_attention")
        x = keras.layers.Add(name=f"{name}_add1")([x, attention(y, y)])
        y = keras.layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm2")(x)
        y = keras.layers.Dense(2 * _WIDTH, activation="gelu", name=f"{name}_dense1")(y)
        y = keras.layers.Dense(_WIDTH, name=f"{name}_dense2")(y)
        x = keras.layers.Add(name=f"{name}_add2")([x, y])
    x = keras.layers.LayerNormalization(epsilon=1e-6, name="top_norm")(x)
    model = keras.Model(images, x, name="small_vit")
    patches = Patches(tokens, model.output, side=_PATCH, leading=1)
    return _backbone(config, model, size, "tokens", has_class_token=True, patches=patches)


def _tokens(x: keras.KerasTensor, side: int) -> keras.KerasTensor:
    """Patches, embedded, with position embedding and class token: (B, H, W, 3) -> (B, 1 + T, D).

    A patch of zeros is put first. The embedding's bias is one vector a position, so that it is the
    position embedding, and at the first position, where there is nothing else, the class token.
    """
    row = _PATCH * 3
    x = keras.layers.Reshape((side, _PATCH, side, row), name="stem_rows")(x)
    x = keras.layers.Permute((1, 3, 2, 4), name="stem_columns")(x)
    x = keras.layers.Reshape((side * side, _PATCH * row), name="stem_patches")(x)  # (B, T, P)
    x = keras.layers.ZeroPadding1D((1, 0), name="stem_class_token")(x)  # (B, 1 + T, P)
    embedding = keras.layers.EinsumDense(
        "btp,pd->btd",
        output_shape=(side * side + 1, _WIDTH),
        bias_axes="td",
        bias_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
        name="stem_embedding",
    )
    return embedding(x)


def _backbone(
    config: ModelConfig, model: keras.Model, size: int, features: str, **extra: Any
) -> Backbone:
    weights = chosen_weights(config, ("none",))
    apply_weights(model, weights, config.name)
    return Backbone(
        name=config.name,
        model=model,
        image_size=size,
        weights=weights,
        blocks=blocks_by_name(model, ((r"(stem|block\d+|top)_.*", r"\1"),)),
        features=features,
        **extra,
    )
