"""Checkpoints: a folder of arrays and JSON that is whole or absent."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fmkit.core import atomic_dir, files
from fmkit.core.errors import ArtifactError, NonFiniteError, ResourceError, join_names
from fmkit.models.weights import safetensors as safetensors_file

WEIGHTS = "model.safetensors"
"""The weights to use the model with: the moving average where there is one."""
TRAINING = "training.safetensors"
"""What only training needs: optimizer slots, and the raw weights where there is an average."""
STATE = "state.json"
MANIFEST = atomic_dir.MANIFEST
_STATE: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("step", "epoch", "phase_step", "stale"), (int,)),
    "phase": (str,),
    **dict.fromkeys(("best", "phase_best", "resume"), (dict, type(None))),
}
"""What a state holds, and of what type; what may be None may be missing."""


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
        return name(self.step)


def name(step: int) -> str:
    """The folder's name of a step."""
    return f"step-{step:08d}"


def save(
    parent: Path,
    step: int,
    weights: dict[str, np.ndarray],
    training: dict[str, np.ndarray] | None,
    state: dict[str, Any],
    spared: Collection[int] | None = None,
) -> Checkpoint:
    """Write a checkpoint that is durable and was read back; one of the same step is replaced.

    Args:
        parent: the run's folder of checkpoints.
        step: the global step.
        weights: from `values`.
        training: from `values`; None where training will not go on from here.
        state: JSON that says where the run stands.
        spared: steps to keep when the disk is full; beside the newest whole one, all others may
            go to make room. None deletes no checkpoint.

    Raises:
        ResourceError: the disk is full or refuses. The checkpoints before it are as they were.
        NonFiniteError: the weights, or what the optimizer keeps, are not all finite numbers.
        ValueError: the state holds something that `read_state` would refuse.
    """
    if broken := safetensors_file.not_finite({**weights, **(training or {})}):
        raise NonFiniteError(
            f"weights are not finite numbers at step {step}: {join_names(broken, 3)}.",
            "Lower optimizer.learning_rate, or set optimizer.clip_norm.",
        )
    state = files.nonfinite_to_none({"step": step, **state})
    if wrong := _wrong_in(state):
        raise ValueError(f"no state of a checkpoint: {wrong}")
    text = json.dumps(state, indent=2, ensure_ascii=False) + "\n"
    contents = {WEIGHTS: safetensors_file.serialize(weights)}
    if training is not None:
        contents[TRAINING] = safetensors_file.serialize(training)
    contents[STATE] = [memoryview(text.encode())]
    needed = sum(piece.nbytes for pieces in contents.values() for piece in pieces)
    folder = parent / name(step)
    try:
        try:
            files.require_free_space(parent, needed)
            atomic_dir.write(folder, contents, {"step": step})
        except OSError as error:
            if error.errno not in files.DISK_FULL_ERRORS or not _make_room(parent, spared):
                raise
            files.require_free_space(parent, needed)
            atomic_dir.write(folder, contents, {"step": step})
    except OSError as error:
        raise _not_saved(parent, step, needed, error) from error
    return Checkpoint(folder)


def _make_room(parent: Path, spared: Collection[int] | None) -> bool:
    """Delete leftovers, and checkpoints that need not stay; whether anything went."""
    before = {each.name for each in parent.iterdir()} if parent.is_dir() else set()
    with contextlib.suppress(OSError, ArtifactError):
        atomic_dir.remove_leftovers(parent)
        if spared is not None:
            last_good, _ = newest(parent)
            prune(parent, 0, {last_good.step, *spared})
    return bool(before) and before != {each.name for each in parent.iterdir()}


def _not_saved(parent: Path, step: int, needed: int, error: OSError) -> ResourceError:
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


def remove(folder: Path) -> None:
    """Delete a checkpoint: renamed first, so that no reader meets half of it."""
    atomic_dir.remove(folder)


def remove_leftovers(parent: Path) -> None:
    """Clear away what killed processes left. Only for whoever holds the run's lock."""
    atomic_dir.remove_leftovers(parent)


def list_checkpoints(parent: Path) -> list[Checkpoint]:
    """The checkpoints of a run, whole or damaged, oldest first."""
    found = atomic_dir.folders_in(parent).items()
    known = [Checkpoint(path) for name, path in found if re.fullmatch(r"step-\d+", name)]
    return sorted(known, key=lambda each: each.step)


def prune(parent: Path, keep: int, spared: set[int]) -> None:
    """Delete all but the newest `keep` checkpoints and those of the spared steps."""
    newest_last = list_checkpoints(parent)
    for each in newest_last[: max(0, len(newest_last) - keep)]:
        if each.step not in spared:
            with contextlib.suppress(OSError):
                remove(each.folder)


def problem(checkpoint: Checkpoint) -> str:
    """What is wrong with a checkpoint, as one line; empty where it is as it was written."""
    wrong = atomic_dir.find_damage(checkpoint.folder)
    if not wrong:
        facts = atomic_dir.manifest(checkpoint.folder)
        if facts.get("step") != checkpoint.step:
            wrong = f"is that of step {facts.get('step')}, moved"
        elif not {WEIGHTS, STATE} <= set(facts["files"]):
            wrong = f"has no {WEIGHTS} and {STATE}"
    return f"checkpoint {checkpoint.name} {wrong}" if wrong else ""


def verify(checkpoint: Checkpoint) -> None:
    """Check every file against the manifest, and the manifest against itself.

    Raises:
        ArtifactError: anything is missing, added, or not what was written.
    """
    if wrong := problem(checkpoint):
        raise ArtifactError(
            f"{wrong}, in {checkpoint.folder.parent}.",
            "It was damaged or changed after it was written. Use another checkpoint or run.",
        )


def newest(parent: Path, resumable: bool = True) -> tuple[Checkpoint, list[str]]:
    """The newest checkpoint that is whole, and a line for each newer one that is damaged.

    Args:
        parent: the run's folder of checkpoints.
        resumable: only those that training can go on from.

    Raises:
        ArtifactError: there is none, or not one is whole. A run never starts from zero instead.
    """
    damaged = []
    found = list_checkpoints(parent)
    for each in reversed(found):
        if wrong := problem(each):
            damaged.append(wrong)
        elif not resumable or TRAINING in atomic_dir.manifest(each.folder)["files"]:
            return each, [f"{line}, using {each.name}" for line in damaged]
    if damaged:
        raise ArtifactError(
            f"no checkpoint in {parent} is whole: {join_names(damaged, 5)}.",
            "Start a new run; this one cannot go on.",
        )
    if found:
        raise ArtifactError(
            f"no checkpoint in {parent} has {TRAINING}, so training cannot go on from it.",
            "Start from its weights instead: fmkit finetune init=RUN",
        )
    raise _nothing_saved(parent)


def _nothing_saved(parent: Path) -> ArtifactError:
    return ArtifactError(
        f"{parent.parent} has no checkpoint.", "The run stopped before its first epoch ended."
    )


def choose(parent: Path, best: int | None) -> Checkpoint:
    """The best checkpoint, or the newest where none is named; verified.

    Raises:
        ArtifactError: there is none, the best one is gone, or it is damaged.
    """
    found = list_checkpoints(parent)
    if not found:
        raise _nothing_saved(parent)
    wanted = found[-1:] if best is None else [each for each in found if each.step == best]
    if not wanted:
        there = join_names([str(each.step) for each in found])
        raise ArtifactError(f"{parent} has no step {best}, the best; it has {there}.")
    if wrong := problem(wanted[0]):
        others = [each.name for each in found if each != wanted[0] and not problem(each)]
        raise ArtifactError(
            f"{wrong}, in {parent}.",
            f"Whole ones are {join_names(others)}; another in its place would be a silent change."
            if others
            else "The run has no other that is whole.",
        )
    return wanted[0]


def read_weights(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """A verified checkpoint's weights by path."""
    return _read(checkpoint, WEIGHTS)


def read_training(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """What only training needs of a verified checkpoint, by path (see `values`)."""
    return _read(checkpoint, TRAINING)


def _read(checkpoint: Checkpoint, file_name: str) -> dict[str, np.ndarray]:
    try:
        return safetensors_file.read(checkpoint.folder / file_name)
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"checkpoint {checkpoint.name}: {file_name} cannot be read: {error}"
        ) from error


def read_state(checkpoint: Checkpoint) -> dict[str, Any]:
    """Where a verified checkpoint's run stood: every key of a state, each of its type.

    Raises:
        ArtifactError: a key is missing, unknown, or of another type.
    """
    path = checkpoint.folder / STATE
    try:
        state = dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ArtifactError(
            f"checkpoint {checkpoint.name}: {STATE} cannot be read: {error}"
        ) from error
    wrong = _wrong_in(state)
    state = {**{key: None for key, types in _STATE.items() if type(None) in types}, **state}
    lost = [key for key in _STATE if key not in state]
    if wrong or lost:
        raise ArtifactError(
            f"checkpoint {checkpoint.name}: {STATE}: {wrong or f'{join_names(lost)} is missing'}.",
            "Another version of fmkit wrote it.",
        )
    return state


def _wrong_in(state: Mapping[str, Any]) -> str:
    for key, value in state.items():
        if key not in _STATE:
            return f"unknown key {key!r}"
        if not isinstance(value, _STATE[key]) or isinstance(value, bool):
            return f"{key} is {value!r}"
        if isinstance(value, int) and value < 0:
            return f"{key} is {value}"
    return ""


def check_disk(parent: Path, model: keras.Model, optimizer: Any) -> None:
    """Say before training that a disk is too small for its checkpoints.

    Two must fit, for one is there while the next is written, and a tenth more for all else.

    Raises:
        ResourceError: less is free.
    """
    variables = [*model.variables, *([] if optimizer is None else optimizer.variables)]
    needed = int(2.2 * sum(_bytes(each) for each in variables))
    free = files.free_bytes(parent)
    if free < needed:
        raise ResourceError(
            f"the disk is too small for two checkpoints of this run: they need "
            f"{files.format_bytes(needed)}, {files.format_bytes(free)} are free in {parent}.",
            "Make room, or name a folder on another disk: runs_dir=DIR",
        )


def _bytes(variable: Any) -> int:
    kind = keras.backend.standardize_dtype(variable.dtype)
    width = 1 if kind == "bool" else int(re.sub(r"\D", "", kind)) // 8
    return math.prod(variable.shape) * width
