"""What `stage.PHASE.solver` needs of the rest of a config: where a linear head can be solved."""

from collections.abc import Collection, Iterator
from typing import Any

from fmkit.config.registry import task_entry
from fmkit.config.schema.commands import TrainConfig
from fmkit.config.schema.task import JointConfig, RegressionConfig
from fmkit.core.errors import Problem

SOLVERS = ("lbfgs", "cross_validation")
"""Values that find a linear head's optimum on cached features, at once and without gradients."""

ENOUGH_VALIDATION = 500
"""Validation examples from which `auto` trains heads by gradients, without interpolation or refit:
a 95% interval of an accuracy of .9 is narrower than .06 there."""

_OF_GRADIENTS = ("epochs", "learning_rate", "rates", "patience")


def problems(config: TrainConfig) -> Iterator[Problem]:
    """What is in the way of the solvers that a config names."""
    for name, phase in config.stage.items():
        if phase.solver in SOLVERS:
            key = f"stage.{name}.solver"
            for obstacle in _obstacles(config, name):
                yield Problem(key, f"{key}={phase.solver} {obstacle}")


def why_gradient(config: TrainConfig, name: str, user_keys: Collection[str] = ()) -> str:
    """Why `auto` trains a phase by gradients, so far as the config says; empty where it does not.

    Args:
        name: of the phase.
        user_keys: full keys that the user set.
    """
    for key in (f"stage.{name}.{own}" for own in _OF_GRADIENTS):
        if any(f"{chosen}.".startswith(f"{key}.") for chosen in user_keys):
            return f"{key} is set"
    obstacle = next(_obstacles(config, name), "")
    return obstacle and f"a solver {obstacle}"


def solves_all(config: TrainConfig, user_keys: Collection[str] = ()) -> bool:
    """Whether all phases choose by cross-validation, so that no validation split is needed."""
    return all(
        phase.solver == "cross_validation"
        or (phase.solver == "auto" and not why_gradient(config, name, user_keys))
        for name, phase in config.stage.items()
    )


def may_cross_validate(config: TrainConfig, validation: int) -> bool:
    """Whether a phase may choose its head by cross-validation, so far as the config says.

    Args:
        validation: examples of that split.
    """
    return any(
        phase.solver == "cross_validation"
        or (phase.solver == "auto" and validation < ENOUGH_VALIDATION)
        for name, phase in config.stage.items()
        if not next(_obstacles(config, name), "")
    )


def _obstacles(config: TrainConfig, name: str) -> Iterator[str]:
    """What is in the way of solving a phase's head, as the ends of sentences."""
    task: Any = config.task
    if isinstance(task, JointConfig):
        yield "solves one head, and task=joint has several. Leave it out."
        return
    if not task_entry(task.name).learns_columns:
        yield f"needs a task with labels; task.name={task.name} has none. Remove it."
        return
    if isinstance(task, RegressionConfig) and task.loss != "mse":
        yield (
            f"finds the least squares of a regression, and task.loss={task.loss}. Leave one of "
            "them out."
        )
    phase = config.stage[name]
    augment = phase.augment or getattr(config.data, "augment", "none")
    needs = {
        f"stage.{name}.train=head": phase.train == "head",
        f"stage.{name}.augment=none": augment == "none",
        "model.hidden=0": config.model.hidden == 0,
        "task.label_smoothing=0": getattr(task, "label_smoothing", 0) == 0,
        "runtime.cache=auto": config.runtime.cache == "auto",
    }
    if missing := [need for need, is_met in needs.items() if not is_met]:
        what = "fits a linear head to fixed features and whole labels"
        yield f"{what}. It needs {' and '.join(missing)}."
