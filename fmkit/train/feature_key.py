"""What cached features depend on: the facts that make the key of an entry."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fmkit.data.examples import ImageFiles
from fmkit.errors import ConfigError
from fmkit.train.assemble import Assembly

_VERSION = 1
"""Part of every key: to be raised when the same facts would give other features."""


def of_network(lower: keras.Model) -> dict[str, Any]:
    """The facts of what is below the cut: layers, how they are joined, weights."""
    return {"version": _VERSION, "structure": structure(lower), "weights": _weights(lower)}


def of_images(assembly: Assembly, split: str, preset: str | None, view: int) -> dict[str, Any]:
    """The facts of a split's images and of how they are seen.

    Args:
        assembly: the run.
        split: the split.
        preset: augmentation, or None where images are shown as they are.
        view: which augmented view.
    """
    config = assembly.config
    shown = {
        "augment": preset, "flip": config.data.flip, "seed": config.runtime.seed, "view": view,
    }  # fmt: skip
    return {
        "image_size": assembly.backbone.image_size,
        "resize": config.data.resize,
        "examples": _examples(assembly, split),
        "view": shown if preset else None,
        "dtype": config.runtime.cache_dtype,
        "precision": assembly.devices.precision,
        "device": assembly.devices.kind,
        "extractor": [config.runtime.extractor, _installed("openvino")],
        "keras": [keras.__version__, keras.backend.backend()],
    }


def structure(model: keras.Model) -> str:
    """A hash of a model's layers and how they are joined, whatever they are called.

    Raises:
        ConfigError: a layer cannot tell its settings.
    """
    try:
        text = json.dumps(model.get_config(), sort_keys=True, default=str)
    except NotImplementedError as error:
        raise ConfigError(
            f"the feature cache cannot tell what the backbone is: {str(error).splitlines()[0]}",
            "Give the layer a get_config, or add runtime.cache=never.",
        ) from error
    names = dict.fromkeys(re.findall(r'"name": "([^"]+)"', text))
    places = {name: f'"#{place}"' for place, name in enumerate(names)}
    text = re.sub(r'"([^"]+)"', lambda found: places.get(found[1], found[0]), text)
    return hashlib.sha256(text.encode()).hexdigest()


def _weights(model: keras.Model) -> str:
    digest = hashlib.sha256()
    for weight in model.weights:
        value = np.ascontiguousarray(
            keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(weight))
        )
        digest.update(f"{value.dtype.name} {list(value.shape)}\n".encode())
        digest.update(value.view(np.uint8).data if value.size else b"")
    return digest.hexdigest()


def _examples(assembly: Assembly, split: str) -> str:
    """A hash of a split's images: pixels of arrays; path, size and time of change of files."""
    images, indices = assembly.examples.images, assembly.splits[split]
    digest = hashlib.sha256()
    if not isinstance(images, ImageFiles):
        digest.update(repr(images.pixels.shape[1:]).encode())
        digest.update(np.ascontiguousarray(images.pixels[indices]).view(np.uint8).data)
        return digest.hexdigest()
    for index in indices:
        changed = 0
        with contextlib.suppress(OSError):
            changed = Path(images.paths[index]).stat().st_mtime_ns
        digest.update(f"{images.paths[index]}\0{images.sizes[index]}\0{changed}\n".encode())
    return digest.hexdigest()


def _installed(package: str) -> str | None:
    if importlib.util.find_spec(package) is None:
        return None
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return ""
