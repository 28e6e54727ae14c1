"""The one place where data, model, task and machine meet."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fmkit.config import objectives, units
from fmkit.config.schema.commands import TrainConfig
from fmkit.config.schema.data import DataConfig
from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.config.schema.task import JointConfig
from fmkit.core.errors import ConfigError
from fmkit.core.types import DataSpec
from fmkit.data.dataset import Dataset
from fmkit.data.examples import Examples
from fmkit.data.loaders.joint_loader import JointLoader, Stream
from fmkit.models.backbone import Backbone
from fmkit.optim import rates
from fmkit.optim.optimizers import is_decayed
from fmkit.store.run_reader import RunReader
from fmkit.tasks.base import EpochEvaluator
from fmkit.tasks.joint import Joint
from fmkit.train import build_model, devices, freeze, init_from_run, phases, task_data
from fmkit.train import reference_outputs as reference
from fmkit.train.objective import JointTaskModel, Objective
from fmkit.train.phases import Phase
from fmkit.train.reference_outputs import Reference
from fmkit.train.task_model import TaskModel


@dataclass
class Assembly:
    """Everything a run needs, joined.

    Attributes:
        loader: batches of what trains, from `open_loader`; of a joint run a `JointLoader`.
        skipped: by phase, why it does not run.
        features: what the last phase trained on instead of images, or None.
        settings: the config as it was recorded, by full key; goes into every checkpoint.
        parts: the objectives of a joint run, the primary one first, whose data and spec are the
            run's; empty where there is one task.
        started_from: what the weights came from, for the record.
        pretrained: what L2-SP pulls the backbone's variables to, by their id; empty without it.
        reference: what the task was told of the network at the start, or None.
    """

    config: TrainConfig
    devices: devices.Devices
    examples: Examples
    splits: dict[str, np.ndarray]
    spec: DataSpec
    loader: Any
    backbone: Backbone
    task: Any
    learner: TaskModel
    phases: list[Phase]
    skipped: dict[str, str] = field(default_factory=dict)
    started_from: dict[str, Any] = field(default_factory=dict)
    pretrained: dict[int, keras.Variable] = field(default_factory=dict)
    features: Any = None
    settings: dict[str, Any] = field(default_factory=dict)
    parts: tuple[Objective, ...] = ()
    reference: Reference | None = None

    def scope(self) -> contextlib.AbstractContextManager[None]:
        """Where models are compiled and trained."""
        return devices.scope(self.devices)

    def training_batches(self, phase: Phase, first_step: int, steps: int | None = None) -> Any:
        """A phase's batches, in the order that the seed and the global step decide.

        Args:
            phase: the phase.
            first_step: number of the first one, counted since the run began.
            steps: how many; empty means as many as the phase has.
        """
        return self.loader.train(
            self.splits["train"],
            seed=self.config.runtime.seed,
            steps=phase.steps if steps is None else steps,
            first_step=first_step,
            augment=phase.augment,
        )

    def ordered(self, split: str) -> Any:
        """A split's batches in order, or None when it has no example."""
        if self.parts:  # which makes them of each objective itself; one is enough to begin
            found = (each.ordered(split) for each in self.parts)
            return next((each for each in found if each is not None), None)
        indices = self.splits.get(split)
        return None if indices is None or not len(indices) else self.loader.ordered(indices)

    def epoch_evaluator(self) -> EpochEvaluator | None:
        """What computes metrics over all validation predictions, where the task has any."""
        return self.task.epoch_evaluator(self.learner, self.loader, self.examples, self.splits)

    @property
    def examples_per_epoch(self) -> int:
        """Examples of all objectives that one epoch of the primary one takes."""
        count = len(self.splits["train"])
        steps = -(-count // self.config.data.batch_size)
        return count + sum(each.config.batch_size for each in self.parts[1:]) * steps

    def ids_of(self, step: int) -> list[str]:
        """The examples of a training step, counted from 0 over all phases."""
        seed, ids = self.config.runtime.seed, {"": self.examples.ids}
        ids |= {part.name: part.examples.ids for part in self.parts}
        positions = self.loader.positions(self.splits["train"], seed, step)
        return [ids[name][index] for name, indices in positions.items() for index in indices]

    def judged(self) -> list[Objective]:
        """What is judged by itself: the objectives, or the whole, perhaps on kept features."""
        if self.parts:
            return list(self.parts)
        learner, loader = self.learner, self.loader
        if self.features is not None:
            learner, loader = self.features.cut.upper, self.features.loader
        data = Dataset(self.examples, self.splits, self.spec)
        return [Objective("", self.config.data, self.task, learner, loader, data)]

    @contextlib.contextmanager
    def named_errors(self) -> Iterator[None]:
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
        saved: the `state.SavedState` that a run goes on from.
        others: of a joint run, the data of the other objectives.
    """
    loads = saved is None or config.optimizer.l2_sp > 0 or reference.is_needed(config.task)
    with devices.scope(machine):
        model = config.model if loads else dataclasses.replace(config.model, weights="none")
        backbone, task, learner, parts = _build(model, config, data, others or {})
        task_data.check_monitor(config.task, task)
        every_part = parts or (Objective("", config.data, task, learner, None, data),)
        for each in every_part:
            each.data = task_data.prepare_for_task(
                each.config, config.runtime, each.data, each.task, backbone
            )
            _check_batches(each, len(machine.names))
        data = every_part[0].data
        steps = -(-len(data.splits["train"]) // config.data.batch_size)
        planned = phases.plan(config.stage, config.optimizer, steps)
        freeze.check(learner, backbone, planned)
        started_from: dict[str, Any] = {"weights": backbone.weights}
        skipped: dict[str, str] = {}
        if config.init is not None and loads:
            skipped, started_from = init_from_run.start_from(
                RunReader(Path(config.init)), config, every_part, backbone, learner, planned
            )
        idle = _idle(learner, backbone, planned)
        skipped = {**idle, **skipped} if saved is None else saved.skipped
        pretrained = _pretrained(backbone) if config.optimizer.l2_sp else {}
    loader = _open(config, data, parts, task, backbone)
    for phase in planned:
        loader.check_augment(phase.augment)
    assembly = Assembly(
        config, machine, data.examples, data.splits, data.spec, loader, backbone, task,
        learner, planned, skipped, started_from, pretrained, parts=parts,
    )  # fmt: skip
    if task.needs_reference:
        _begin(assembly)
    return assembly


def _build(
    model: ModelConfig, config: TrainConfig, data: Dataset, others: Mapping[str, Dataset]
) -> tuple[Backbone, Any, TaskModel, tuple[Objective, ...]]:
    """Backbone, task and network, and of a joint run each objective's part of them."""
    if isinstance(config.task, JointConfig):
        return _build_joint(model, config, {objectives.primary(config.task): data, **others})
    backbone, task, learner = build_model.build_model(model, config.task, data.spec)
    return backbone, task, learner, ()


def _open(
    config: TrainConfig, data: Dataset, parts: Sequence[Objective], task: Any, backbone: Backbone
) -> Any:
    """The input pipeline; of a joint run one over those of all objectives."""
    if parts:
        return _open_loaders(config.runtime, parts, backbone)
    return build_model.open_loader(config.data, config.runtime, data.examples, task, backbone)


def _idle(learner: TaskModel, backbone: Backbone, planned: Sequence[Phase]) -> dict[str, str]:
    """Phases that train a head alone which has no weights, as where embeddings give the scores."""
    idle = [each.name for each in planned if each.train == "head"]
    if len(idle) == len(planned) or freeze.weights_by_block(learner, backbone)[rates.HEAD]:
        return {}
    return dict.fromkeys(idle, "the head has no weights of its own")


def _begin(assembly: Assembly) -> None:
    """Tell the task what the network says of each example at the start; it has targets then."""
    config, backbone, learner = assembly.config, assembly.backbone, assembly.learner
    assembly.reference = Reference(
        reference.fingerprint(backbone, learner), config.model, config.data.name,
        config.data.batch_size, config.runtime, assembly.devices, assembly.task.name,
        config.plugins,
    )  # fmt: skip
    with assembly.scope():
        outputs = assembly.reference.of_splits(
            assembly.loader, assembly.splits, len(assembly.examples), lambda: learner
        )
    assembly.task.set_reference_outputs(outputs)
    assembly.loader = build_model.open_loader(
        config.data, config.runtime, assembly.examples, assembly.task, backbone
    )


def _build_joint(
    model: ModelConfig, config: TrainConfig, data: Mapping[str, Dataset]
) -> tuple[Backbone, Joint, JointTaskModel, tuple[Objective, ...]]:
    """One backbone with the heads of all objectives, and a network for each of them."""
    asked: Any = config.task
    backbone = build_model.build_backbone(model, [each.spec for each in data.values()])
    task = Joint(asked, {name: each.spec for name, each in data.items()})
    networks = task.networks(backbone, model)
    parts = tuple(
        Objective(name, asked.objectives[name].data, task.parts[name],
             build_model.network(inputs, output, own), None, data[name])
        for (name, (inputs, output)), own in zip(
            networks.items(), task.parts.values(), strict=True
        )
    )  # fmt: skip
    inputs = [each for own, _ in networks.values() for each in own]
    outputs = task.joined(backbone, networks)
    return backbone, task, JointTaskModel(inputs, outputs, task, parts), parts


def _open_loaders(
    runtime: RuntimeConfig, parts: Sequence[Objective], backbone: Backbone
) -> JointLoader:
    """A loader for each objective, which share the budget of memory, and one of them all."""
    share = units.parse_bytes(runtime.memory_budget) // len(parts)
    shared = dataclasses.replace(runtime, memory_budget=f"{share} B")
    for each in parts:
        each.loader = build_model.open_loader(
            each.config, shared, each.examples, each.task, backbone
        )
    return JointLoader({each.name: Stream(each.loader, each.splits["train"]) for each in parts})


def _pretrained(backbone: Backbone) -> dict[int, keras.Variable]:
    """What weight decay applies to, as it is now, by the ids of the variables that go on."""
    return {
        id(each): keras.Variable(
            keras.ops.copy(keras.ops.convert_to_tensor(each)),
            trainable=False,
            dtype=each.dtype,
            name=f"pretrained_{each.name}",
        )
        for each in backbone.model.weights
        if is_decayed(each)
    }


def _check_batches(part: Objective, devices: int) -> None:
    """Refuse batches that cannot be shared out, as rows belong together or are too few.

    Raises:
        ConfigError: several devices, and several views of each image or too small a batch.
    """
    if devices > 1 and part.task.views_per_image > 1:
        raise ConfigError(
            f"runtime.devices: task.name={part.task.name} compares all images of a batch with each "
            f"other, which {devices} devices would share out.",
            "Take runtime.devices=one.",
        )
    _check_shares(len(part.splits["train"]), part.config.batch_size, devices)


def _check_shares(examples: int, batch_size: int, devices: int) -> None:
    """Refuse batches of which a device would get nothing: BatchNorm makes NaN of that.

    Raises:
        ConfigError: the first or the last batch of an epoch is too small to be shared.
    """

    def shared(batch: int) -> bool:  # as MirroredStrategy shares: rounded up, until none are left
        return all(
            -(-count // devices) * (devices - 1) < count
            for count in (min(batch, examples), examples % batch)
            if count
        )

    if devices == 1 or shared(batch_size):
        return
    fitting = [each for each in range(1, examples + 1) if shared(each)]
    hint = ""
    if fitting:
        nearest = min(fitting, key=lambda each: abs(each - batch_size))
        hint = f"data.batch_size={nearest} is the nearest that leaves no device without."
    raise ConfigError(
        f"data.batch_size: received {batch_size}. With {examples} examples to train on, {devices} "
        "devices cannot share each batch.",
        hint or "Take runtime.devices=one.",
    )


def resolved_config(config: TrainConfig, assembly: Assembly, split_seed: int) -> TrainConfig:
    """The config with what was left to fmkit filled in, for the record."""
    backbone = assembly.backbone
    model = dataclasses.replace(
        config.model, image_size=backbone.image_size, max_length=backbone.max_length
    )
    if (template := assembly.task.chat_template) is not None:
        model = dataclasses.replace(model, chat_template=template.name)
    task = assembly.task.resolved_config or config.task
    data = dataclasses.replace(config.data, split_seed=split_seed)
    if isinstance(task, JointConfig):
        settled = {part.name: part.task.resolved_config for part in assembly.parts}
        known = {
            name: dataclasses.replace(
                each,
                task=settled[name] or each.task,
                data=_with_seed(each.data, split_seed),
            )
            for name, each in task.objectives.items()
        }
        task = dataclasses.replace(task, objectives=known)
    return dataclasses.replace(config, model=model, task=task, data=data)


def _with_seed(data: DataConfig, split_seed: int) -> DataConfig:
    return dataclasses.replace(
        data, split_seed=split_seed if data.split_seed is None else data.split_seed
    )
