"""From the features of a text's tokens to one vector; padding never counts.

Made of stock Keras layers, so that a saved model loads without fmkit, and computed in float32.

B batch, T tokens, D features.
"""

from __future__ import annotations

import keras
from keras import ops

from fmkit.errors import ConfigError, received

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
