"""`stage.PHASE.solver=auto`: whether a phase's head is solved, or trains by gradients."""

import dataclasses
import os
from collections.abc import Collection, Iterator

from fmkit.config import solvers
from fmkit.core.errors import ConfigError
from fmkit.data.stratify import strata
from fmkit.tasks import cross_validation
from fmkit.train import freeze
from fmkit.train.assemble import Assembly
from fmkit.train.cache_store import open_store
from fmkit.train.features import cache, graph_cut
from fmkit.train.phases import Phase


def settle(assembly: Assembly, user_keys: Collection[str] = ()) -> list[str]:
    """Replace each `auto` in the config and in the phases; lines for the log that say why.

    Args:
        user_keys: full keys that the user set. Who sets the length or the rate of a phase means one
            that trains by gradients.

    Raises:
        ConfigError: a phase must train by gradients, and there is nothing to validate it on.
    """
    config, lines = assembly.config, []
    for number, phase in enumerate(assembly.phases):
        if phase.solver != "auto":
            continue
        reason = next(_reasons(assembly, phase, user_keys), "")
        solver, steps = ("gradient", phase.steps) if reason else ("cross_validation", 1)
        config.stage[phase.name] = dataclasses.replace(config.stage[phase.name], solver=solver)
        assembly.phases[number] = dataclasses.replace(phase, solver=solver, steps=steps)
        if reason and phase.name not in assembly.skipped:
            lines.append(f"{phase.name}: trains by gradients (solver=auto): {reason}")
    has_validation = bool(len(assembly.splits.get("val", ())))
    if solvers.solves_all(config):
        # A solved head is fitted to all at no cost, whatever its backbone.
        assembly.refit = has_validation and config.data.refit != "false"
    elif lines and not has_validation and config.task.monitor.startswith("val_"):
        raise ConfigError(
            f"task.monitor={config.task.monitor} needs a validation split, and the data has none; "
            f"{lines[0]}.",
            "Set data.val_fraction above 0, or task.monitor=loss.",
        )
    return lines


def _reasons(assembly: Assembly, phase: Phase, user_keys: Collection[str]) -> Iterator[str]:
    """Why a phase trains by gradients, the cheapest to find first."""
    config, splits = assembly.config, assembly.splits
    if reason := assembly.skipped.get(phase.name):
        yield reason
    if reason := solvers.why_gradient(config, phase.name, user_keys):
        yield reason
    if "cross_validation" not in assembly.task.solvers:
        yield f"the task {assembly.task.name} has no solver"
    if (count := len(splits.get("val", ()))) >= solvers.ENOUGH_VALIDATION:
        yield f"{count:,} validation examples are enough to choose by"
        return
    stratum, groups = strata(assembly.examples)[0], assembly.examples.groups
    fitted = [splits[name] for name in ("train", "val") if name in splits]
    positions = [position for part in fitted for position in part.tolist()]
    if reason := cross_validation.problem_with(
        stratum[positions], None if groups is None else groups[positions]
    ):
        yield reason
    folder = open_store(config.runtime).folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        yield f"the cache {folder} cannot be written ({error.strerror or error})"
    if not os.access(folder, os.W_OK):
        yield f"the cache {folder} cannot be written"
    freeze.apply(assembly.model, assembly.backbone, phase)
    graph_cut.freeze_inference(assembly.model)
    graph_split = cache.find_split(assembly, phase)
    if isinstance(graph_split, str):
        yield graph_split
    elif [len(shape) for shape in graph_split.shapes] != [1]:
        yield "its features are more than one vector an example"
