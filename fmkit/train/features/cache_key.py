"""What cached features depend on: the facts that make the key of an entry."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fmkit.core import files
from fmkit.core.errors import ConfigError
from fmkit.models.keras_internals import graph_nodes
from fmkit.train import devices
from fmkit.train.assemble import Assembly

_VERSION = 2
"""Part of every key: to be raised when the same facts would give other features."""


def of_network(lower: keras.Model) -> dict[str, Any]:
    """The facts of what is below the cut: layers, how they are joined, weights."""
    return {"version": _VERSION, "structure": structure(lower), "weights": _weights(lower)}


def of_examples(assembly: Assembly, split: str, preset: str | None, view: int) -> dict[str, Any]:
    """The facts of a split's examples and of how they are seen.

    Args:
        assembly: the run.
        split: the split.
        preset: augmentation, or None where examples are shown as they are.
        view: which augmented view.
    """
    config = assembly.config
    places = np.ascontiguousarray(assembly.splits[split], np.int64)  # each view is drawn by them
    shown = {
        "augment": preset, "seed": config.runtime.seed, "view": view,
        "places": hashlib.sha256(places.tobytes()).hexdigest(),
    }  # fmt: skip
    return {
        **assembly.loader.cache_facts(places),
        "view": shown if preset else None,
        "dtype": config.runtime.cache_dtype,
        "precision": assembly.devices.precision,
        "device": assembly.devices.kind,
        "extractor": config.runtime.extractor,
        "backend": keras.backend.backend(),
        "packages": devices.versions(),
        "plugins": _plugins(config.plugins),
    }


def structure(model: keras.Model) -> str:
    """A hash of a model's layers and how they are joined, whatever the layers are called.

    Raises:
        ConfigError: a layer cannot tell its settings.
    """
    places = {id(tensor): f"tensor {place}" for place, tensor in enumerate(model.inputs)}
    digest = hashlib.sha256()

    def told(value: Any) -> str:
        if isinstance(value, keras.KerasTensor):
            return places[id(value)]
        return (
            hashlib.sha256(value.tobytes()).hexdigest()
            if hasattr(value, "tobytes")
            else repr(value)
        )

    for node in graph_nodes(model):
        settings = _settings(node.operation)
        arguments = keras.tree.map_structure(told, (node.arguments.args, node.arguments.kwargs))
        row = [type(node.operation).__name__, settings, arguments]
        digest.update(json.dumps(row, sort_keys=True, default=str).encode())
        for tensor in node.outputs:
            places[id(tensor)] = f"tensor {len(places)}"
    return digest.hexdigest()


def _settings(operation: Any) -> dict[str, Any]:
    try:
        settings = dict(operation.get_config())
    except NotImplementedError as error:
        raise ConfigError(
            f"the feature cache cannot tell what the backbone is: {str(error).splitlines()[0]}",
            "Give the layer a get_config, or add runtime.cache=never.",
        ) from error
    settings.pop("name", None)
    return settings


def _weights(model: keras.Model) -> str:
    digest = hashlib.sha256()
    for weight in model.weights:
        value = np.ascontiguousarray(
            keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(weight))
        )
        digest.update(f"{value.dtype.name} {list(value.shape)}\n".encode())
        digest.update(value.view(np.uint8).data if value.size else b"")
    return digest.hexdigest()


def _plugins(path: str | None) -> str | None:
    """What a plugin's layers compute is in its file, not in their settings."""
    return None if path is None else files.sha256_file(Path(path))
