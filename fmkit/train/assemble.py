"""Joins data, model, task and machine into what the loop trains."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fmkit.config import objectives as objectives_config
from fmkit.config import solvers
from fmkit.config.registry import task_entry
from fmkit.config.schema.commands import TrainConfig
from fmkit.config.schema.task import JointConfig
from fmkit.core import registry
from fmkit.core.modalities import modality_entry
from fmkit.core.types import DataSpec
from fmkit.data.dataset import Dataset
from fmkit.data.examples import Examples
from fmkit.models.backbone import Backbone
from fmkit.optim import rates
from fmkit.optim.optimizers import is_decayed
from fmkit.store.run_reader import RunReader
from fmkit.train import (
    build_model,
    devices,
    freeze,
    init_from_run,
    objective,
    phases,
    refit,
    task_data,
)
from fmkit.train import reference_outputs as reference
from fmkit.train.objective import Objective
from fmkit.train.phases import Phase
from fmkit.train.reference_outputs import Reference
from fmkit.train.task_model import TaskModel


@dataclass
class Assembly:
    """Everything a run needs, joined.

    Attributes:
        loader: batches of what trains; of a joint run a `JointLoader`.
        skipped: by phase, why it does not run.
        started_from: where the weights came from, for the record.
        pretrained: what L2-SP pulls the backbone's variables to, by their id; empty without it.
        features: what the last phase trained on instead of the inputs, or None.
        flat_config: the config as it was recorded, by full key; goes into every checkpoint.
        refit: whether the run ends by training on the validation split, too.
        objectives: of a joint run, the primary one first, whose data and spec are the run's; empty
            where there is one task.
        reference: the network at the start, where the task compares with it, or None.
    """

    config: TrainConfig
    devices: devices.Devices
    examples: Examples
    splits: dict[str, np.ndarray]
    spec: DataSpec
    loader: Any
    backbone: Backbone
    task: Any
    model: TaskModel
    phases: list[Phase]
    skipped: dict[str, str] = field(default_factory=dict)
    started_from: dict[str, Any] = field(default_factory=dict)
    pretrained: dict[int, keras.Variable] = field(default_factory=dict)
    features: Any = None
    flat_config: dict[str, Any] = field(default_factory=dict)
    objectives: tuple[Objective, ...] = ()
    reference: Reference | None = None
    refit: bool = False

    def scope(self) -> contextlib.AbstractContextManager[None]:
        """Where models are compiled and trained."""
        return devices.scope(self.devices)

    def training_batches(self, phase: Phase, first_step: int, steps: int) -> Any:
        """Batches of a phase from a step of the run on, in the order of the seed and that step."""
        examples, seed = self.examples_of(phase), self.config.runtime.seed
        return self.loader.train(examples, seed, steps, first_step, phase.augment)

    def examples_of(self, phase: Phase) -> np.ndarray:
        """Positions of the examples that a phase trains on, ascending."""
        return np.sort(np.concatenate([self.splits[name] for name in phase.splits]))

    def ordered(self, split: str) -> Any:
        """A split's batches in order, or None when it has no example."""
        if self.objectives:  # `JointTaskModel` reads each one's own: any tells Keras to validate
            batches = (objective.ordered(split) for objective in self.objectives)
            return next((dataset for dataset in batches if dataset is not None), None)
        indices = self.splits.get(split)
        return None if indices is None or not len(indices) else self.loader.ordered(indices)

    def example_ids(self, phase: Phase, step: int) -> list[str]:
        """The examples of a training step of a phase, counted from 0 over all phases."""
        seed, ids = self.config.runtime.seed, {"": self.examples.ids}
        ids |= {objective.name: objective.data.examples.ids for objective in self.objectives}
        positions = self.loader.positions(self.examples_of(phase), seed, step)
        return [ids[name][index] for name, indices in positions.items() for index in indices]

    def evaluated(self) -> list[Objective]:
        """What is evaluated by itself: each objective, or the whole, perhaps on cached features."""
        if self.objectives:
            return list(self.objectives)
        model, loader = self.model, self.loader
        if self.features is not None:
            model, loader = self.features.graph_split.upper, self.features.loader
        data = Dataset(self.examples, self.splits, self.spec)
        return [Objective("", self.config.data, self.task, model, loader, data)]

    @property
    def needs_first_weights(self) -> bool:
        """Whether a phase needs the weights that the run starts from at its end, or after it."""
        first = next((phase for phase in self.phases if phase.name not in self.skipped), None)
        return self.refit or (first is not None and first.interpolate)

    @contextlib.contextmanager
    def explained_errors(self) -> Iterator[None]:
        """Turn a failure inside the input pipeline into one that names the file."""
        try:
            yield
        except Exception as error:
            explained = self.loader.data_error(error)
            if explained is None:
                raise
            raise explained from error


def assemble(
    config: TrainConfig,
    data: Dataset,
    machine: devices.Devices,
    saved: Any = None,
    others: Mapping[str, Dataset] | None = None,
    is_new: bool = True,
) -> Assembly:
    """Build model and task, open the data, load weights from the first of these that applies.

    1. `saved`: a `SavedState`; the loop takes all from its checkpoint. L2-SP, a refit, and a task
       that compares with the model of the start, need what they were then, so that there the
       others are loaded all the same.
    2. `init`: a finished run. The head too, when it was trained for the same classes.
    3. `model.weights`: the backbone's own; the head is new.
    4. Random ones.

    Args:
        data: what to train on; of a joint run, the primary objective's.
        others: of a joint run, the data of the other objectives.
        is_new: not a run that is resumed, with a checkpoint or before its first one: that has the
            network that its config led to when it was started.
    """
    loads = saved is None or _needs_first_weights(config)
    if is_new and saved is None:
        _settle_normalize(config, len(data.splits.get("val", ())))
    with devices.scope(machine):
        backbone, task, model, joint = _build(config, data, others or {}, with_weights=loads)
        task_data.check_monitor(config.task, task)
        parts = joint or (Objective("", config.data, task, model, None, data),)
        for part in parts:
            part.data = task_data.prepare_for_task(
                part.config, config.runtime, part.data, part.task, backbone
            )
            examples = len(part.data.splits["train"])
            devices.check_batches(machine, part.task, examples, part.config.batch_size)
        data = parts[0].data
        has_learned = config.init is not None or backbone.weights != "none"
        refits, interpolated = refit.resolve_auto(config, data.splits, has_learned)
        steps = -(-len(data.splits["train"]) // config.data.batch_size)
        smoothing = getattr(config.task, "label_smoothing", 0.0)
        divides_logits = (
            modality_entry(backbone.modality).has_head_temperature
            and task.has_logits
            and any(phase.solver == "cross_validation" for phase in config.stage.values())
        )
        planned = phases.plan(
            config.stage, config.optimizer, steps, interpolated, smoothing, divides_logits
        )
        freeze.check(model, backbone, planned)
        skipped: dict[str, str] = {}
        started_from: dict[str, Any] = {"weights": backbone.weights}
        if config.init is not None and loads:
            skipped, started_from = init_from_run.start_from(
                RunReader(Path(config.init)), config, parts, backbone, model, planned
            )
        skipped = _phases_without_weights(model, backbone, planned) | skipped
        pretrained = _copies_of_decayed(backbone) if config.optimizer.l2_sp else {}
    loader = objective.open_loader(config.runtime, parts, backbone)
    for phase in planned:
        loader.check_augment(phase.augment)
    assembly = Assembly(
        config, machine, data.examples, data.splits, data.spec, loader, backbone, task,
        model, planned, skipped if saved is None else saved.skipped, started_from, pretrained,
        objectives=joint, refit=refits,
    )  # fmt: skip
    if task.needs_reference:
        _compute_reference(assembly)
    return assembly


def _settle_normalize(config: TrainConfig, validation: int) -> None:
    """Let `model.normalize=auto` be `none` where no cross-validation would choose."""
    is_open = config.model.normalize == "auto" and config.init is None
    if is_open and not solvers.may_cross_validate(config, validation):
        config.model.normalize = "none"


def _phases_without_weights(
    model: keras.Model, backbone: Backbone, planned: Sequence[Phase]
) -> dict[str, str]:
    """Phases of a head that has nothing to learn, each with the reason; embeddings give scores."""
    names = [phase.name for phase in planned if phase.train == "head"]
    if len(names) == len(planned) or freeze.weights_by_block(model, backbone)[rates.HEAD]:
        return {}
    return dict.fromkeys(names, "the head has no weights of its own")


def _needs_first_weights(config: TrainConfig) -> bool:
    """Whether a run that is resumed has to know the weights that it started from."""
    task_class = registry.load(task_entry(config.task.name).task)
    interpolates = any(phase.interpolate == "true" for phase in config.stage.values())
    return (
        config.optimizer.l2_sp > 0
        or getattr(task_class, "needs_reference", False)
        or config.data.refit == "true"
        or (interpolates and config.init is not None)
    )


def _build(
    config: TrainConfig, data: Dataset, others: Mapping[str, Dataset], with_weights: bool
) -> tuple[Backbone, Any, TaskModel, tuple[Objective, ...]]:
    """Backbone, task, network, and the objectives of a joint run."""
    model_config = config.model
    if not with_weights:
        model_config = dataclasses.replace(model_config, weights="none")
    if isinstance(config.task, JointConfig):
        datasets = {objectives_config.primary(config.task): data, **others}
        return objective.build_joint(model_config, config.task, datasets)
    return *build_model.build_model(model_config, config.task, data.spec), ()


def _copies_of_decayed(backbone: Backbone) -> dict[int, keras.Variable]:
    """The values now of what weight decay applies to, by the ids of the variables that train."""
    return {
        id(weight): keras.Variable(
            keras.ops.copy(keras.ops.convert_to_tensor(weight)),
            trainable=False,
            dtype=weight.dtype,
            name=f"pretrained_{weight.name}",
        )
        for weight in backbone.model.weights
        if is_decayed(weight)
    }


def _compute_reference(assembly: Assembly) -> None:
    """Give the task the network's outputs at the start; the loader then has their targets."""
    config, backbone, model = assembly.config, assembly.backbone, assembly.model
    assembly.reference = Reference(
        reference.fingerprint(backbone, model), config.model, config.data.name,
        config.data.batch_size, config.runtime, assembly.devices, assembly.task.name,
        config.plugins,
    )  # fmt: skip
    with assembly.scope():
        outputs = assembly.reference.of_splits(
            assembly.loader, assembly.splits, len(assembly.examples), lambda: model
        )
    assembly.task.set_reference_outputs(outputs)
    assembly.loader = build_model.open_loader(
        config.data, config.runtime, assembly.examples, assembly.task, backbone
    )


def resolved_config(config: TrainConfig, assembly: Assembly, split_seed: int) -> TrainConfig:
    """The config for the record, with everything filled in that fmkit chose itself."""
    backbone = assembly.backbone
    model = dataclasses.replace(
        config.model, image_size=backbone.image_size, max_length=backbone.max_length
    )
    if (template := assembly.task.chat_template) is not None:
        model = dataclasses.replace(model, chat_template=template.name)
    task = assembly.task.resolved_config or config.task
    data = dataclasses.replace(
        config.data, split_seed=split_seed, refit=str(assembly.refit).lower()
    )
    interpolates = {phase.name: str(phase.interpolate).lower() for phase in assembly.phases}
    stage = {
        name: dataclasses.replace(phase, interpolate=interpolates[name])
        for name, phase in config.stage.items()
    }
    if isinstance(task, JointConfig):
        resolved = {part.name: part.task.resolved_config for part in assembly.objectives}
        objectives = dict(task.objectives)
        for name, part in objectives.items():
            own_seed = part.data.split_seed
            seed = split_seed if own_seed is None else own_seed
            part_data = dataclasses.replace(part.data, split_seed=seed)
            objectives[name] = dataclasses.replace(
                part, task=resolved[name] or part.task, data=part_data
            )
        task = dataclasses.replace(task, objectives=objectives)
    return dataclasses.replace(config, model=model, task=task, data=data, stage=stage)
