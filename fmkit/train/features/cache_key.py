"""What cached features depend on: the facts that make the key of an entry."""

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
from fmkit.train.checkpoints import variables

_VERSION = 2
"""Part of every key: to be raised when the same facts would give other features."""


def of_network(lower: keras.Model) -> dict[str, Any]:
    """The facts of the frozen part: layers, how they are joined, weights."""
    return {
        "version": _VERSION,
        "structure": structure(lower),
        "weights": variables.sha256(lower.weights),
    }


def of_examples(assembly: Assembly, split: str, preset: str | None, view: int) -> dict[str, Any]:
    """The facts of a split's examples, and of the augmentation `preset` that they are seen with."""
    config, plugins = assembly.config, assembly.config.plugins
    # A view is augmented by the examples' positions.
    positions = np.ascontiguousarray(assembly.splits[split], np.int64)
    order = assembly.loader.pass_order(positions)
    is_sorted = np.array_equal(order, np.arange(len(order)))  # as all passes of fmkit 0.3 were
    augmentation = {
        "augment": preset, "seed": config.runtime.seed, "view": view,
        "places": hashlib.sha256(positions.tobytes()).hexdigest(),
    }  # fmt: skip
    return {
        **assembly.loader.cache_facts(positions),
        # The last bits of a text's features depend on what it is in a batch with.
        **({} if is_sorted else {"order": hashlib.sha256(order.tobytes()).hexdigest()}),
        "view": augmentation if preset else None,
        "dtype": config.runtime.cache_dtype,
        "precision": assembly.devices.precision,
        "device": assembly.devices.kind,
        "extractor": config.runtime.extractor,
        "backend": keras.backend.backend(),
        "packages": devices.versions(),
        # What a plugin's layers compute is in its file, not in their settings.
        "plugins": None if plugins is None else files.sha256_file(Path(plugins)),
    }


def structure(model: keras.Model) -> str:
    """A hash of a model's layers and how they are joined, whatever the layers are called."""
    names = {id(tensor): f"tensor {number}" for number, tensor in enumerate(model.inputs)}
    digest = hashlib.sha256()

    def encode(value: Any) -> str:
        if isinstance(value, keras.KerasTensor):
            return names[id(value)]
        is_array = hasattr(value, "tobytes")
        return hashlib.sha256(value.tobytes()).hexdigest() if is_array else repr(value)

    for node in graph_nodes(model):
        try:
            settings = dict(node.operation.get_config())
        except NotImplementedError as error:
            raise ConfigError(
                f"the feature cache cannot identify the backbone: {str(error).splitlines()[0]}",
                "Give the layer a get_config, or set runtime.cache=never.",
            ) from error
        settings.pop("name", None)
        arguments = keras.tree.map_structure(encode, (node.arguments.args, node.arguments.kwargs))
        row = [type(node.operation).__name__, settings, arguments]
        digest.update(json.dumps(row, sort_keys=True, default=str).encode())
        for tensor in node.outputs:
            names[id(tensor)] = f"tensor {len(names)}"
    return digest.hexdigest()
