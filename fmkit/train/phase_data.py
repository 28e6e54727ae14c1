"""What a phase trains, and on what: photos, or features that were kept; compiled for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from fmkit.core import console
from fmkit.core.errors import ArtifactError, ConfigError, ResourceError, received
from fmkit.optim import optimizers, schedules
from fmkit.train import freeze
from fmkit.train.assemble import Assembly
from fmkit.train.checkpoints.state import SavedState
from fmkit.train.features import cache as features
from fmkit.train.features.cache import Features
from fmkit.train.phases import Phase
from fmkit.train.run_context import RunContext
from fmkit.train.task_model import TaskModel

_STEPS_OF_VECTORS, _STEPS_OF_MAPS = 1024, 16
"""Most steps in one call, for features that are a vector and for larger ones."""


@dataclass
class PhaseInputs:
    """What a phase trains, and on what: the whole network on images, or its top on features.

    Attributes:
        batches: from the number of the first step and a count, in the order that the seed says.
        metrics: those that the learner was compiled with.
    """

    learner: TaskModel
    batches: Callable[[int, int], Any]
    validation: Any
    features: Features | None = None
    metrics: list[Any] = field(default_factory=list)


def build_phase_inputs(session: RunContext, phase: Phase) -> PhaseInputs:
    """Features where they are the same in every epoch, else images."""
    assembly, saved = session.assembly, session.saved
    session.progress.begin(phase.name, 1, phase.steps_per_epoch)
    assembly.features = None  # the last phase's go before this one's come
    found = features.prepare(assembly, phase, session.tick)
    if saved is not None:
        _compare_features(session, phase, saved, found)
    assembly.features = None if isinstance(found, str) else found
    train, seed = assembly.splits["train"], assembly.config.runtime.seed
    if isinstance(found, str):
        _without_features(session, phase, found)

        def photos(first: int, steps: int) -> Any:
            return assembly.training_batches(phase, first, steps)

        return PhaseInputs(assembly.learner, photos, assembly.ordered("val"))
    said = f"{phase.name}: features {features.described(found.record)}"
    if session.assembly.config.runtime.verbose:
        console.info(said)
    session.run.log(f"{said} {found.record}")
    known = session.run.status.get("features") or {}
    session.run.update(features={**known, phase.name: found.record})
    validation = assembly.splits.get("val", np.array([], int))
    ordered = found.loader.ordered(validation) if len(validation) else None

    def rows(first: int, steps: int) -> Any:
        return found.loader.train(train, seed, steps, first)

    return PhaseInputs(found.cut.upper, rows, ordered, found)


def _compare_features(
    session: RunContext, phase: Phase, saved: SavedState, found: Features | str
) -> None:
    """Refuse to go on with photos where there were features, or the other way round.

    Raises:
        ArtifactError: that would be another run.
    """
    if isinstance(found, str) != (saved.features is None):
        before, now = "features that were kept", f"photos now: {found}"
        if saved.features is None:
            before, now = "photos", "features that are kept now"
        raise ArtifactError(
            f"phase {phase.name} trained on {before} until step {saved.step}, and would on {now}.",
            "Name a folder that can be written with runtime.cache_dir, or start a new run.",
        )
    if not isinstance(found, str) and found.record["sha256"] != saved.features:
        warned = (
            f"{phase.name}: the features are not those of before, bit for bit (computed by "
            f"{found.record['engine']}); the run goes on, and will not be equal to one without "
            "a stop."
        )
        session.run.log(warned)
        console.warning(warned)


def _without_features(session: RunContext, phase: Phase, reason: str) -> None:
    """Say why a phase that freezes something pays for it in every epoch."""
    if phase.solver == "lbfgs":
        raise ResourceError(
            f"stage.{phase.name}.solver=lbfgs needs features that are kept: {reason}.",
            "Name another folder with runtime.cache_dir=DIR, or add "
            f"stage.{phase.name}.solver=gradient.",
        )
    if phase.train != "all":
        said = f"{phase.name}: the frozen part runs in every epoch: {reason}"
        session.run.log(said)
        if session.assembly.config.runtime.verbose:
            console.info(said)
    if session.assembly.loader.memory_bytes:  # else it would only decode for nothing
        session.assembly.loader.prepare()


def compile_for(assembly: Assembly, phase: Phase, material: PhaseInputs) -> Any:
    """Compile what the phase trains; its optimizer, or None where a solver does without."""
    config, learner = assembly.config, material.learner
    optimizer = None
    if phase.solver == "gradient":
        optimizer = optimizers.build(
            config.optimizer,
            schedule(assembly, phase),
            learner.trainable_variables,
            freeze.multipliers(
                assembly.learner, assembly.backbone, phase, config.optimizer.layer_decay
            ),
            assembly.pretrained,
        )
    metrics = assembly.task.metrics()
    material.metrics = keras.tree.flatten(metrics)  # of a joint task they are by objective
    learner.compile(
        optimizer=optimizer,
        metrics=metrics,
        jit_compile=assembly.devices.jit_compile(),
        steps_per_execution=_steps_per_execution(assembly, phase, material),
    )
    if optimizer is not None:  # as `compile` may have wrapped it, with variables of its own
        learner.optimizer.build(learner.trainable_variables)
    return learner.optimizer


def _steps_per_execution(assembly: Assembly, phase: Phase, material: PhaseInputs) -> int:
    """How many steps one call makes: on features an epoch, or the largest part of it that is even.

    Live steps take long enough for a call each, and a signal is heard only between calls. Several
    devices get a call a step, for Keras 3.15 cannot loop over replicas.
    """
    several = len(assembly.devices.names) > 1
    if material.features is None or several or assembly.config.runtime.log_every:
        return 1
    most = _STEPS_OF_VECTORS if material.features.cut.row_values <= 2**14 else _STEPS_OF_MAPS
    steps = min(phase.steps, phase.steps_per_epoch)
    return max(each for each in range(1, min(most, steps) + 1) if steps % each == 0)


def schedule(assembly: Assembly, phase: Phase) -> schedules.Schedule:
    """A phase's learning rates, by update: a few accumulated batches make one."""
    config = assembly.config.optimizer
    if phase.solver == "gradient" and phase.steps < config.accumulation:
        raise ConfigError(
            received(
                "optimizer.accumulation",
                config.accumulation,
                f"at most {phase.steps}, the batches of phase {phase.name}",
            )
        )
    updates = max(1, phase.steps // config.accumulation)
    per_epoch = max(1, phase.steps_per_epoch // config.accumulation)
    return schedules.from_config(config, phase.learning_rate, updates, per_epoch)


def rate_at(assembly: Assembly, phase: Phase, step: int) -> float:
    """The learning rate of the update after `step` steps of a phase."""
    update = min(step, phase.steps) // assembly.config.optimizer.accumulation
    return float(keras.ops.convert_to_numpy(schedule(assembly, phase)(update)))
