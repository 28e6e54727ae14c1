"""How a run resumes from a checkpoint, bit for bit.

A resumed run computes what it would have computed without a stop, because everything that the next
step depends on is either a function of the config and of the step (the order of the examples, their
augmentation, the learning rate) or in the checkpoint: every variable of the network, the states of
its random generators among them; every variable of every optimizer (slots, updates done, gradients
that accumulate, the moving average); the running metrics of an epoch that was cut short; and the
position: phase, epoch, step, the best so far, patience, rows written.

The same machine and versions are assumed. Elsewhere a run resumes just as well, but floating-point
sums may differ in their last bits.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fmkit.core import atomic_dir
from fmkit.core.errors import ArtifactError
from fmkit.models.keras_internals import WINDOW_WEIGHT, variables_since_0_3
from fmkit.train.checkpoints import checkpoint as checkpoints
from fmkit.train.checkpoints import state, variables
from fmkit.train.checkpoints.checkpoint import Checkpoint
from fmkit.train.checkpoints.variables import Optimizers
from fmkit.train.phases import Position

_OPTIMIZER, _RAW, METRICS = "optimizer/", "raw/", "metrics/"


@dataclass(frozen=True)
class SavedState:
    """A checkpoint that a run resumes from, with all that its state says.

    Attributes:
        checkpoint: where the arrays are.
        position: where the run was.
        rows: of metrics.jsonl.
        logs: training metrics of an epoch whose steps were done and whose validation was not.
        seconds: that the phase had taken.
        skipped: by phase, why it does not run.
        features: SHA-256 of the features that the phase trained on; None if it read the inputs.
        config: the config by full key.
    """

    checkpoint: Checkpoint
    phase: str
    position: Position
    rows: int
    logs: dict[str, float] | None
    seconds: float
    skipped: dict[str, str]
    features: str | None
    config: dict[str, Any]

    @property
    def step(self) -> int:
        """Training steps since the run began."""
        return self.position.step


def load_state(checkpoint: Checkpoint) -> SavedState:
    """The state of a verified checkpoint; ArtifactError where no run can resume from it."""
    values = checkpoints.read_state(checkpoint)
    resume = values["resume"]
    if not isinstance(resume, dict) or resume.get("schema") != state.SCHEMA:
        raise ArtifactError(
            f"checkpoint {checkpoint.name} has no state that training can resume from.",
            "Another version of fmkit wrote it. Start from its weights: fmkit finetune init=RUN",
        )
    values["step"] = checkpoint.step
    if invalid := state.invalid_resume_field(values):
        raise ArtifactError(
            f"checkpoint {checkpoint.name}: {checkpoints.STATE} has a wrong value in {invalid}."
        )
    steps, mean_loss = resume["row_loss"]
    position = Position(
        step=values["step"],
        phase_start=values["step"] - values["phase_step"],
        epoch=values["epoch"],
        best=values["best"],
        phase_best=values["phase_best"],
        stale=values["stale"],
        row_loss=(steps, math.nan if mean_loss is None else float(mean_loss)),
        results=list(resume["results"]),
    )
    facts = {field.name: resume[field.name] for field in fields(SavedState)[3:]}
    return SavedState(checkpoint, values["phase"], position, **facts)


def find_state(parent: Path) -> tuple[SavedState | None, list[str]]:
    """The newest checkpoint that a run can resume from, and what was wrong with newer ones.

    The former is None where nothing was ever saved: the run then starts again.

    Raises:
        ArtifactError: there are checkpoints, and none will do; or the best epoch, which the run
            may have to return to, is gone or damaged.
    """
    if not checkpoints.list_checkpoints(parent):
        return None, []
    chosen, problems = checkpoints.newest(parent)
    saved = load_state(chosen)
    for best in (saved.position.best, saved.position.phase_best):
        if best and best["step"] != saved.step:
            try:
                checkpoints.best_or_newest(parent, best["step"])
            except ArtifactError as error:
                raise ArtifactError(
                    f"step {saved.step} is whole, but the best epoch so far is not: "
                    f"{error.message}",
                    "The run may have to return to it. Put its folder back from a copy.",
                ) from error
    return saved, problems


def best_steps(checkpoints_to_keep: Iterable[Checkpoint]) -> set[int]:
    """The best steps that these checkpoints name, as far as their states can be read."""
    steps: set[int] = set()
    for checkpoint in checkpoints_to_keep:
        try:
            values = checkpoints.read_state(checkpoint)
        except ArtifactError:
            continue
        candidates = (values["best"], values["phase_best"])
        steps |= {best["step"] for best in candidates if best and state.is_best(best)}
    return steps


def delete_later(parent: Path, step: int) -> None:
    """Delete what is newer than the checkpoint that a run resumes from.

    It is damaged, or only weights; the run makes those steps again.
    """
    for checkpoint in checkpoints.list_checkpoints(parent):
        if checkpoint.step > step:
            atomic_dir.remove(checkpoint.folder)


class RestoredArrays:
    """Puts the arrays of a verified checkpoint into a run; ArtifactError where they do not fit."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._name = checkpoint.name
        self._weights = checkpoints.read_weights(checkpoint)
        self._training = checkpoints.read_training(checkpoint)

    def restore_weights(self, model: keras.Model) -> None:
        """Set every variable of the network: to the raw weights where there is an average."""
        variables.assign(model, {**self._weights, **self._below(_RAW)})

    def restore_optimizers(self, optimizers: Optimizers) -> None:
        """Set every variable of the optimizers, which must be exactly those of the checkpoint."""
        by_path = variables.optimizer_variables(optimizers)
        values = self._below(_OPTIMIZER)
        older = _values_of_older(optimizers, by_path, values)
        self._restore("the optimizer", by_path, {**older, **values})

    def restore_metrics(self, metrics: Sequence[Any]) -> None:
        """Set the running metrics of an epoch."""
        self._restore("the metrics", metric_variables(metrics), self._below(METRICS))

    def _below(self, prefix: str) -> dict[str, np.ndarray]:
        return {
            path.removeprefix(prefix): value
            for path, value in self._training.items()
            if path.startswith(prefix)
        }

    def _restore(
        self, owner: str, by_path: Mapping[str, Any], values: Mapping[str, np.ndarray]
    ) -> None:
        for path in dict.fromkeys([*by_path, *values]):
            variable, value = by_path.get(path), values.get(path)
            if variable is None or value is None:
                problem = f"{path} is not in {'the checkpoint' if value is None else 'this run'}"
            else:
                problem = variables.mismatch(path, variable, value)
                dtype = str(keras.backend.standardize_dtype(variable.dtype))
                if not problem and str(value.dtype) != dtype:
                    problem = f"{path} is {value.dtype}, not {variable.dtype}"
            if problem:
                raise ArtifactError(
                    f"checkpoint {self._name} does not fit {owner}: {problem}.",
                    "What trains must be what trained before.",
                )
        for path, variable in by_path.items():
            variable.assign(values[path])


def _values_of_older(
    optimizers: Optimizers, by_path: Mapping[str, Any], values: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """What checkpoints of fmkit 0.2 and before lack, by path.

    They have no averages of statistics, which begin where the statistics are now. Of a window that
    was begun, each batch counts as a whole one.
    """
    older = {}
    for optimizer in optimizers.values():
        inner: Any = getattr(optimizer, "inner_optimizer", optimizer)
        added = {id(variable) for variable in variables_since_0_3(inner)}
        for path, variable in by_path.items():
            if path in values or id(variable) not in added:
                continue
            older[path] = variables.array(variable)
            if variable.name == WINDOW_WEIGHT:
                batches = values.get(path.removesuffix(WINDOW_WEIGHT) + "iteration", np.int64(0))
                size = inner.gradient_accumulation_steps
                older[path] = np.asarray(batches % size, np.float32)
    return older


def running_metrics(model: keras.Model, compiled: Sequence[Any]) -> list[Any]:
    """The running metrics of a compiled model: its loss, then those that it was compiled with.

    Keras lists the latter only when the first step has been traced.
    """
    return [*(metric for metric in model.metrics if metric.name == "loss"), *compiled]


def metric_variables(metrics: Sequence[Any]) -> dict[str, Any]:
    """The variables of metrics by path, below `METRICS` in `training.safetensors`."""
    # By position: Keras' own names of metrics count up over a process.
    return {
        f"{position}/{variable.name}": variable
        for position, metric in enumerate(metrics)
        for variable in metric.variables
    }
