"""A phase with `solver=lbfgs`: the optimum of a linear head on cached features, at once."""

from typing import Any

import keras
import numpy as np

from fmkit.core import signals
from fmkit.core.errors import ConfigError
from fmkit.train.phase_data import PhaseInputs
from fmkit.train.phases import Phase
from fmkit.train.run_context import RunContext


def solve(context: RunContext, phase: Phase, inputs: PhaseInputs, callbacks: list[Any]) -> None:
    """Solve for the head's weights, on features; it counts as one step and one epoch.

    The callbacks are those of a phase that trains by gradients.

    Raises:
        ConfigError: the task has no such solver, or there is no validation split.
    """
    assembly, model, features = context.assembly, inputs.model, inputs.features
    if features is None or phase.solver not in assembly.task.solvers:
        raise ConfigError(
            f"stage.{phase.name}.solver=lbfgs: the task {assembly.task.name} has no such solver.",
            f"Remove stage.{phase.name}.solver.",
        )
    if inputs.validation is None:
        raise ConfigError(
            f"stage.{phase.name}.solver=lbfgs chooses the L2 strength on the validation split, and "
            "the data has none.",
            "Set data.val_fraction above 0.",
        )
    targets, splits = assembly.task.targets(assembly.examples), assembly.splits
    train, validation = (  # a vector for each example: (N, D) and (N,)
        (np.float32(features.arrays[split][0].tensor(0)), targets[splits[split]])
        for split in ("train", "val")
    )
    weights, record = assembly.task.fit_linear_head(*train, validation)
    context.run.log(f"phase {phase.name}: lbfgs {record}")
    for name, values in weights.items():
        model.get_layer(name).set_weights(values)
    callback_list = keras.callbacks.CallbackList(callbacks, model=model)
    callback_list.on_train_begin()
    callback_list.on_epoch_begin(0)
    context.position.step += 1
    logs = model.evaluate(features.loader.ordered(splits["train"]), verbose=0, return_dict=True)
    metrics = model.evaluate(inputs.validation, verbose=0, return_dict=True)
    logs |= {f"val_{name}": value for name, value in metrics.items()}
    with signals.defer_signals():
        strength = {f"l2_{key}": value for key, value in record.items() if isinstance(value, float)}
        callback_list.on_epoch_end(0, {**logs, **strength})
        callback_list.on_train_end()
