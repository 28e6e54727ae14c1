"""A causal language model that keeps the keys and values of the tokens that it has read.

A token then costs a pass over one position and attention to those before it, where otherwise the
whole text is computed again. The layers are those of the trained network: KerasHub's take a cache
as an argument, and for Llama's there is a faster pass over the same weights.

B batch, T tokens, S positions of a cache, H heads of keys and values, D numbers of each, V tokens
of the vocabulary.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from fmkit.models.keras_internals import call_operation, compile_inference, run_graph
from fmkit.models.text.llama_cache import LlamaPass

_STEP = 64  # capacities are multiples of it
_AXIS = 2  # of the positions in a cache
_ARGUMENTS = ("self_attention_cache", "attention_cache", "cache")
_BY_KEYWORD = {"SmolLM3DecoderLayer": "self_attention_cache"}
"""Classes whose `call` takes the cache as one of any number of keyword arguments."""
_PAIRS = ("Gemma3DecoderBlock",)
"""Classes whose cache is keys and values, (B, S, H, D) each; others have one (B, 2, S, H, D)."""
_MASKS = ("padding_mask", "decoder_padding_mask")


class CachedDecoder:
    """Logits of the next token, first of whole texts, then of one token after the other.

    Padding is on the right: a token sees only those before it, and its keys and values are
    overwritten by those of the token that comes in its place.

    Args:
        model: from tokens (B, T) and a position in each row, (B, 1), to logits (B, V); its layers
            with a cache are at the top level of its graph.
        cache_shape: H and D, as `Backbone.cache_shape`.
        max_length: most tokens of a text.
    """

    def __init__(self, model: keras.Model, cache_shape: tuple[int, int], max_length: int) -> None:
        self._max_length = max_length
        layers = [layer for layer in model.operations if _cache_argument(layer)]
        self._dtype = layers[0].compute_dtype
        heads, width = cache_shape
        stacked, split = (None, 2, None, heads, width), (None, heads, None, width)
        self._shapes = [
            shape for layer in layers for shape in ([split] * 2 if _is_llama(layer) else [stacked])
        ]
        caches = [keras.KerasTensor(shape, dtype=self._dtype) for shape in self._shapes]
        tokens, positions = (
            keras.KerasTensor(shape, dtype="int32") for shape in ((None, None), (None, 1))
        )
        index = keras.KerasTensor((), dtype="int32")
        self._compute = compile_inference(
            partial(_forward, model), model.variables, [tokens, positions, index, caches]
        )
        self._caches: list[Any] = []
        self._capacity = 0

    def read(self, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Logits of the token after each of some texts, (B, V) float32; all before is forgotten.

        Args:
            tokens: (B, T) int32, padded with -1 on the right, T at most `max_length`.
            lengths: of the texts in tokens, (B,).
        """
        self._capacity = self._capacity_for(tokens.shape[1])
        self._caches = [
            ops.zeros(
                (len(tokens), *shape[1:_AXIS], self._capacity, *shape[_AXIS + 1 :]), self._dtype
            )
            for shape in self._shapes
        ]
        return self._run(tokens, np.asarray(lengths)[:, None] - 1, 0)

    def read_next(self, tokens: np.ndarray, index: int) -> np.ndarray:
        """Logits of the token after one more of each text, (B, V) float32.

        Args:
            tokens: (B,) int32.
            index: their position; of all positions before it, tokens have been read.
        """
        if index >= self._capacity:
            grown = self._capacity_for(index + 1)
            added = (0, grown - self._capacity)
            self._caches = [
                ops.pad(cache, [added if axis == _AXIS else (0, 0) for axis in range(cache.ndim)])
                for cache in self._caches
            ]
            self._capacity = grown
        return self._run(tokens[:, None], np.zeros((len(tokens), 1)), index)

    def _run(self, tokens: np.ndarray, positions: np.ndarray, index: int) -> np.ndarray:
        arguments = (np.asarray(value, np.int32) for value in (tokens, positions, index))
        logits, self._caches = self._compute(*arguments, self._caches)
        return np.asarray(ops.convert_to_numpy(logits))

    def _capacity_for(self, length: int) -> int:
        """Positions of a cache for a text that has so many tokens and goes on.

        They are few and far between: each is compiled on JAX, and each change of it copies all.
        """
        room = length + max(length // 4, 2 * _STEP)
        return -(-min(room, self._max_length) // _STEP) * _STEP


def _forward(
    model: keras.Model, tokens: Any, positions: Any, index: Any, caches: list[Any]
) -> tuple[Any, list[Any]]:
    """Logits (B, V), and the caches with the tokens from position `index` on."""
    unused, updated, llama = iter(caches), list[Any](), LlamaPass(index)

    def call(operation: Any) -> Callable[..., Any]:
        run = call_operation(operation, training=False)
        argument = _cache_argument(operation)
        if argument is None:
            takes_index = isinstance(operation, keras.layers.Layer) and (
                "start_index" in inspect.signature(operation.call).parameters
            )
            return partial(run, start_index=index) if takes_index else run

        # Their masks of padding are left out: it comes after the tokens, where none of them sees.
        def run_llama(features: Any, **_: Any) -> Any:
            features, *new = llama.run(operation, features, next(unused), next(unused))
            updated.extend(new)
            return features

        def run_with_cache(*args: Any, **kwargs: Any) -> Any:
            kwargs = {name: value for name, value in kwargs.items() if name not in _MASKS}
            is_pair, cache = type(operation).__name__ in _PAIRS, next(unused)
            kwargs[argument] = (cache[:, 0], cache[:, 1]) if is_pair else cache
            kwargs[f"{argument}_update_index"] = index
            features, cache = run(*args, **kwargs)
            updated.append(ops.stack(cache, axis=1) if is_pair else cache)
            return features

        return run_llama if _is_llama(operation) else run_with_cache

    return run_graph(model, [tokens, positions], call), updated


def _is_llama(layer: keras.Layer) -> bool:
    """Whether a layer is a block of Llama, for which there is `LlamaPass`."""
    return type(layer).__name__ == "LlamaTransformerDecoder"


def _cache_argument(operation: Any) -> str | None:
    """The argument of a layer's `call` that is its cache; None where it has none."""
    if not isinstance(operation, keras.layers.Layer):
        return None
    names = inspect.signature(operation.call).parameters
    for name in _ARGUMENTS:
        if name in names and f"{name}_update_index" in names:
            return name
    return _BY_KEYWORD.get(type(operation).__name__)
