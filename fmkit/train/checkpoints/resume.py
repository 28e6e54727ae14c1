"""How a run goes on from a checkpoint, bit for bit.

A run that goes on from a checkpoint computes what it would have computed without a stop, because
everything that the next step depends on is either a function of the config and of the step (the
order of the examples, their augmentation, the learning rate) or in the checkpoint: every variable
of the network, the states of its random generators among them; every variable of the optimizer
(slots, updates done, gradients that accumulate, the moving average); the running metrics of an
epoch that was cut; and the place: phase, epoch, step, the best so far, patience, rows written.

The same machine and versions are assumed. Elsewhere a run goes on just as well, but floating-point
sums may differ in their last bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from fmkit.core.errors import ArtifactError
from fmkit.train.checkpoints import checkpoint
from fmkit.train.checkpoints import variables as named
from fmkit.train.checkpoints.state import SavedState
from fmkit.train.phases import Phase
from fmkit.train.position import Position

_OPTIMIZER, _RAW, _METRICS = "optimizer/", "raw/", "metrics/"


class RestoredArrays:
    """The arrays of a checkpoint on their way back into a run.

    Args:
        saved: verified.
    """

    def __init__(self, saved: SavedState) -> None:
        self._name = saved.checkpoint.folder.name
        self._weights = checkpoint.read_weights(saved.checkpoint)
        self._training = checkpoint.read_training(saved.checkpoint)

    def put_weights(self, model: keras.Model) -> None:
        """Every variable of the network: the raw ones where there is an average.

        Raises:
            ArtifactError: one is missing or has another shape.
        """
        named.assign(model, {**self._weights, **self._under(_RAW)})

    def put_optimizer(self, optimizer: Any) -> None:
        """Every variable of the optimizer, which must have exactly those of the checkpoint.

        Raises:
            ArtifactError: with the first variable that differs.
        """
        variables = [] if optimizer is None else optimizer.variables
        self._put("the optimizer", named.by_path(variables), self._under(_OPTIMIZER))

    def put_metrics(self, metrics: Sequence[Any]) -> None:
        """The running metrics of an epoch.

        Raises:
            ArtifactError: with the first variable that differs.
        """
        self._put("the metrics", _running(metrics), self._under(_METRICS))

    def _under(self, prefix: str) -> dict[str, np.ndarray]:
        return {
            path.removeprefix(prefix): value
            for path, value in self._training.items()
            if path.startswith(prefix)
        }

    def _put(self, whose: str, variables: dict[str, Any], values: dict[str, np.ndarray]) -> None:
        for path in dict.fromkeys([*variables, *values]):
            wanted, came = variables.get(path), values.get(path)
            if wanted is None or came is None:
                where = "the checkpoint" if came is None else "this run"
                problem = f"{path} is not in {where}"
            elif tuple(came.shape) != tuple(wanted.shape):
                problem = f"{path} is {tuple(came.shape)}, not {tuple(wanted.shape)}"
            elif str(came.dtype) != keras.backend.standardize_dtype(wanted.dtype):
                problem = f"{path} is {came.dtype}, not {wanted.dtype}"
            else:
                continue
            raise ArtifactError(
                f"checkpoint {self._name} does not fit {whose}: {problem}.",
                "What trains must be what trained before.",
            )
        for path, variable in variables.items():
            variable.assign(values[path])


def metrics_of(model: keras.Model, compiled: Sequence[Any]) -> list[Any]:
    """The running metrics of a compiled model: its loss, then those that it was compiled with.

    Keras lists the latter only when the first step has been traced.
    """
    return [*(each for each in model.metrics if each.name == "loss"), *compiled]


def metric_values(metrics: Sequence[Any]) -> dict[str, np.ndarray]:
    """What `Arrays.put_metrics` puts back, to be saved with the rest that only training needs."""
    values = named.tensors
    return {
        f"{_METRICS}{path}": next(iter(values([variable]).values()))
        for path, variable in _running(metrics).items()
    }


def _running(metrics: Sequence[Any]) -> dict[str, Any]:
    # By place: Keras' own names of metrics count up over a process.
    return {
        f"{place}/{variable.name}": variable
        for place, metric in enumerate(metrics)
        for variable in metric.variables
    }


class Continue(keras.callbacks.Callback):
    """Puts the running metrics of a cut epoch back when it begins again; Keras resets them first.

    Args:
        arrays: the checkpoint's.
        metrics: the running metrics.
    """

    def __init__(self, arrays: RestoredArrays, metrics: Sequence[Any]) -> None:
        super().__init__()
        self._arrays, self._metrics = arrays, metrics

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Put them back."""
        self._arrays.put_metrics(self._metrics)


def is_over(phase: Phase, position: Position) -> bool:
    """Whether a phase has nothing left to train: all its steps are done, or patience is at an end.

    Not while its last epoch has yet to be judged.
    """
    if position.phase_step != phase.steps_of(position.epoch):
        return False
    impatient = phase.patience is not None and position.stale >= phase.patience
    return impatient or position.phase_step >= phase.steps
