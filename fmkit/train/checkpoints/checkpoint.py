"""Checkpoints: folders of arrays and JSON that are whole or absent.

checkpoints/step-00000042/
    model.safetensors      the weights to use the model with
    training.safetensors   what only training needs; missing where training cannot resume
    state.json             where the run was (`state.py`)
    manifest.json          SHA-256 of the files, written last (`core/atomic_dir.py`)
"""

import contextlib
import errno
import json
import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fmkit.core import atomic_dir, files
from fmkit.core.errors import ArtifactError, NonFiniteError, ResourceError, join_names
from fmkit.models.weights import safetensors as safetensors_file
from fmkit.train.checkpoints import state as run_state
from fmkit.train.checkpoints.variables import Optimizers, optimizer_variables

WEIGHTS = "model.safetensors"
"""The weights to use the model with: the moving average where there is one."""
TRAINING = "training.safetensors"
"""What only training needs: optimizer slots, and the raw weights where there is an average."""
STATE = "state.json"
MANIFEST = atomic_dir.MANIFEST


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk."""

    folder: Path

    @property
    def step(self) -> int:
        """The global step after which it was written."""
        return int(self.folder.name.rpartition("-")[2])

    @property
    def name(self) -> str:
        """What messages call it."""
        return folder_name(self.step)


def folder_name(step: int) -> str:
    """The name of the folder of a step's checkpoint."""
    return f"step-{step:08d}"


def save(
    parent: Path,
    step: int,
    weights: dict[str, np.ndarray],
    training: dict[str, np.ndarray] | None,
    state: dict[str, Any],
    protected: Collection[int] | None = None,
) -> Checkpoint:
    """Write a checkpoint that is durable and was read back; one of the same step is replaced.

    Args:
        parent: the run's folder of checkpoints.
        step: the global step.
        weights: from `variables.collect`.
        training: likewise; None where training will not resume from here.
        state: from `state.to_json`.
        protected: steps to keep when the disk is full: all others but the newest whole one may be
            deleted to make room. None deletes no checkpoint.

    Raises:
        ResourceError: the disk is full or refuses. The checkpoints before it are as they were.
        NonFiniteError: a weight, or a number that the optimizer keeps, is NaN or infinite.
        ValueError: the state has a field that `read_state` would refuse.
    """
    if nonfinite := safetensors_file.not_finite({**weights, **(training or {})}):
        raise NonFiniteError(
            f"weights are NaN or infinite at step {step}: {join_names(nonfinite, 3)}.",
            "Lower optimizer.learning_rate, or set optimizer.clip_norm.",
        )
    state = files.nonfinite_to_none({"step": step, **state})
    if invalid := run_state.invalid_field(state):
        raise ValueError(f"not a checkpoint's state: {invalid}")
    contents = {WEIGHTS: safetensors_file.serialize(weights)}
    if training is not None:
        contents[TRAINING] = safetensors_file.serialize(training)
    text = json.dumps(state, indent=2, ensure_ascii=False) + "\n"
    contents[STATE] = [memoryview(text.encode())]
    needed = sum(piece.nbytes for pieces in contents.values() for piece in pieces)
    folder = parent / folder_name(step)

    def write() -> None:
        files.require_free_space(parent, needed)
        atomic_dir.write(folder, contents, {"step": step})

    try:
        try:
            write()
        except OSError as error:
            if error.errno not in files.DISK_FULL_ERRORS or not _make_room(parent, protected):
                raise
            write()
    except OSError as error:
        raise _save_error(parent, step, needed, error) from error
    return Checkpoint(folder)


def _make_room(parent: Path, protected: Collection[int] | None) -> bool:
    """Delete leftovers, and checkpoints that need not stay; whether anything was deleted."""
    before = {path.name for path in parent.iterdir()} if parent.is_dir() else set()
    with contextlib.suppress(OSError, ArtifactError):
        atomic_dir.remove_leftovers(parent)
        if protected is not None:
            last_good, _ = newest(parent)
            prune(parent, 0, {last_good.step, *protected})
    return bool(before) and before != {path.name for path in parent.iterdir()}


def _save_error(parent: Path, step: int, needed: int, error: OSError) -> ResourceError:
    sizes = (
        f"needs {files.format_bytes(needed)}, {files.format_bytes(files.free_bytes(parent))} "
        f"free in {parent}"
    )
    try:
        last_good = f"last good checkpoint is step {newest(parent)[0].step}"
    except ArtifactError:
        last_good = "there is no checkpoint yet"
    if error.errno in files.DISK_FULL_ERRORS:
        limit = ", and no file may be so large" if error.errno == errno.EFBIG else ""
        return ResourceError(
            f"disk full while saving step {step} ({sizes}{limit}); {last_good}.",
            "Make room and resume the run; runtime.keep=1 keeps fewer checkpoints.",
        )
    return ResourceError(
        f"cannot save step {step}: {error.strerror or error} ({sizes}); {last_good}.",
        "Make the folder writable and resume the run.",
    )


def require_disk_space(parent: Path, model: keras.Model, optimizers: Optimizers) -> None:
    """Refuse (ResourceError) a disk that is too small for a run's checkpoints, before it trains.

    Two must fit, as the last one stays while the next is written, and a tenth more for all else.
    """
    sizes = [
        # NumPy knows bfloat16 by name since Keras imports ml_dtypes.
        np.dtype(keras.backend.standardize_dtype(variable.dtype)).itemsize
        * math.prod(variable.shape)
        for variable in (*model.variables, *optimizer_variables(optimizers).values())
    ]
    needed = int(2.2 * sum(sizes))
    free = files.free_bytes(parent)
    if free < needed:
        raise ResourceError(
            f"the disk is too small for two checkpoints of this run: they need "
            f"{files.format_bytes(needed)}, {files.format_bytes(free)} are free in {parent}.",
            "Make room, or name a folder on another disk: runs_dir=DIR",
        )


def list_checkpoints(parent: Path) -> list[Checkpoint]:
    """The checkpoints of a run, whole or damaged, oldest first."""
    folders = atomic_dir.folders_in(parent).items()
    checkpoints = [Checkpoint(path) for name, path in folders if re.fullmatch(r"step-\d+", name)]
    return sorted(checkpoints, key=lambda checkpoint: checkpoint.step)


def prune(parent: Path, keep: int, protected: set[int]) -> None:
    """Delete all but the newest `keep` checkpoints and those of the protected steps."""
    checkpoints = list_checkpoints(parent)
    for checkpoint in checkpoints[: max(0, len(checkpoints) - keep)]:
        if checkpoint.step not in protected:
            with contextlib.suppress(OSError):
                atomic_dir.remove(checkpoint.folder)


def find_damage(checkpoint: Checkpoint) -> str:
    """What is wrong with a checkpoint, as one line; empty where it is as it was written."""
    if not (damage := atomic_dir.find_damage(checkpoint.folder)):
        manifest = atomic_dir.manifest(checkpoint.folder)
        if manifest.get("step") != checkpoint.step:
            damage = f"is that of step {manifest.get('step')}, moved"
        elif not {WEIGHTS, STATE} <= set(manifest["files"]):
            damage = f"has no {WEIGHTS} and {STATE}"
    return f"checkpoint {checkpoint.name} {damage}" if damage else ""


def newest(parent: Path, resumable: bool = True) -> tuple[Checkpoint, list[str]]:
    """The newest checkpoint that is whole, and a line for each newer one that is damaged.

    Where it must be `resumable`, those that training cannot resume from are passed over.

    Raises:
        ArtifactError: there is none, or not one is whole. A run never starts from zero instead.
    """
    damaged = []
    checkpoints = list_checkpoints(parent)
    for checkpoint in reversed(checkpoints):
        if damage := find_damage(checkpoint):
            damaged.append(damage)
        elif not resumable or TRAINING in atomic_dir.manifest(checkpoint.folder)["files"]:
            return checkpoint, [f"{line}, using {checkpoint.name}" for line in damaged]
    if damaged:
        raise ArtifactError(
            f"no checkpoint in {parent} is whole: {join_names(damaged, 5)}.",
            "Start a new run; this one cannot be resumed.",
        )
    if checkpoints:
        raise ArtifactError(
            f"no checkpoint in {parent} has {TRAINING}, so training cannot resume from it.",
            "Start from its weights instead: fmkit finetune init=RUN",
        )
    raise _no_checkpoint(parent)


def _no_checkpoint(parent: Path) -> ArtifactError:
    return ArtifactError(
        f"{parent.parent} has no checkpoint.", "The run stopped before its first epoch ended."
    )


def best_or_newest(parent: Path, best_step: int | None) -> Checkpoint:
    """The checkpoint of the best step, or the newest where no step is named; verified.

    Raises:
        ArtifactError: there is none, the best one is gone, or it is damaged.
    """
    checkpoints = list_checkpoints(parent)
    if not checkpoints:
        raise _no_checkpoint(parent)
    by_step = {checkpoint.step: checkpoint for checkpoint in checkpoints}
    chosen = checkpoints[-1] if best_step is None else by_step.get(best_step)
    if chosen is None:
        steps = join_names([str(step) for step in by_step])
        raise ArtifactError(f"{parent} has no step {best_step}, the best; it has {steps}.")
    if damage := find_damage(chosen):
        whole = [other.name for other in checkpoints if not find_damage(other)]
        raise ArtifactError(
            f"{damage}, in {parent}.",
            f"Whole ones are {join_names(whole)}; another in its place would be a silent change."
            if whole
            else "The run has no other that is whole.",
        )
    return chosen


def read_weights(checkpoint: Checkpoint, file_name: str = WEIGHTS) -> dict[str, np.ndarray]:
    """A verified checkpoint's weights by path."""
    try:
        return safetensors_file.read(checkpoint.folder / file_name)
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"checkpoint {checkpoint.name}: {file_name} cannot be read: {error}"
        ) from error


def read_training(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """What only training needs of a verified checkpoint, by path (see `variables.collect`)."""
    return read_weights(checkpoint, TRAINING)


def read_state(checkpoint: Checkpoint) -> dict[str, Any]:
    """The state of a verified checkpoint; ArtifactError unless each field is there, of its type."""
    path = checkpoint.folder / STATE
    try:
        state = dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ArtifactError(
            f"checkpoint {checkpoint.name}: {STATE} cannot be read: {error}"
        ) from error
    missing = [key for key in run_state.REQUIRED if key not in state]
    problem = run_state.invalid_field(state)
    if missing and not problem:
        problem = f"{join_names(missing)} is missing"
    if problem:
        raise ArtifactError(
            f"checkpoint {checkpoint.name}: {STATE}: {problem}.",
            "Another version of fmkit wrote it.",
        )
    return {**dict.fromkeys(run_state.OPTIONAL), **state}
