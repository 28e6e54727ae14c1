"""Checkpoints: a folder of arrays and JSON that is whole or absent."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fmkit import files
from fmkit.errors import ArtifactError, NonFiniteError, ResourceError, listed
from fmkit.train import average

WEIGHTS = "model.safetensors"
"""The weights to use the model with: the moving average where there is one."""
TRAINING = "training.safetensors"
"""What only training needs: optimizer slots, and the raw weights where there is an average."""
STATE = "state.json"
MANIFEST = "manifest.json"
_SCHEMA = 1


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk."""

    folder: Path

    @property
    def step(self) -> int:
        """The global step after which it was written."""
        return int(self.folder.name.removeprefix("step-"))


def name(step: int) -> str:
    """The folder's name of a step."""
    return f"step-{step:08d}"


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
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(variable)))


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
    averages = {paths[id(each)]: _array(mean) for each, mean in average.pairs(optimizer)}
    training = {f"raw/{path}": weights[path] for path in averages}
    if optimizer is not None:
        slots = tensors(optimizer.variables)
        training.update({f"optimizer/{path}": value for path, value in slots.items()})
    return {**weights, **averages}, training


def save(
    parent: Path,
    step: int,
    weights: dict[str, np.ndarray],
    training: dict[str, np.ndarray] | None,
    state: dict[str, Any],
) -> Checkpoint:
    """Write a checkpoint: files, then the manifest, then one rename.

    Args:
        parent: the run's folder of checkpoints.
        step: the global step.
        weights: from `values`.
        training: from `values`; None where training will not go on from here.
        state: JSON that says where the run stands.

    Raises:
        ResourceError: the disk is full or refuses. Older checkpoints are left as they were.
        NonFiniteError: the weights, or what the optimizer keeps, are not all finite numbers.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    everything = {**weights, **(training or {})}
    broken = [path for path, value in everything.items() if not _finite(value)]
    if broken:
        raise NonFiniteError(
            f"weights are not finite numbers at step {step}: {listed(broken, 3)}.",
            "Lower optimizer.learning_rate, or set optimizer.clip_norm.",
        )
    temporary = parent / f".tmp-{name(step)}-{os.getpid()}"
    final = parent / name(step)
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        save_file(weights, temporary / WEIGHTS)
        if training is not None:
            save_file(training, temporary / TRAINING)
        files.write_json(temporary / STATE, {"step": step, **state})
        _write_manifest(temporary, step)
        if final.exists():
            remove(final)
        temporary.rename(final)
        files.sync_folder(parent)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        needed = sum(each.nbytes for each in (*weights.values(), *(training or {}).values()))
        raise _full(parent, step, needed, error) from error
    return Checkpoint(final)


def _finite(value: np.ndarray) -> bool:
    return value.dtype.kind not in "fV" or bool(np.isfinite(value.astype(np.float32)).all())


def _write_manifest(folder: Path, step: int) -> None:
    rows = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
        rows[path.name] = {"bytes": path.stat().st_size, "sha256": files.sha256_file(path)}
    files.write_json(folder / MANIFEST, {"schema": _SCHEMA, "step": step, "files": rows})


def _full(parent: Path, step: int, needed: int, error: Exception) -> ResourceError:
    place = next(each for each in (parent, *parent.absolute().parents) if each.exists())
    free = shutil.disk_usage(place).free
    return ResourceError(
        f"cannot save step {step} in {parent}: {getattr(error, 'strerror', None) or error} "
        f"(needs {needed / 1e6:.0f} MB, {free / 1e6:.0f} MB free).",
        "Make room, or make the folder writable; older checkpoints are untouched.",
    )


def remove(folder: Path) -> None:
    """Delete a checkpoint: renamed first, so that no reader meets half of it."""
    trash = folder.with_name(f".trash-{folder.name}-{os.getpid()}")
    folder.rename(trash)
    shutil.rmtree(trash, ignore_errors=True)


def all_in(parent: Path) -> list[Checkpoint]:
    """The checkpoints of a run, oldest first."""
    if not parent.is_dir():
        return []
    found = [each for each in parent.iterdir() if re.fullmatch(r"step-\d+", each.name)]
    return sorted((Checkpoint(each) for each in found), key=lambda each: each.step)


def prune(parent: Path, keep: int, spared: set[int]) -> None:
    """Delete all but the newest `keep` checkpoints and those of the spared steps."""
    newest = all_in(parent)
    for each in newest[: max(0, len(newest) - keep)]:
        if each.step not in spared:
            with contextlib.suppress(OSError):
                remove(each.folder)


def verify(checkpoint: Checkpoint) -> None:
    """Check every file against the manifest.

    Raises:
        ArtifactError: a file is missing, too short, or not what was written.
    """
    path = checkpoint.folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))["files"]
        if WEIGHTS not in manifest:
            raise ArtifactError(f"checkpoint {checkpoint.folder}: its manifest has no {WEIGHTS}.")
        for file_name, row in manifest.items():
            file = checkpoint.folder / Path(file_name).name
            if file.stat().st_size != row["bytes"] or files.sha256_file(file) != row["sha256"]:
                raise ArtifactError(
                    f"checkpoint {checkpoint.folder}: {file_name} is not what was written.",
                    "The file was damaged or changed. Use another checkpoint or run.",
                )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(
            f"checkpoint {checkpoint.folder} is incomplete: {type(error).__name__}: {error}"
        ) from error


def choose(parent: Path, best: int | None) -> Checkpoint:
    """The best checkpoint, or the newest where none is named; verified.

    Raises:
        ArtifactError: there is none, the best one is gone, or it is damaged.
    """
    found = all_in(parent)
    if not found:
        raise ArtifactError(
            f"{parent.parent} has no checkpoint.", "The run stopped before its first epoch ended."
        )
    wanted = found[-1:] if best is None else [each for each in found if each.step == best]
    if not wanted:
        there = listed([str(each.step) for each in found])
        raise ArtifactError(f"{parent} has no step {best}, the best; it has {there}.")
    verify(wanted[0])
    return wanted[0]


def read_weights(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """A verified checkpoint's weights by path."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(checkpoint.folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"checkpoint {checkpoint.folder}: {error}") from error


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
            f"the weights do not fit the model: {listed(problems, 5)}.",
            "They belong to another model, or to another version of a package that builds it.",
        )
