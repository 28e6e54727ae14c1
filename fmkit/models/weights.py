"""Weights from a file into a model: all of them, or an error that names what differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import h5py  # type: ignore[import-untyped]
import keras
import numpy as np

from fmkit.config.schema import ModelConfig
from fmkit.config.validate import WEIGHT_SUFFIXES
from fmkit.errors import ArtifactError, ConfigError, listed, received

_NOT_MODEL = ("optimizer", "seed_generator")
Shape = tuple[int, ...]


def chosen_weights(
    config: ModelConfig,
    offered: tuple[str, ...],
    suffixes: tuple[str, ...] = WEIGHT_SUFFIXES[""],
) -> str:
    """What `model.weights` asks for: a word on offer, or the path of a file that is there.

    Raises:
        ConfigError: it is neither.
    """
    wanted = config.weights
    if wanted in offered:
        return wanted
    if not Path(wanted).expanduser().is_file():
        allowed = [*offered, f"the path of a {' or '.join(suffixes)} file that exists"]
        raise ConfigError(received(f"model.weights for model.name={config.name}", wanted, allowed))
    if not wanted.endswith(suffixes):
        raise ConfigError(
            received("model.weights", wanted, f"a file whose name ends in {' or '.join(suffixes)}")
        )
    return str(Path(wanted).expanduser())


def load_weights_file(model: keras.Model, path: str) -> None:
    """Read a `.weights.h5` or an older `.h5` file of weights into a model.

    Every weight of the model must be in the file and every weight of the file in the model;
    optimizer slots and random seeds in the file are passed over.

    Raises:
        ArtifactError: the file cannot be read, does not fit, or holds numbers that are not finite.
    """
    found = _shapes_in_file(path)
    _compare(model, found, path)
    try:
        model.load_weights(path)
    except Exception as error:  # Keras and h5py raise many kinds, all about the file's content
        reason = next((line for line in str(error).splitlines() if line.strip()), "")
        raise ArtifactError(
            f"{path} does not fit model {model.name}: {reason}",
            "It must hold the weights of this very architecture, without a classification head.",
        ) from error
    check_finite(model, path)


def check_finite(model: keras.Model, source: str) -> None:
    """Refuse weights with NaN or infinities: no training can come of them.

    Raises:
        ArtifactError: a weight holds such a number.
    """
    broken = [
        weight.path
        for weight in model.weights
        if not bool(np.isfinite(keras.ops.convert_to_numpy(weight)).all())
    ]
    if broken:
        raise ArtifactError(
            f"{source}: the weights {listed(broken, most=5)} hold numbers that are not finite.",
            "The file comes from a training that diverged, or is damaged; use another.",
        )


def _shapes_in_file(path: str) -> list[tuple[str, Shape]]:
    found: list[tuple[str, Shape]] = []

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset) and not any(word in name for word in _NOT_MODEL):
            found.append((name, tuple(item.shape or ())))

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)  # follows no links, so nothing outside the file is opened
    except Exception as error:  # h5py's errors on damaged files have many types
        raise ArtifactError(
            f"{path} cannot be read as an HDF5 file of weights: {error}",
            "Download or save it again, and compare its size with the original.",
        ) from error
    return found


def _compare(model: keras.Model, found: list[tuple[str, Shape]], path: str) -> None:
    needed = [(weight.path, tuple(weight.shape)) for weight in model.weights]
    extra = _left_over(found, needed)
    missing = _left_over(needed, found)
    if not extra and not missing:
        return
    parts = [f"{path} does not fit model {model.name}."]
    if missing:
        parts.append(f"The model needs and the file lacks: {listed(missing, most=5)}.")
    if extra:
        parts.append(f"The file holds and the model lacks: {listed(extra, most=5)}.")
    raise ArtifactError(
        " ".join(parts),
        "Give a file of this very architecture, saved without its classification head "
        "(published Keras files of that kind end in _notop.h5 or _no_top.h5).",
    )


def _left_over(those: Iterable[tuple[str, Shape]], these: Iterable[tuple[str, Shape]]) -> list[str]:
    """Which of those have a shape that these have fewer times."""
    spare = Counter(shape for _, shape in these)
    left = []
    for name, shape in those:
        if spare[shape]:
            spare[shape] -= 1
        else:
            left.append(f"{name} {list(shape)}")
    return left
