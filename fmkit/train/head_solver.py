"""A phase whose head is solved: the optimum of a linear head on cached features, at once.

`solver=cross_validation` chooses scaling and L2 strength by folds of all that is not the test
split, `solver=lbfgs` the strength on the validation split. `refit` solves at a choice that was
made.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from fmkit.core import signals
from fmkit.core.errors import ConfigError, DataError, join_names
from fmkit.data.stratify import strata
from fmkit.models import heads
from fmkit.store import out_of_fold
from fmkit.tasks import cross_validation, linear_probe, linear_problems
from fmkit.tasks.cross_validation import CrossValidation
from fmkit.train import head_temperature
from fmkit.train.assemble import Assembly
from fmkit.train.phase_data import PhaseInputs
from fmkit.train.phases import Phase
from fmkit.train.run_context import RunContext

_LAYER = "logits"  # the last one of a head
_DESCRIPTIONS = {
    "standardised": "standardised",
    "none": "in one scale",
    "unit": "at one length",
}


def solve(context: RunContext, phase: Phase, inputs: PhaseInputs, callbacks: list[Any]) -> None:
    """Solve for the head's weights, on features; it counts as one step and one epoch.

    The callbacks are those of a phase that trains by gradients. With `cross_validation` the
    validation figures are out of fold.

    Raises:
        ConfigError: the task has no such solver, or there is no validation split to choose by.
        DataError: the examples cannot be divided into folds.
    """
    assembly = context.assembly
    if inputs.features is None or phase.solver not in assembly.task.solvers:
        raise ConfigError(
            f"stage.{phase.name}.solver={phase.solver}: the task {assembly.task.name} has no such "
            "solver.",
            f"Remove stage.{phase.name}.solver.",
        )
    with context.progress.announce_slow("choosing the L2 strength of the head"):
        validation: dict[str, float] = {}
        if phase.refit_of:
            record = {**context.run.status["solvers"][phase.refit_of], "fitted_on": phase.splits}
        elif phase.solver == "cross_validation":
            record, validation = _cross_validate(context, phase, inputs)
        else:
            record = _choose_on_validation(context, phase, inputs)
        refit(context, phase, inputs, record, record["fitted_on"])
        if not phase.refit_of and head_temperature.is_wanted(context.assembly, phase):
            record["temperature"] = _temperature(context, inputs, record)
    records = context.run.status.get("solvers") or {}
    context.run.update(solvers={**records, phase.name: record})
    context.run.log(f"phase {phase.name}: {record}")
    model = inputs.model
    callback_list = keras.callbacks.CallbackList(callbacks, model=model)
    callback_list.on_train_begin()
    callback_list.on_epoch_begin(0)
    context.position.step += 1
    train = inputs.features.loader.ordered(assembly.splits["train"])
    logs = model.evaluate(train, verbose=0, return_dict=True)
    if not validation and inputs.validation is not None:
        validation = model.evaluate(inputs.validation, verbose=0, return_dict=True)
    logs |= {f"val_{name}": value for name, value in validation.items()}
    with signals.defer_signals():
        strength = {f"l2_{name}": record[name] for name in ("C", "alpha") if name in record}
        callback_list.on_epoch_end(0, {**logs, **strength})
        callback_list.on_train_end()


def _temperature(context: RunContext, inputs: PhaseInputs, record: dict[str, Any]) -> float:
    """What the head's logits are divided by before what follows trains."""
    assembly = context.assembly
    if "out_of_fold" not in record:
        return 1.0
    positions = assembly.splits["train"]
    problem = assembly.task.linear_problem(_targets(assembly, positions))
    rows = np.arange(len(positions))
    logits = inputs.model.predict(inputs.features.loader.ordered(positions), verbose=0)  # type: ignore[union-attr]

    def loss(outputs: np.ndarray) -> float:
        return float(problem.metrics(outputs, rows)["loss"].mean())

    return head_temperature.solve(loss, logits, record["out_of_fold"]["loss"])


def refit(
    context: RunContext, phase: Phase, inputs: PhaseInputs, record: dict[str, Any],
    splits: Sequence[str],
) -> None:  # fmt: skip
    """Solve the head of `inputs.model` at the choice on record, for the examples of some splits.

    Args:
        phase: whose features `inputs` has.
        record: `scaling`, `strength` and `factor`, as the run's status has them under `solvers`;
            those of 0.4 have no factor.
        splits: names of splits; those that the data lacks are left out.
    """
    features, positions = _gather(context.assembly, inputs, splits)
    problem = context.assembly.task.linear_problem(_targets(context.assembly, positions))
    weights = linear_probe.fit(
        problem, features, record["scaling"], record["strength"], factor=record.get("factor", 1.0)
    )
    inputs.model.get_layer(_LAYER).set_weights(weights)
    if layer := heads.fixed_length(inputs.model):
        everything = np.arange(len(features))
        layer.length.assign(linear_problems.length_of(features, everything, record["scaling"]))


def _gather(
    assembly: Assembly, inputs: PhaseInputs, splits: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, D) of the examples of some splits, and the examples' positions."""
    names = [name for name in splits if len(assembly.splits.get(name, ()))]
    arrays = inputs.features.arrays  # type: ignore[union-attr]  # a solver has features
    features = np.concatenate([np.float32(arrays[name][0].tensor(0)) for name in names])
    return features, np.concatenate([assembly.splits[name] for name in names])


def _scalings(assembly: Assembly) -> tuple[str, ...]:
    """The scalings that the network can compute."""
    at_one_length = {"auto": (False, True), "none": (False,), "unit": (True,)}
    allowed = at_one_length[assembly.config.model.normalize]
    return tuple(name for name in linear_problems.SCALINGS if (name == "unit") in allowed)


def _targets(assembly: Assembly, positions: np.ndarray) -> np.ndarray:
    return np.asarray(assembly.task.targets(assembly.examples)[positions])


def _choose_on_validation(context: RunContext, phase: Phase, inputs: PhaseInputs) -> dict[str, Any]:
    """The L2 strength with the lowest validation loss, of features in the first scaling."""
    assembly = context.assembly
    if inputs.validation is None:
        raise ConfigError(
            f"stage.{phase.name}.solver=lbfgs chooses the L2 strength on the validation split, and "
            "the data has none.",
            f"Set data.val_fraction above 0, or stage.{phase.name}.solver=cross_validation.",
        )
    features, positions = _gather(assembly, inputs, ["train", "val"])
    problem = assembly.task.linear_problem(_targets(assembly, positions))
    train, held_out = np.split(np.arange(len(positions)), [len(assembly.splits["train"])])
    scalings = _scalings(assembly)[:1]
    choice = linear_probe.choose(problem, features, [(train, held_out)], scalings)
    return {"solver": phase.solver, "fitted_on": ["train"], **linear_probe.record(problem, choice)}


def _cross_validate(
    context: RunContext, phase: Phase, inputs: PhaseInputs
) -> tuple[dict[str, Any], dict[str, float]]:
    """A choice by folds of train and val, for the record, and its figures out of fold.

    The head is fitted to both where nothing trains after it, unless `data.refit` is false. Else it
    is fitted to train alone, so that the validation of what follows is one on unseen examples.
    """
    assembly = context.assembly
    splits = [name for name in ("train", "val") if len(assembly.splits.get(name, ()))]
    features, positions = _gather(assembly, inputs, splits)
    stratum, groups = strata(assembly.examples)[0][positions], assembly.examples.groups
    groups = None if groups is None else groups[positions]
    if problem := cross_validation.problem_with(stratum, groups):
        raise DataError(
            f"stage.{phase.name}.solver=cross_validation: {problem}.",
            f"Add examples, or take stage.{phase.name}.solver=gradient.",
        )
    result = cross_validation.choose(
        assembly.task.linear_problem(_targets(assembly, positions)),
        features, stratum, groups, assembly.config.runtime.seed, _scalings(assembly),
    )  # fmt: skip
    following = assembly.phases[assembly.phases.index(phase) + 1 :]
    trains_later = any(
        not later.is_solved and later.name not in assembly.skipped for later in following
    )
    fits_all = not trains_later and (assembly.refit or "val" not in splits)
    if fits_all:
        out_of_fold.save(context.run.folder, positions, result.outputs)
    record = {
        "solver": phase.solver,
        "fitted_on": splits if fits_all else ["train"],
        "chosen_on": splits,
        **result.record,
    }
    context.report(f"{phase.name}: {describe(record)}")
    return record, _all_metrics(assembly, positions, result)


def _all_metrics(
    assembly: Assembly, positions: np.ndarray, result: CrossValidation
) -> dict[str, float]:
    """The loss and the task's metrics out of fold, by name."""
    targets = _targets(assembly, positions)
    if assembly.task.num_classes is not None:
        targets = np.eye(assembly.task.num_classes, dtype=np.float32)[targets]
    metrics = {"loss": result.metrics["loss"]}
    for metric in assembly.task.metrics():
        metric.update_state(targets, result.outputs.astype(np.float32))
        metrics[metric.name] = float(metric.result())
    return metrics


def describe(record: dict[str, Any]) -> str:
    """A choice by cross-validation as a line for people."""
    name = "C" if "C" in record else "alpha"
    shown = []
    for metric, value in record["out_of_fold"].items():
        low, high = record["intervals"][metric]
        shown.append(f"{metric} {value:.4f} (95% {low:.4f} to {high:.4f})")
    folds = f"{record['folds']} folds"
    folds += f" x {record['repeats']}" if record["repeats"] > 1 else ""
    scaling = _DESCRIPTIONS[record["scaling"]]
    scaling += f", logits times {record['factor']:.3g}" if record["factor"] > 1 else ""
    return (
        f"{name} {record[name]:.3g} and features {scaling}, chosen by {folds} of "
        f"{record['examples']:,} examples ({join_names(record['chosen_on'])}); out of fold "
        f"{', '.join(shown)}; fitted to {join_names(record['fitted_on'])}"
    )
