"""Weights from a file into a model: all of them, or an error that names what differs."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from fmkit.config.rules import WEIGHT_SUFFIXES
from fmkit.config.schema.model import ModelConfig
from fmkit.core import console
from fmkit.core.errors import ArtifactError, ConfigError, join_names, received
from fmkit.core.files import display_path
from fmkit.core.safe_io import UnsafeContent
from fmkit.models.keras_internals import all_layers, storage_paths
from fmkit.models.weights.arrays import WeightArrays
from fmkit.models.weights.formats import open_weights
from fmkit.models.weights.matching import Match, ModelVariable, match

_OWN = ("imagenet", "pretrained")


def chosen_weights(
    config: ModelConfig,
    offered: tuple[str, ...],
    suffixes: tuple[str, ...] = WEIGHT_SUFFIXES[""],
) -> str:
    """What `model.weights` asks for: a name that the model offers, or the path of a file.

    `imagenet` and `pretrained` both mean the weights that a model comes with.

    Raises:
        ConfigError: it is neither.
    """
    weights = config.weights
    if weights in _OWN:
        weights = next((name for name in offered if name in _OWN), weights)
    if weights in offered:
        return weights
    if not Path(weights).expanduser().is_file():
        allowed = [*offered, f"the path of a {' or '.join(suffixes)} file that exists"]
        raise ConfigError(received(f"model.weights for model.name={config.name}", weights, allowed))
    if not weights.endswith(suffixes):
        raise ConfigError(
            received("model.weights", weights, f"a file whose name ends in {' or '.join(suffixes)}")
        )
    return str(Path(weights).expanduser())


def apply_weights(model: keras.Model, weights: str, source: str) -> None:
    """Read weights from `chosen_weights` where they are a file; check those that a model came with.

    Raises:
        ArtifactError: as of `load_weights_file`, or of `check_finite`, for which `source` is.
    """
    if weights in _OWN:
        check_finite(model, source)
    elif weights != "none":
        load_weights_file(model, weights)


def load_weights_file(model: keras.Model, path: str) -> Match:
    """Read a file of weights into a model: arrays only, whatever else the file holds.

    Every weight of the model must be in the file and every weight of the file in the model, but
    for a classification head in the file: the model gets a new one. Optimizer slots and random
    seeds in the file are ignored.

    Raises:
        ArtifactError: the file cannot be read, does not fit, or holds numbers that are not finite.
    """
    targets, variables = _targets(model)
    with open_weights(path) as arrays:
        fit = match(targets, arrays, _width(model))
        if fit.missing or fit.unused:
            raise _misfit(model, targets, arrays, fit, path)
        for index, name in fit.names.items():
            variable, value = variables[index], arrays.load(name)
            if value.dtype.kind not in "fiub":
                raise UnsafeContent(f"the array for {variable.path} holds no numbers")
            kind = keras.backend.standardize_dtype(variable.dtype)
            variable.assign(value.astype("float32" if "float" in kind else kind))
    for layer in all_layers(model):
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # it computes with copies of its weights
    check_finite(model, path)
    head = join_names(fit.head, 4)
    unused = f", unused {len(fit.head)} (its head: {head})" if fit.head else ""
    where = display_path(path)
    console.info(f"weights: loaded {len(fit.names)} from {where}{unused}; the head is new.")
    return fit


def _width(model: keras.Model) -> int:
    """Of a model's features; where it has several outputs, those of its last hidden layer."""
    output: Any = model.output
    if isinstance(output, dict):
        output = output.get("sequence_output", next(iter(output.values())))
    return int(output.shape[-1])


def check_finite(model: keras.Model, source: str) -> None:
    """Refuse weights with NaN or infinity, from which nothing can be trained.

    Raises:
        ArtifactError: a weight holds such a number.
    """
    values = ((weight.path, keras.ops.convert_to_numpy(weight)) for weight in model.weights)
    broken = [path for path, value in values if not np.isfinite(value).all()]
    if broken:
        raise ArtifactError(
            f"{source}: the weights {join_names(broken, 5)} contain NaN or infinity.",
            "The file is from a training run that diverged, or it is damaged; use another.",
        )


def _targets(model: keras.Model) -> tuple[list[ModelVariable], list[Any]]:
    """The weights of a model with their names in files, in the order of `get_weights`."""
    stored = storage_paths(model)
    layers = {
        id(variable): (layer.name, position)
        for layer in model.layers
        for position, variable in enumerate(layer.trainable_weights + layer.non_trainable_weights)
    }
    targets = [
        ModelVariable(
            variable.path,
            tuple(variable.shape),
            stored.get(id(variable), ""),
            *layers.get(id(variable), ("", 0)),
        )
        for variable in model.weights
    ]
    return targets, list(model.weights)


def _misfit(
    model: keras.Model, targets: list[ModelVariable], arrays: WeightArrays, fit: Match, path: str
) -> ArtifactError:
    parts = [f"{path} does not fit model {model.name}: {len(fit.names)} of {len(targets)} fit."]
    missing = [f"{targets[index].path} {list(targets[index].shape)}" for index in fit.missing]
    unused = [f"{name} {list(arrays.shapes[name])}" for name in fit.unused]
    if missing:
        parts.append(f"The model needs and the file lacks: {join_names(missing, 5)}.")
    if unused:
        parts.append(f"The file holds and the model lacks: {join_names(unused, 5)}.")
    return ArtifactError(
        " ".join(parts),
        "Use a file of this very architecture; a classification head in it is ignored.",
    )
