"""Heads on a backbone: pooling, dropout, a hidden layer, logits.

Every layer's name begins with `head_` or is `logits`.

B batch, T tokens, D features, C classes, h w cells of a feature map.
"""

from __future__ import annotations

import keras
from keras import ops

from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ConfigError, received
from fmkit.models.backbone import FeatureModel

HEAD_PREFIXES = ("head_", "logits")
"""How the names of a head's layers begin; no layer of a backbone's blocks is called like that."""

POOLINGS = ("auto", "avg", "max", "cls")
"""For images, and for anything else whose features have no mask."""
TEXT_POOLINGS = (*POOLINGS, "last", "attention")
_FAR_BELOW = -1e9  # added to the features of padding before the maximum


def classification_head(
    backbone: FeatureModel, classes: int, config: ModelConfig
) -> keras.KerasTensor:
    """Pooling, dropout, an optional hidden layer, and a dense layer: logits (B, C) in float32.

    The last layer begins at zero. The first loss is then log C whatever the seed, a linear probe
    is a convex problem that starts at its neutral point, and where the backbone trains too its
    first step is not spent on the noise of a random head.

    Args:
        backbone: whose features are classified.
        classes: C, 2 or more.
        config: `pooling`, `dropout` and `hidden` are read.

    Raises:
        ConfigError: `model.pooling` does not fit the backbone.
    """
    return logits(classes)(hidden(pool(backbone, config.pooling), config))


def logits(units: int) -> keras.layers.Dense:
    """The last layer of a head, which begins at zero; float32 under mixed precision too.

    Softmax, sigmoid and loss need the range.
    """
    return keras.layers.Dense(units, kernel_initializer="zeros", dtype="float32", name="logits")


def hidden(features: keras.KerasTensor, config: ModelConfig) -> keras.KerasTensor:
    """What is below the last layer of a head: dropout, and a hidden layer where one is asked for.

    Args:
        features: vectors (B, D), or one for each token, (B, T, D).
        config: `dropout` and `hidden` are read.
    """
    x = features
    if config.hidden:
        if config.dropout:
            x = keras.layers.Dropout(config.dropout, name="head_hidden_dropout")(x)
        x = keras.layers.Dense(config.hidden, activation="gelu", name="head_hidden")(x)
    if config.dropout:
        x = keras.layers.Dropout(config.dropout, name="head_dropout")(x)
    return x


def pool(backbone: FeatureModel, pooling: str = "auto", prefix: str = "head") -> keras.KerasTensor:
    """One vector an example from a backbone's features: (B, D), float32.

    Features that are a vector already stay as they are. Of images, `auto` is `cls` where there is
    a class token and `avg` elsewhere; `avg` and `max` leave the class token out.

    Of texts, `auto` is `last` where a token sees only those before it, since no other token has
    seen the whole text, and `avg` elsewhere: sentence encoders such as MiniLM are trained with the
    mean, and the first token of a plain BERT stands for the text only once it was trained to. The
    mean includes the special tokens at start and end, as theirs does.

    Args:
        backbone: its `model.output` is what is pooled.
        pooling: a name in `POOLINGS`; of texts one in `TEXT_POOLINGS`: `last` is the last token
            that is not padding, `attention` a weighted mean whose weights are learned.
        prefix: what the names of the layers begin with.

    Raises:
        ConfigError: an unknown pooling, or one that does not fit the backbone.
    """
    features = backbone.model.output
    if backbone.mask is not None:
        pooling = _checked_text_pooling(pooling, backbone)
        return _pool_text(features, backbone.mask, pooling, prefix)
    pooling = _checked_pooling(pooling, backbone.has_class_token, len(features.shape))
    if len(features.shape) == 2:
        return features
    if len(features.shape) == 4:
        layers = {
            "avg": keras.layers.GlobalAveragePooling2D,
            "max": keras.layers.GlobalMaxPooling2D,
        }
        return layers[pooling](dtype="float32", name=f"{prefix}_pool")(features)
    return _pool_tokens(features, pooling, backbone.has_class_token, prefix)


def _checked_pooling(pooling: str, has_class_token: bool, rank: int) -> str:
    if pooling in TEXT_POOLINGS and pooling not in POOLINGS:
        raise ConfigError(
            f"model.pooling: received {pooling!r}, which is for texts, and this backbone reads "
            f"images. Expected {', '.join(POOLINGS[:-1])} or {POOLINGS[-1]}."
        )
    if pooling not in POOLINGS:
        raise ConfigError(received("model.pooling", pooling, POOLINGS))
    if pooling == "auto":
        pooling = "cls" if has_class_token else "avg"
    if pooling == "cls" and not has_class_token and rank > 2:
        raise ConfigError(
            "model.pooling: received 'cls', but this backbone has no class token. "
            "Expected auto, avg or max."
        )
    return pooling


def _pool_tokens(
    tokens: keras.KerasTensor, pooling: str, has_class_token: bool, prefix: str
) -> keras.KerasTensor:
    count, width = tokens.shape[1:]
    crop, name = f"{prefix}_crop", f"{prefix}_pool"
    if pooling == "cls":
        first = keras.layers.Cropping1D((0, count - 1), dtype="float32", name=crop)(tokens)
        return keras.layers.Reshape((width,), dtype="float32", name=name)(first)
    if has_class_token:
        tokens = keras.layers.Cropping1D((1, 0), dtype="float32", name=crop)(tokens)
    layers = {"avg": keras.layers.GlobalAveragePooling1D, "max": keras.layers.GlobalMaxPooling1D}
    return layers[pooling](dtype="float32", name=name)(tokens)


def _checked_text_pooling(pooling: str, backbone: FeatureModel) -> str:
    if pooling not in TEXT_POOLINGS:
        raise ConfigError(received("model.pooling", pooling, TEXT_POOLINGS))
    if pooling == "auto":
        pooling = "last" if backbone.is_causal else "avg"
    if pooling == "cls" and not backbone.has_class_token:
        raise ConfigError(
            "model.pooling: received 'cls', but the first token of this model stands for no more "
            "than itself. Expected auto, avg, max, last or attention."
        )
    return pooling


def _pool_text(
    features: keras.KerasTensor, mask: keras.KerasTensor, pooling: str, prefix: str
) -> keras.KerasTensor:
    """Features (B, T, D) and the mask of what is not padding, (B, T) bool -> (B, D)."""
    name = f"{prefix}_pool"
    if pooling == "cls":
        return keras.layers.Activation("linear", dtype="float32", name=name)(features[:, 0])
    if pooling == "avg":
        return keras.layers.GlobalAveragePooling1D(dtype="float32", name=name)(features, mask=mask)
    if pooling == "max":
        lowered = _without_padding(features, mask, prefix)
        return keras.layers.GlobalMaxPooling1D(dtype="float32", name=name)(lowered)
    weights = _last(mask) if pooling == "last" else _attention(features, mask, prefix)
    return keras.layers.Dot(axes=(1, 1), dtype="float32", name=name)([weights, features])


def _without_padding(
    features: keras.KerasTensor, mask: keras.KerasTensor, prefix: str
) -> keras.KerasTensor:
    """Features with those of padding lowered, so that no maximum is theirs."""
    shift = keras.layers.Rescaling(
        -_FAR_BELOW, _FAR_BELOW, dtype="float32", name=f"{prefix}_padding"
    )
    shifts = shift(ops.expand_dims(mask, -1))  # (B, T, 1): 0, and far below it on padding
    return keras.layers.Add(dtype="float32", name=f"{prefix}_real")([features, shifts])


def _last(mask: keras.KerasTensor) -> keras.KerasTensor:
    """1 at the last token that is not padding and 0 elsewhere, (B, T)."""
    number = ops.cumsum(ops.cast(mask, "int32"), axis=1)
    is_last = ops.logical_and(mask, ops.equal(number, ops.max(number, axis=1, keepdims=True)))
    return ops.cast(is_last, "float32")


def _attention(
    features: keras.KerasTensor, mask: keras.KerasTensor, prefix: str
) -> keras.KerasTensor:
    """Weights that add up to 1 over the tokens that are not padding, (B, T).

    They begin as those of the mean.
    """
    score = keras.layers.Dense(
        1, kernel_initializer="zeros", use_bias=False, dtype="float32", name=f"{prefix}_attention"
    )
    reshape = keras.layers.Reshape((-1,), dtype="float32", name=f"{prefix}_scores")
    softmax = keras.layers.Softmax(axis=1, dtype="float32", name=f"{prefix}_weights")
    return softmax(reshape(score(features)), mask=mask)
