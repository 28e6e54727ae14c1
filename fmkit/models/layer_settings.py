"""What KerasHub's layers say of their settings, made whole, so that each can be saved by itself.

KerasHub saves a backbone by the arguments of the backbone. A model here holds the layers
themselves, and some of KerasHub 0.32 leave arguments out of `get_config` (Qwen3), name attributes
that they do not have (Llama), or add what their constructor does not take (GPT-NeoX).
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import keras

_BASE = ("name", "trainable", "dtype")


def complete(model: keras.Model) -> None:
    """Let each layer of KerasHub's in a model tell all that its constructor was given."""
    for layer in model.layers:
        theirs = [each for each in type(layer).__mro__ if each.__module__.startswith("keras_hub.")]
        if theirs and type(layer).build is keras.Layer.build:
            # Told a shape, it would count as built with the layers inside it still unbuilt, as
            # DeBERTa's relative embedding; not told one, the first call builds it whole.
            layer.get_build_config = _nothing
        if any("get_config" in vars(each) for each in theirs):  # else Keras notes the arguments
            # A function of the object's own: the class, which loads it again, stays KerasHub's.
            layer.get_config = functools.partial(settings, layer)


def _nothing() -> None:
    return None


def settings(layer: keras.Layer) -> dict[str, Any]:
    """A layer's arguments: from its own `get_config` where it tells them, else its attributes."""
    names = list(inspect.signature(type(layer).__init__).parameters)
    try:
        told = type(layer).get_config(layer)
    except AttributeError:  # it reads an attribute that it does not have
        told = {"name": layer.name, "trainable": layer.trainable}
        told["dtype"] = keras.dtype_policies.serialize(layer.dtype_policy)
    whole = {name: value for name, value in told.items() if name in (*_BASE, *names)}
    for name in names:
        if name not in whole and hasattr(layer, name):
            whole[name] = keras.saving.serialize_keras_object(getattr(layer, name))
    return whole
