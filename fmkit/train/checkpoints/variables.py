"""The variables of a network and of its optimizer, by path, as arrays and back."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from fmkit.core.errors import ArtifactError, join_names
from fmkit.train import ema


def by_path(variables: list[Any]) -> dict[str, Any]:
    """Variables by path; equal paths get a number, in order, so that no two share a name."""
    found: dict[str, Any] = {}
    for variable in variables:
        key, number = variable.path, 1
        while key in found:
            number += 1
            key = f"{variable.path}#{number}"
        found[key] = variable
    return found


def tensors(variables: list[Any]) -> dict[str, np.ndarray]:
    """The values of variables by path."""
    return {path: _array(variable) for path, variable in by_path(variables).items()}


def _array(variable: Any) -> np.ndarray:
    # By way of a tensor: a variable that is mirrored on several devices is no array yet.
    return np.asarray(keras.ops.convert_to_tensor(variable))


def values(
    model: keras.Model, optimizer: Any, part: keras.Model | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a checkpoint holds: the weights to use a model with, and what only training needs.

    Args:
        model: the whole network, also where a part of it trains on features.
        optimizer: the one that trains it, or None.
        part: only the variables of this part, under the names that they have in the whole.
    """
    paths = {id(variable): path for path, variable in by_path(model.variables).items()}
    variables = model.variables if part is None else part.variables
    weights = {paths[id(variable)]: _array(variable) for variable in variables}
    averages = {paths[id(each)]: _array(mean) for each, mean in ema.pairs(optimizer)}
    training = {f"raw/{path}": weights[path] for path in averages}
    if optimizer is not None:
        slots = tensors(optimizer.variables)
        training.update({f"optimizer/{path}": value for path, value in slots.items()})
    return {**weights, **averages}, training


def assign(
    model: keras.Model, weights: dict[str, np.ndarray], only: set[str] | None = None
) -> None:
    """Put weights into a model by path.

    Args:
        model: the model.
        weights: by path, from `read_weights`.
        only: paths to set; None means every variable of the model.

    Raises:
        ArtifactError: a variable has no weight of its shape.
    """
    problems = []
    for path, variable in by_path(model.variables).items():
        if only is not None and path not in only:
            continue
        value = weights.get(path)
        if value is None:
            problems.append(f"{path} is missing")
        elif tuple(value.shape) != tuple(variable.shape):
            problems.append(f"{path} is {tuple(value.shape)}, not {tuple(variable.shape)}")
        else:
            variable.assign(value)
    if problems:
        raise ArtifactError(
            f"the weights do not fit the model: {join_names(problems, 5)}.",
            "They belong to another model, or to another version of a package that builds it.",
        )
