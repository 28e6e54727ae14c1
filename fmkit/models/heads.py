"""From features to class logits; every layer's name begins with `head_` or is `logits`.

B batch, T tokens, D features, C classes, h w cells of a feature map.
"""

from __future__ import annotations

import keras
from keras import ops

from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ConfigError, received
from fmkit.models.backbone import Backbone

HEAD_PREFIXES = ("head_", "logits")
"""How the names of a head's layers begin; no layer of a backbone's blocks is called like that."""

_POOLINGS = ("auto", "avg", "max", "cls")
_OF_TEXTS = ("last", "attention")


def features_to_vector(backbone: Backbone, pooling: str = "auto") -> keras.KerasTensor:
    """One vector an image or a text from a backbone's features: (B, D), float32.

    Args:
        backbone: its `model.output` is what is pooled.
        pooling: of images, `auto` is `cls` where there is a class token and `avg` elsewhere; `avg`
            and `max` leave the class token out, and features that are a vector already stay as
            they are. Of texts see `pool_text`.

    Raises:
        ConfigError: a pooling that does not go with the backbone.
    """
    return pool(
        backbone.model.output,
        pooling,
        backbone.has_class_token,
        backbone.mask,
        backbone.is_causal,
    )


def classification_head(
    features: keras.KerasTensor,
    classes: int,
    config: ModelConfig,
    has_class_token: bool = False,
    mask: keras.KerasTensor | None = None,
    is_causal: bool = False,
) -> keras.KerasTensor:
    """Pooling, dropout, perhaps a hidden layer, and a dense layer: logits (B, C) in float32.

    The last layer begins at zero. The first loss is then log C whatever the seed, a linear probe
    is a convex problem that starts at its neutral point, and where the backbone trains too its
    first step is not spent on the noise of a random head.

    Args:
        features: a map (B, h, w, D), tokens (B, T, D), or a vector (B, D), which is not pooled.
        classes: C, 2 or more.
        config: `pooling`, `dropout` and `hidden` are read.
        has_class_token: whether the first token stands for the whole image or text.
        mask: which tokens of a text are no padding, (B, T); None for images.
        is_causal: whether a token sees those before it only.

    Raises:
        ConfigError: `model.pooling` does not go with the features.
    """
    x = below_logits(features, config, has_class_token, mask, is_causal)
    return logits(classes)(x)


def logits(outputs: int) -> keras.layers.Dense:
    """The last layer of a head, which begins at zero; float32 under mixed precision too.

    Softmax, sigmoid and loss need the range.
    """
    return keras.layers.Dense(outputs, kernel_initializer="zeros", dtype="float32", name="logits")


def below_logits(
    features: keras.KerasTensor,
    config: ModelConfig,
    has_class_token: bool = False,
    mask: keras.KerasTensor | None = None,
    is_causal: bool = False,
) -> keras.KerasTensor:
    """What the last layer of a head reads, (B, D): see `classification_head`."""
    return before_logits(pool(features, config.pooling, has_class_token, mask, is_causal), config)


def dense_head(features: keras.KerasTensor, outputs: int, config: ModelConfig) -> keras.KerasTensor:
    """Dropout, perhaps a hidden layer, and a dense layer that begins at zero, in float32.

    Args:
        features: vectors (B, D), or one for each token, (B, T, D), which each have logits then.
        outputs: how many.
        config: `dropout` and `hidden` are read.
    """
    return logits(outputs)(before_logits(features, config))


def before_logits(features: keras.KerasTensor, config: ModelConfig) -> keras.KerasTensor:
    """Dropout and perhaps a hidden layer: see `dense_head`."""
    x = features
    if config.hidden:
        if config.dropout:
            x = keras.layers.Dropout(config.dropout, name="head_hidden_dropout")(x)
        x = keras.layers.Dense(config.hidden, activation="gelu", name="head_hidden")(x)
    if config.dropout:
        x = keras.layers.Dropout(config.dropout, name="head_dropout")(x)
    return x


def pool(
    features: keras.KerasTensor,
    pooling: str = "auto",
    has_class_token: bool = False,
    mask: keras.KerasTensor | None = None,
    is_causal: bool = False,
) -> keras.KerasTensor:
    """One vector an image or a text: see `features_to_vector`, which takes a whole backbone.

    Raises:
        ConfigError: an unknown pooling, or one that does not go with the features.
    """
    if mask is not None:
        return pool_text(features, mask, pooling, has_class_token, is_causal)
    if pooling in _OF_TEXTS:
        raise ConfigError(
            f"model.pooling: received {pooling!r}, which is for texts, and this backbone reads "
            f"images. Expected {', '.join(_POOLINGS[:-1])} or {_POOLINGS[-1]}."
        )
    if pooling not in _POOLINGS:
        raise ConfigError(received("model.pooling", pooling, _POOLINGS))
    rank = len(features.shape)
    if rank == 2:
        return features
    if pooling == "auto":
        pooling = "cls" if has_class_token else "avg"
    if pooling == "cls" and not has_class_token:
        raise ConfigError(
            "model.pooling: received 'cls', but this backbone has no class token. "
            "Expected auto, avg or max."
        )
    if rank == 4:
        layers = {
            "avg": keras.layers.GlobalAveragePooling2D,
            "max": keras.layers.GlobalMaxPooling2D,
        }
        return layers[pooling](dtype="float32", name="head_pool")(features)
    return _pool_tokens(features, pooling, has_class_token)


def _pool_tokens(
    tokens: keras.KerasTensor, pooling: str, has_class_token: bool
) -> keras.KerasTensor:
    count, width = tokens.shape[1:]
    if pooling == "cls":
        first = keras.layers.Cropping1D((0, count - 1), dtype="float32", name="head_crop")(tokens)
        return keras.layers.Reshape((width,), dtype="float32", name="head_pool")(first)
    if has_class_token:
        tokens = keras.layers.Cropping1D((1, 0), dtype="float32", name="head_crop")(tokens)
    layers = {"avg": keras.layers.GlobalAveragePooling1D, "max": keras.layers.GlobalMaxPooling1D}
    return layers[pooling](dtype="float32", name="head_pool")(tokens)


POOLINGS = ("auto", "avg", "max", "cls", "last", "attention")
_FAR_BELOW = -1e9  # added to the features of padding before the maximum


def pool_text(
    features: keras.KerasTensor,
    mask: keras.KerasTensor,
    pooling: str = "auto",
    has_class_token: bool = False,
    is_causal: bool = False,
) -> keras.KerasTensor:
    """One vector a text, (B, D).

    `auto` is `last` where a token sees those before it only, since no other token has seen the
    whole text, and `avg` elsewhere: sentence encoders such as MiniLM are trained with the mean, and
    the first token of a plain BERT stands for the text only once it was trained to. The mean takes
    in the marks of start and end, as theirs does.

    Args:
        features: (B, T, D).
        mask: which tokens are no padding, (B, T) bool.
        pooling: `auto`, `avg`, `max`, `cls` (the first token), `last` (the last one that is no
            padding), or `attention` (a weighted mean, whose weights are learned).
        has_class_token: whether the first token stands for the whole text.
        is_causal: whether a token sees those before it only.

    Raises:
        ConfigError: an unknown pooling, or one that says nothing about this model's texts.
    """
    if pooling not in POOLINGS:
        raise ConfigError(received("model.pooling", pooling, POOLINGS))
    if pooling == "auto":
        pooling = "last" if is_causal else "avg"
    if pooling == "cls" and not has_class_token:
        why = "the first token of this model stands for no more than itself"
        raise ConfigError(
            f"model.pooling: received 'cls', but {why}. Expected auto, avg, max, last or attention."
        )
    if pooling == "cls":
        return keras.layers.Activation("linear", dtype="float32", name="head_pool")(features[:, 0])
    if pooling == "avg":
        layer = keras.layers.GlobalAveragePooling1D(dtype="float32", name="head_pool")
        return layer(features, mask=mask)
    if pooling == "max":
        return _maximum(features, mask)
    weights = _last(mask) if pooling == "last" else _attention(features, mask)
    return keras.layers.Dot(axes=(1, 1), dtype="float32", name="head_pool")([weights, features])


def _maximum(features: keras.KerasTensor, mask: keras.KerasTensor) -> keras.KerasTensor:
    shift = keras.layers.Rescaling(-_FAR_BELOW, _FAR_BELOW, dtype="float32", name="head_padding")
    shifts = shift(ops.expand_dims(mask, -1))  # (B, T, 1): 0, and far below it on padding
    lowered = keras.layers.Add(dtype="float32", name="head_real")([features, shifts])
    return keras.layers.GlobalMaxPooling1D(dtype="float32", name="head_pool")(lowered)


def _last(mask: keras.KerasTensor) -> keras.KerasTensor:
    """1 at the last token that is no padding and 0 elsewhere, (B, T)."""
    number = ops.cumsum(ops.cast(mask, "int32"), axis=1)
    is_last = ops.logical_and(mask, ops.equal(number, ops.max(number, axis=1, keepdims=True)))
    return ops.cast(is_last, "float32")


def _attention(features: keras.KerasTensor, mask: keras.KerasTensor) -> keras.KerasTensor:
    """Weights that add up to 1 over the tokens that are no padding, (B, T).

    They begin as those of the mean.
    """
    score = keras.layers.Dense(
        1, kernel_initializer="zeros", use_bias=False, dtype="float32", name="head_attention"
    )
    scores = keras.layers.Reshape((-1,), dtype="float32", name="head_scores")(score(features))
    return keras.layers.Softmax(axis=1, dtype="float32", name="head_weights")(scores, mask=mask)
