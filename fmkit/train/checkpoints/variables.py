"""The variables of a network and of its optimizers: by path, to NumPy arrays and back."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from fmkit.core.errors import ArtifactError, join_names
from fmkit.train import ema

Optimizers = Mapping[str, Any]
"""The optimizers of an update rule by name; the only one of the default rule has the name ""."""


def by_path(variables: Iterable[Any]) -> dict[str, Any]:
    """Variables by path; equal paths get a number, in order, so that no two share a name."""
    paths: dict[str, Any] = {}
    for variable in variables:
        path, number = variable.path, 1
        while path in paths:
            number += 1
            path = f"{variable.path}#{number}"
        paths[path] = variable
    return paths


def arrays(variables: Iterable[Any]) -> dict[str, np.ndarray]:
    """The values of variables by path."""
    return {path: array(variable) for path, variable in by_path(variables).items()}


def array(variable: Any) -> np.ndarray:
    """The value of a variable."""
    # By way of a tensor: NumPy cannot read a variable that is mirrored on several devices.
    # Not by `convert_to_numpy`: on TensorFlow that copies, and raises a warning for each.
    return np.asarray(keras.ops.convert_to_tensor(variable))


def sha256(variables: Iterable[Any], prefix: bytes = b"") -> str:
    """A hash of variables: type, shape and bytes of each, not its name."""
    digest = hashlib.sha256(prefix)
    for variable in variables:
        value = np.ascontiguousarray(array(variable))
        digest.update(f"{value.dtype.name} {list(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def optimizer_variables(optimizers: Optimizers) -> dict[str, Any]:
    """The variables of all optimizers by path, with an optimizer's name, if any, in front."""
    return {
        f"{name}/{path}" if name else path: variable
        for name, optimizer in optimizers.items()
        for path, variable in by_path(optimizer.variables).items()
    }


def collect(
    model: keras.Model, optimizers: Optimizers, part: keras.Model | None = None
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What a checkpoint holds: the weights to use a model with, and what only training needs.

    Args:
        model: the whole network, also where a part of it trains on features.
        optimizers: what trains it; none where a solver does.
        part: only the variables of this part, under the names that they have in the whole.
    """
    paths = {id(variable): path for path, variable in by_path(model.variables).items()}
    variables = model.variables if part is None else part.variables
    weights = {paths[id(variable)]: array(variable) for variable in variables}
    averages = {paths[id(variable)]: array(average) for variable, average in ema.pairs(optimizers)}
    training = {f"raw/{path}": weights[path] for path in averages}
    training |= {
        f"optimizer/{path}": array(variable)
        for path, variable in optimizer_variables(optimizers).items()
    }
    return {**weights, **averages}, training


def assign(
    model: keras.Model, weights: Mapping[str, np.ndarray], only: set[str] | None = None
) -> None:
    """Set the variables of a model from weights by path.

    Args:
        weights: by path, from `checkpoint.read_weights`; more than the model has is ignored.
        only: paths to set; None means every variable of the model.

    Raises:
        ArtifactError: a variable has no weight of its shape; those before it are set.
    """
    problems = []
    for path, variable in by_path(model.variables).items():
        if only is not None and path not in only:
            continue
        if problem := mismatch(path, variable, weights.get(path)):
            problems.append(problem)
        else:
            variable.assign(weights[path])
    if problems:
        raise ArtifactError(
            f"the weights do not fit the model: {join_names(problems, 5)}.",
            "They belong to another model, or to another version of a package that builds it.",
        )


def mismatch(path: str, variable: Any, value: np.ndarray | None) -> str:
    """Why a variable cannot take a value, in words; empty where it can."""
    if value is None:
        return f"{path} is missing"
    if tuple(value.shape) != tuple(variable.shape):
        return f"{path} is {tuple(value.shape)}, not {tuple(variable.shape)}"
    return ""
