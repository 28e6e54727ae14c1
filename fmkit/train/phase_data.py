"""What a phase trains, and on what: the whole network on inputs, or its top on cached features."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import keras

from fmkit.config.schema.optimizer import OptimizerConfig
from fmkit.core import console
from fmkit.core.errors import ArtifactError, ConfigError, ResourceError, received
from fmkit.core.modalities import modality_entry
from fmkit.optim import schedules
from fmkit.optim.rescaling import Rescaling
from fmkit.optim.update_rule import UpdateRule
from fmkit.optim.windows import UpdateWindows
from fmkit.train import freeze
from fmkit.train.assemble import Assembly
from fmkit.train.checkpoints.resume import SavedState
from fmkit.train.features import cache as features_cache
from fmkit.train.features.cache import Features
from fmkit.train.phases import Phase
from fmkit.train.run_context import RunContext
from fmkit.train.task_model import TaskModel

_MAX_STEPS_OF_VECTORS, _MAX_STEPS_OF_MAPS = 1024, 16
"""Most steps in one call, for features that are a vector and for larger ones."""
_MAX_VECTOR_VALUES = 2**14


@dataclass
class PhaseInputs:
    """What a phase trains, and on what.

    Attributes:
        model: the whole network, or its top where the phase trains on cached features.
        training_batches: from the number of the first step and a count, in the order of the seed.
        validation: batches in order, or None.
        features: what is trained on in place of the inputs, or None.
        schedule: of the learning rate, by update; None where a solver trains.
        metrics: those that the model was compiled with.
    """

    model: TaskModel
    training_batches: Callable[[int, int], Any]
    validation: Any
    features: Features | None = None
    schedule: schedules.Schedule | None = None
    metrics: list[Any] = field(default_factory=list)

    @property
    def features_seconds(self) -> float:
        """What computing the features took now; 0 where they were read, or there are none."""
        return 0.0 if self.features is None else float(self.features.record["seconds"])


def build_phase_inputs(context: RunContext, phase: Phase) -> PhaseInputs:
    """Cached features where they are the same in every epoch, else the inputs themselves."""
    assembly = context.assembly
    context.progress.begin(phase.name, 1, phase.steps_per_epoch)
    assembly.features = None  # frees the last phase's memory before this one's are read
    with context.progress.announce_slow("computing the features of what is frozen, once"):
        features = features_cache.prepare(assembly, phase, context.on_features_batch)
    if context.saved is not None:
        _compare_features(context, phase, context.saved, features)
    if isinstance(features, str):
        _report_no_features(context, phase, reason=features)
        input_batches = partial(assembly.training_batches, phase)
        validation = None if phase.refit_of else assembly.ordered("val")
        return PhaseInputs(assembly.model, input_batches, validation)
    assembly.features = features
    modality = modality_entry(assembly.backbone.modality)
    context.report(f"{phase.name}: {features_cache.describe(features.record, modality)}")
    context.run.log(f"features of {phase.name}: {features.record}")
    records = context.run.status.get("features") or {}
    context.run.update(features={**records, phase.name: features.record})
    train, seed = assembly.examples_of(phase), assembly.config.runtime.seed
    held_out: Any = () if phase.refit_of else assembly.splits.get("val", ())
    return PhaseInputs(
        features.graph_split.upper,
        lambda first_step, steps: features.loader.train(train, seed, steps, first_step),
        features.loader.ordered(held_out) if len(held_out) else None,
        features,
    )


def _compare_features(
    context: RunContext, phase: Phase, saved: SavedState, features: Features | str
) -> None:
    """Refuse to resume on inputs where there were features, or the other way round."""
    if isinstance(features, str) != (saved.features is None):
        before, now = "cached features", f"the inputs now: {features}"
        if saved.features is None:
            before, now = "the inputs", "cached features now"
        raise ArtifactError(
            f"phase {phase.name} trained on {before} until step {saved.step}, and would on {now}.",
            "Name a folder that can be written with runtime.cache_dir, or start a new run.",
        )
    if not isinstance(features, str) and features.record["sha256"] != saved.features:
        warning = (
            f"{phase.name}: the features differ from those before the stop in their last bits "
            f"(computed by {features.record['engine']}); the run resumes, and will not be equal "
            "bit for bit to one without a stop."
        )
        context.run.log(warning)
        console.warning(warning)


def _report_no_features(context: RunContext, phase: Phase, reason: str) -> None:
    """Say why a phase runs what it freezes in every epoch."""
    if phase.is_solved:
        raise ResourceError(
            f"stage.{phase.name}.solver={phase.solver} needs cached features: {reason}.",
            "Name another folder with runtime.cache_dir=DIR, or add "
            f"stage.{phase.name}.solver=gradient.",
        )
    if phase.train != "all":
        context.report(f"{phase.name}: the frozen part runs in every epoch: {reason}")
    if context.assembly.loader.memory_bytes:  # else decoding ahead would keep nothing
        context.assembly.loader.prepare()


def compile_for(
    assembly: Assembly, phase: Phase, inputs: PhaseInputs, counts_answers: bool = False
) -> None:
    """Compile what the phase trains: with its update rule, or without where a solver trains.

    Args:
        counts_answers: the model is to record which examples its steps answered right.
    """
    config, model = assembly.config, inputs.model
    model.update_rule = assembly.task.update_rule() or UpdateRule()
    assembly.task.smooth_labels(phase.label_smoothing)
    if not phase.is_solved:
        multipliers = freeze.multipliers(
            assembly.model, assembly.backbone, phase, config.optimizer.layer_decay
        )
        inputs.schedule = schedule(assembly, phase)
        model.update_rule.build(
            model, config.optimizer, inputs.schedule, multipliers, assembly.pretrained,
            windows(assembly.config.optimizer, phase),
        )  # fmt: skip
        model.whole_batch = None
        if config.optimizer.accumulation > 1 or len(assembly.devices.names) > 1:
            model.whole_batch = config.data.batch_size
    model.training_answers.resize(
        phase.steps_per_epoch if counts_answers else 0, assembly.config.data.batch_size
    )
    metrics = assembly.task.metrics()
    inputs.metrics = keras.tree.flatten(metrics)  # those of a joint task are by objective
    model.compile(
        # Keras knows one: its learning rate is the one that is recorded.
        optimizer=next(iter(model.optimizers.values()), None),
        metrics=metrics,
        jit_compile=assembly.devices.jit_compile(),
        steps_per_execution=_steps_per_execution(assembly, phase, inputs),
    )


def _steps_per_execution(assembly: Assembly, phase: Phase, inputs: PhaseInputs) -> int:
    """Steps of one call: on features an epoch, or the largest part of it that divides it.

    Steps of the whole network take long enough for a call each, and a signal acts only between
    calls. Several devices get a call a step, since Keras 3.15 cannot loop over replicas.
    """
    several = len(assembly.devices.names) > 1
    if inputs.features is None or several or assembly.config.runtime.log_every:
        return 1
    is_vector = inputs.features.graph_split.row_values <= _MAX_VECTOR_VALUES
    most = _MAX_STEPS_OF_VECTORS if is_vector else _MAX_STEPS_OF_MAPS
    steps = min(phase.steps, phase.steps_per_epoch)
    return max(count for count in range(1, min(most, steps) + 1) if steps % count == 0)


def schedule(assembly: Assembly, phase: Phase) -> schedules.Schedule:
    """A phase's learning rate by update; ConfigError if one update takes more than its batches."""
    config = assembly.config.optimizer
    if not phase.is_solved and phase.whole_length < config.accumulation:
        raise ConfigError(
            received(
                "optimizer.accumulation",
                config.accumulation,
                f"at most {phase.whole_length}, the batches of phase {phase.name}",
            )
        )
    whole = schedule_windows(config, phase)
    result = schedules.from_config(config, phase.learning_rate, whole.updates, whole.per_epoch)
    if assembly.config.runtime.time_limit or phase.changes:
        result.rescaling = Rescaling()
        for change in phase.changes:
            result.rescaling.change(*map(whole.updates_after, change))
    return result


def schedule_windows(config: OptimizerConfig, phase: Phase) -> UpdateWindows:
    """Which batches make an update together, over the length that the schedule is for."""
    own = windows(config, phase)
    return dataclasses.replace(own, total=phase.schedule_steps or own.total)


def windows(config: OptimizerConfig, phase: Phase) -> UpdateWindows:
    """Which batches of a phase make an update together; a time limit ends it with one of them."""
    return UpdateWindows(config.accumulation, phase.steps_per_epoch, phase.whole_length)


def learning_rate_at(assembly: Assembly, phase: Phase, step: int) -> float:
    """The learning rate of the update after `step` steps of a phase."""
    update = windows(assembly.config.optimizer, phase).updates_after(min(step, phase.steps))
    return float(keras.ops.convert_to_numpy(schedule(assembly, phase)(update)))
