"""From one row of token ids to all the inputs of a KerasHub text model.

B batch, T tokens, D features.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ConfigError, received
from fmkit.models.backbone import Backbone
from fmkit.models.blocks import blocks_by_unit
from fmkit.models.tokenizers.tokenizer import TextTokenizer

_DEFAULT_LENGTH = 256
_RULES = ((r".*embedding.*", "stem"),)  # all that makes vectors of tokens is the stem


def chosen_length(config: ModelConfig, longest: int | None) -> int:
    """The most tokens of a text, special ones included.

    Args:
        config: `max_length` is read.
        longest: what the model takes at most; None where its positions have no end.

    Raises:
        ConfigError: the config asks for more than the model takes.
    """
    if config.max_length is None:
        return _DEFAULT_LENGTH if longest is None else min(_DEFAULT_LENGTH, longest)
    if config.max_length < 1 or (longest is not None and config.max_length > longest):
        allowed = "1 or more" if longest is None else f"from 1 to {longest} tokens"
        raise ConfigError(
            received(f"model.max_length for model.name={config.name}", config.max_length, allowed)
        )
    return config.max_length


def text_backbone(
    config: ModelConfig,
    inner: keras.Model,
    tokenizer: TextTokenizer,
    max_length: int,
    is_causal: bool,
    has_class_token: bool = False,
    weights: str = "none",
) -> Backbone:
    """A KerasHub model joined to one row of token numbers.

    The layers are run once more on the new input, so that they are layers of the new model and
    training can cut, freeze and cache at each of them.

    Args:
        config: its name is the backbone's.
        inner: a KerasHub backbone; which inputs it has is read from it.
        tokenizer, max_length, is_causal, has_class_token, weights: as in `Backbone`.
    """
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    mask = ops.greater_equal(tokens, 0)
    inputs = _inputs(inner, tokens, mask, tokenizer.start, tokenizer.end)
    output: Any = inner.output  # the last hidden states; of an encoder and a decoder the encoder's
    if isinstance(output, dict):
        output = output.get("encoder_sequence_output", output.get("sequence_output"))
    below = keras.Model({name: inner.input[name] for name in inputs}, output)
    features = below.call(inputs)
    model = keras.Model(tokens, features, name=inner.name)
    complete(model)
    embedding: Any = getattr(inner, "token_embedding", None)
    reversible = isinstance(embedding, keras.layers.ReversibleEmbedding)
    fits = reversible and embedding.output_dim == features.shape[-1]
    return Backbone(
        name=config.name,
        model=model,
        image_size=None,
        blocks=blocks_by_unit(model, _RULES),
        features="tokens",
        modality="text",
        has_class_token=has_class_token,
        weights=weights,
        tokenizer=tokenizer,
        max_length=max_length,
        mask=mask,
        is_causal=is_causal,
        embedding=embedding if fits else None,
        cache_shape=_cache_shape(inner) if is_causal else None,
    )


def _cache_shape(inner: Any) -> tuple[int, int] | None:
    """Heads of keys and values that a layer of a KerasHub model caches, and the numbers of each.

    None where some layers have a state of another kind, and where KerasHub 0.32 computes something
    else with a cache: GPT-NeoX turns every query as if it were the first, and Qwen's sliding window
    asks a tensor whether it is true.
    """
    kind = type(inner).__name__
    has_window = getattr(inner, "use_sliding_window_attention", False)
    if (
        "linear_attention" in (getattr(inner, "layer_types", None) or ())
        or kind == "GPTNeoXBackbone"
        or (kind in ("QwenBackbone", "QwenMoeBackbone") and has_window)
    ):
        return None
    names = ("num_key_value_heads", "num_query_heads", "num_attention_heads", "num_heads")
    heads = [count for name in names if (count := getattr(inner, name, None))]
    if not heads:
        return None
    # The first are those of the keys, the next those of the queries, where these are more.
    width = getattr(inner, "head_dim", None) or inner.hidden_dim // heads[min(1, len(heads) - 1)]
    return heads[0], width


def takes(inner: keras.Model) -> bool:
    """Whether a model's inputs can all be made of one row of token numbers."""
    names = [name for name in inner.input if not name.startswith("decoder_")]
    return all(name in _MADE for name in names)


_MADE = ("token_ids", "padding_mask", "segment_ids", "encoder_token_ids", "encoder_padding_mask")


def _inputs(
    inner: keras.Model, tokens: Any, mask: Any, start: int | None, end: int | None
) -> dict[str, keras.KerasTensor]:
    """By the name of the model's input, its tensor: (B, T) int32 each."""
    token_ids = ops.maximum(tokens, 0)
    makers: dict[str, Callable[[], Any]] = {
        "token_ids": lambda: token_ids,
        "padding_mask": lambda: ops.cast(mask, "int32"),
        "segment_ids": lambda: _segments(tokens, mask, start, end),
    }
    names = [name for name in inner.input if name in _MADE]
    return {name: makers[name.removeprefix("encoder_")]() for name in names}


def _segments(tokens: Any, mask: Any, start: int | None, end: int | None) -> Any:
    """Which text of a pair a token is of, (B, T): 0 up to the first end, 1 after it; padding 0.

    In a window of several documents, each of which begins with a start, all of them are a first
    text.
    """
    if end is None:
        return ops.zeros_like(tokens)
    ends = ops.cast(ops.equal(tokens, end), "int32")
    before = ops.subtract(ops.cumsum(ends, axis=1), ends)
    begun = 0
    if start is not None and start != end:
        begun = ops.cumsum(ops.cast(ops.equal(tokens, start), "int32"), axis=1) - 1
    # Not a cast: LiteRT's converter finds that of a truth value below 0 to be a constant, wrongly.
    return ops.where(ops.logical_and(ops.greater(before, begun), mask), 1, 0)


def complete(model: keras.Model) -> None:
    """Let every KerasHub layer in a model save all that its constructor was given."""
    for layer in model.layers:
        classes = [base for base in type(layer).__mro__ if base.__module__.startswith("keras_hub.")]
        if classes and type(layer).build is keras.Layer.build:
            # Given a shape, it would count as built while the layers inside it are not, such as
            # DeBERTa's relative embedding; without one, the first call builds all of it.
            layer.get_build_config = lambda: None
        if any("get_config" in vars(base) for base in classes):  # else Keras records the arguments
            # A function of the object's own: the class, which loads it again, stays KerasHub's.
            layer.get_config = functools.partial(settings, layer)


def settings(layer: keras.Layer) -> dict[str, Any]:
    """A layer's arguments: from its own `get_config` where that has them, else its attributes."""
    names = list(inspect.signature(type(layer).__init__).parameters)
    try:
        config = type(layer).get_config(layer)
    except AttributeError:  # it reads an attribute that it does not have
        config = {"name": layer.name, "trainable": layer.trainable}
        config["dtype"] = keras.dtype_policies.serialize(layer.dtype_policy)
    arguments = ("name", "trainable", "dtype", *names)
    config = {name: value for name, value in config.items() if name in arguments}
    for name in names:
        if name not in config and hasattr(layer, name):
            config[name] = keras.saving.serialize_keras_object(getattr(layer, name))
    return config
