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
    """The facts of the frozen part: layers, how they are joined, weights."""
    return {"version": _VERSION, "structure": structure(lower), "weights": _weights(lower)}


def of_examples(assembly: Assembly, split: str, preset: str | None, view: int) -> dict[str, Any]:
    """The facts of a split's examples and of how they are seen.

    Args:
        assembly: the run.
        split: the split.
        preset: of augmentation; None where examples are not augmented.
        view: number of the augmented view.
    """
    config = assembly.config
    # A view is augmented by the examples' positions.
    positions = np.ascontiguousarray(assembly.splits[split], np.int64)
    augmentation = {
        "augment": preset, "seed": config.runtime.seed, "view": view,
        "places": hashlib.sha256(positions.tobytes()).hexdigest(),
    }  # fmt: skip
    return {
        **assembly.loader.cache_facts(positions),
        "view": augmentation if preset else None,
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
        ConfigError: a layer has no `get_config`.
    """
    names = {id(tensor): f"tensor {number}" for number, tensor in enumerate(model.inputs)}
    digest = hashlib.sha256()

    def encode(value: Any) -> str:
        if isinstance(value, keras.KerasTensor):
            return names[id(value)]
        is_array = hasattr(value, "tobytes")
        return hashlib.sha256(value.tobytes()).hexdigest() if is_array else repr(value)

    for node in graph_nodes(model):
        settings = _settings(node.operation)
        arguments = keras.tree.map_structure(encode, (node.arguments.args, node.arguments.kwargs))
        row = [type(node.operation).__name__, settings, arguments]
        digest.update(json.dumps(row, sort_keys=True, default=str).encode())
        for tensor in node.outputs:
            names[id(tensor)] = f"tensor {len(names)}"
    return digest.hexdigest()


def _settings(operation: Any) -> dict[str, Any]:
    try:
        settings = dict(operation.get_config())
    except NotImplementedError as error:
        raise ConfigError(
            f"the feature cache cannot identify the backbone: {str(error).splitlines()[0]}",
            "Give the layer a get_config, or set runtime.cache=never.",
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
