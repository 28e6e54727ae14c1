"""Joins data, model, task and machine into what the loop trains."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fmkit.config import objectives as objectives_config
from fmkit.config.schema.commands import TrainConfig
from fmkit.config.schema.data import DataConfig
from fmkit.config.schema.task import JointConfig
from fmkit.core.types import DataSpec
from fmkit.data.dataset import Dataset
from fmkit.data.examples import Examples
from fmkit.models.backbone import Backbone
from fmkit.optim import rates
from fmkit.optim.optimizers import is_decayed
from fmkit.store.run_reader import RunReader
from fmkit.tasks.base import EpochEvaluator
from fmkit.train import build_model, devices, freeze, init_from_run, objective, phases, task_data
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
        model: the whole network.
        skipped: by phase, why it does not run.
        started_from: where the weights came from, for the record.
        pretrained: what L2-SP pulls the backbone's variables to, by their id; empty without it.
        features: what the last phase trained on instead of the inputs, or None.
        flat_config: the config as it was recorded, by full key; goes into every checkpoint.
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

    def scope(self) -> contextlib.AbstractContextManager[None]:
        """Where models are compiled and trained."""
        return devices.scope(self.devices)

    def training_batches(self, phase: Phase, first_step: int, steps: int | None = None) -> Any:
        """A phase's batches, in the order that the seed and the global step decide.

        Args:
            phase: the phase.
            first_step: number of the first one, counted since the run began.
            steps: how many; None means as many as the phase has.
        """
        return self.loader.train(
            self.splits["train"],
            seed=self.config.runtime.seed,
            steps=phase.steps if steps is None else steps,
            start=first_step,
            augment=phase.augment,
        )

    def ordered(self, split: str) -> Any:
        """A split's batches in order, or None when it has no example."""
        if self.objectives:  # `JointTaskModel` reads each one's own: any tells Keras to validate
            batches = (objective.ordered(split) for objective in self.objectives)
            return next((each for each in batches if each is not None), None)
        indices = self.splits.get(split)
        return None if indices is None or not len(indices) else self.loader.ordered(indices)

    def epoch_evaluator(self) -> EpochEvaluator | None:
        """What computes metrics over all validation predictions, where the task has any."""
        return self.task.epoch_evaluator(self.model, self.loader, self.examples, self.splits)

    @property
    def examples_per_epoch(self) -> int:
        """Examples of all objectives in one epoch of the primary one."""
        count = len(self.splits["train"])
        steps = -(-count // self.config.data.batch_size)
        return count + sum(each.config.batch_size for each in self.objectives[1:]) * steps

    def example_ids(self, step: int) -> list[str]:
        """The examples of a training step, counted from 0 over all phases."""
        seed, ids = self.config.runtime.seed, {"": self.examples.ids}
        ids |= {objective.name: objective.examples.ids for objective in self.objectives}
        positions = self.loader.positions(self.splits["train"], seed, step)
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
) -> Assembly:
    """Build model and task, load weights, open the data.

    Where the weights come from, the first that applies:

    1. `saved`: a checkpoint of this run, from which the loop takes them all. L2-SP, and a task that
       compares with the model of the start, need what they were then, so that there the others are
       loaded all the same.
    2. `init`: a finished run. The head too, when it was trained for the same classes.
    3. `model.weights`: the backbone's own; the head is new.
    4. Random ones.

    Args:
        config: the typed config.
        data: what to train on; of a joint run, the primary objective's.
        machine: the devices.
        saved: the `resume.SavedState` that a run resumes from.
        others: of a joint run, the data of the other objectives.
    """
    loads = saved is None or config.optimizer.l2_sp > 0 or reference.is_needed(config.task)
    with devices.scope(machine):
        backbone, task, model, joint = _build(config, data, others or {}, with_weights=loads)
        task_data.check_monitor(config.task, task)
        every = joint or (Objective("", config.data, task, model, None, data),)
        for each in every:
            each.data = task_data.prepare_for_task(
                each.config, config.runtime, each.data, each.task, backbone
            )
            devices.check_batches(
                machine, each.task, len(each.data.splits["train"]), each.config.batch_size
            )
        data = every[0].data
        steps = -(-len(data.splits["train"]) // config.data.batch_size)
        planned = phases.plan(config.stage, config.optimizer, steps)
        freeze.check(model, backbone, planned)
        skipped: dict[str, str] = {}
        started_from: dict[str, Any] = {"weights": backbone.weights}
        if config.init is not None and loads:
            skipped, started_from = init_from_run.start_from(
                RunReader(Path(config.init)), config, every, backbone, model, planned
            )
        skipped = {**_weightless_head_phases(model, backbone, planned), **skipped}
        pretrained = _copies_of_decayed(backbone) if config.optimizer.l2_sp else {}
    loader = _open_loader(config, every, joint, backbone)
    for phase in planned:
        loader.check_augment(phase.augment)
    assembly = Assembly(
        config, machine, data.examples, data.splits, data.spec, loader, backbone, task,
        model, planned, skipped if saved is None else saved.skipped, started_from, pretrained,
        objectives=joint,
    )  # fmt: skip
    if task.needs_reference:
        _compute_reference(assembly)
    return assembly


def _build(
    config: TrainConfig, data: Dataset, others: Mapping[str, Dataset], with_weights: bool
) -> tuple[Backbone, Any, TaskModel, tuple[Objective, ...]]:
    """Backbone, task, network, and the objectives of a joint run."""
    model_config = config.model
    if not with_weights:
        model_config = dataclasses.replace(model_config, weights="none")
    if isinstance(config.task, JointConfig):
        every = {objectives_config.primary(config.task): data, **others}
        return objective.build_joint(model_config, config.task, every)
    return *build_model.build_model(model_config, config.task, data.spec), ()


def _open_loader(
    config: TrainConfig,
    every: Sequence[Objective],
    joint: Sequence[Objective],
    backbone: Backbone,
) -> Any:
    """The input pipeline; of a joint run one over those of all objectives."""
    if joint:
        return objective.open_joint_loader(config.runtime, joint, backbone)
    (only,) = every
    return build_model.open_loader(config.data, config.runtime, only.examples, only.task, backbone)


def _weightless_head_phases(
    model: TaskModel, backbone: Backbone, planned: Sequence[Phase]
) -> dict[str, str]:
    """Phases that train a head alone which has no weights, as where embeddings give the scores."""
    head_phases = [phase.name for phase in planned if phase.train == "head"]
    has_weights = freeze.weights_by_block(model, backbone)[rates.HEAD]
    if len(head_phases) == len(planned) or has_weights:
        return {}
    return dict.fromkeys(head_phases, "the head has no weights of its own")


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
    data = dataclasses.replace(config.data, split_seed=split_seed)
    if isinstance(task, JointConfig):
        resolved = {part.name: part.task.resolved_config for part in assembly.objectives}
        objectives = {
            name: dataclasses.replace(
                settings,
                task=resolved[name] or settings.task,
                data=_with_split_seed(settings.data, split_seed),
            )
            for name, settings in task.objectives.items()
        }
        task = dataclasses.replace(task, objectives=objectives)
    return dataclasses.replace(config, model=model, task=task, data=data)


def _with_split_seed(data: DataConfig, split_seed: int) -> DataConfig:
    return dataclasses.replace(
        data, split_seed=split_seed if data.split_seed is None else data.split_seed
    )
