"""A block of Llama over a cache of keys and values.

KerasHub's own block repeats the cache for every query of a group, copies it several times, and
computes the rotation by positions and the mask in every block anew: on two cores a third of the
time that SmolLM2 takes for a token. The layers with weights are the same, and so are the features
up to rounding.

B batch, T tokens, S positions of the cache, H heads of keys and values, G queries of each, D
numbers of a head, W features.
"""

import math
from typing import Any

import keras
from keras import ops

from fmkit.models.keras_internals import llama_block_layers, llama_rotation


class LlamaPass:
    """One pass through the blocks of a Llama, over tokens that follow those in a cache.

    Args:
        index: the position of the first of the tokens, a scalar.
    """

    def __init__(self, index: Any) -> None:
        self._index = index
        self._shared: tuple[Any, Any, Any] | None = None

    def run(self, block: keras.Layer, features: Any, keys: Any, values: Any) -> tuple[Any, ...]:
        """Features (B, T, W) after a block, and its keys and values (B, H, S, D) with new ones."""
        layers = llama_block_layers(block)
        normal = layers["attn_norm"](features)
        query, key, value = (layers[f"attn_{name}"](normal) for name in "qkv")  # (B, T, heads, D)
        if self._shared is None:
            positions = self._index + ops.arange(ops.shape(query)[1], dtype="int32")
            mask = positions[:, None] >= ops.arange(ops.shape(keys)[2], dtype="int32")  # (T, S)
            self._shared = (*llama_rotation(block, query, self._index), mask)
        cosine, sine, mask = self._shared
        query, key = (_rotate(heads, cosine, sine) for heads in (query, key))
        start = (0, 0, self._index, 0)
        keys = ops.slice_update(keys, start, ops.transpose(key, (0, 2, 1, 3)))
        values = ops.slice_update(values, start, ops.transpose(value, (0, 2, 1, 3)))
        attended = _attention(query, keys, values, mask)
        features = features + layers["attn_output"](attended)
        # Of two axes, since a dense layer computes the shapes of more anew. As in the block itself,
        # the activation is computed in float32.
        normal = ops.reshape(layers["ffn_norm"](features), (-1, features.shape[-1]))
        gate = ops.silu(ops.cast(layers["ffn_gate"](normal), "float32"))
        gate = ops.cast(gate, features.dtype)
        added = layers["ffn_down"](layers["ffn_up"](normal) * gate)
        return features + ops.reshape(added, ops.shape(features)), keys, values


def _rotate(heads: Any, cosine: Any, sine: Any) -> Any:
    """Heads (B, T, heads, D) turned: the first half of their numbers against the second."""
    first, second = ops.split(heads, 2, axis=-1)
    return heads * cosine + ops.concatenate((-second, first), axis=-1) * sine


def _attention(query: Any, keys: Any, values: Any, mask: Any) -> Any:
    """Attention of queries (B, T, H * G, D) to keys and values (B, H, S, D): as the queries.

    Args:
        mask: which positions a token sees, (T, S) bool.
    """
    batch, length, count, width = ops.shape(query)
    heads = keys.shape[1]
    groups = count // heads
    query = ops.transpose(
        ops.reshape(query, (batch, length, heads, groups, width)), (0, 2, 3, 1, 4)
    )
    query = ops.reshape(query, (batch, heads, groups * length, width))
    scores = ops.einsum("bhqd,bhsd->bhqs", query, keys)
    scores = ops.reshape(scores, (batch, heads, groups, length, ops.shape(keys)[2]))
    scores = ops.cast(scores, "float32") / math.sqrt(width)
    shares = ops.softmax(ops.where(mask, scores, float("-inf")))
    shares = ops.reshape(ops.cast(shares, values.dtype), (batch, heads, groups * length, -1))
    outputs = ops.reshape(ops.matmul(shares, values), (batch, heads, groups, length, width))
    return ops.reshape(ops.transpose(outputs, (0, 3, 1, 2, 4)), (batch, length, count, width))
