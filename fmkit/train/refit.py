"""The last training of a run: on all that is not the test split, as validation has chosen it.

With few examples, those held out for validation are worth more as training examples once they have
done their work: how long to train, and how much of it to keep. So the phases up to the best one are
repeated from the run's first weights, on the training and validation splits together, each with as
many updates as its best epoch had and the same learning rates. Nothing is validated any more; the
run's validation figures are those of the model before.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from fmkit.config import solvers
from fmkit.config.registry import task_entry
from fmkit.config.schema.commands import TrainConfig
from fmkit.core.errors import ConfigError, plural
from fmkit.store import run_dir
from fmkit.train.phases import Phase, Position

SPLITS = ("train", "val")


def resolve_auto(
    config: TrainConfig, splits: Mapping[str, np.ndarray], pretrained: bool
) -> tuple[bool, list[str]]:
    """Whether a run is refitted, and the phases at whose end weights in between are tried.

    Args:
        pretrained: whether the backbone's weights come from elsewhere. A run from random weights
            trains for long, and a second time would take as long again.

    Raises:
        ConfigError: one of them is required, and there is no validation split.
    """
    validation = len(splits.get("val", ()))
    keys = {f"stage.{name}.interpolate": phase.interpolate for name, phase in config.stage.items()}
    keys["data.refit"] = config.data.refit
    required = [key for key, value in keys.items() if value == "true"]
    if required and not validation:
        raise ConfigError(
            f"{required[0]}=true goes by the validation split, and the data has none.",
            f"Set data.val_fraction above 0, or {required[0]}=false.",
        )
    is_small = 0 < validation < solvers.ENOUGH_VALIDATION and pretrained
    is_small = is_small and task_entry(config.task.name).learns_columns
    meaning = {"auto": is_small, "true": validation > 0, "false": False}
    interpolated = [
        name
        for number, (name, phase) in enumerate(config.stage.items())
        if meaning[phase.interpolate] and (number > 0 or config.init is not None)
    ]
    return meaning[config.data.refit], interpolated


def plan(phases: Sequence[Phase], position: Position, steps_per_epoch: int) -> list[Phase]:
    """The phases of the refit, in order; none where nothing that was trained is kept.

    Args:
        phases: of the stage.
        position: at their end.
        steps_per_epoch: batches in one pass over the training and validation splits.
    """
    if all(phase.solver == "cross_validation" for phase in phases):
        return []  # which has fitted the head to all
    results = {result["name"]: result for result in position.results}
    repeated = []
    for phase in phases:
        best = results[phase.name]["best"]
        share = (best or {}).get("share", 1.0)
        if best is not None and share > 0:
            repeated.append(
                dataclasses.replace(
                    phase,
                    name=run_dir.REFIT + phase.name,
                    refit_of=phase.name,
                    splits=SPLITS,
                    steps=phase.steps_after(best["epoch"]),
                    schedule_steps=phase.whole_length,
                    first_length=None,
                    steps_per_epoch=steps_per_epoch,
                    patience=None,
                    interpolate=share < 1,
                    share=share,
                )
            )
        if position.best is not None and phase.name == position.best["phase"]:
            break
    return repeated


def describe(phases: Sequence[Phase], examples: int) -> str:
    """What the refit does, in a line for people."""
    lengths = ", ".join(
        f"{phase.refit_of} {plural(phase.steps, 'step')}" if not phase.is_solved else phase.refit_of
        for phase in phases
    )
    return f"refit: trains again on all {examples:,} training and validation examples ({lengths})"
