"""The objectives of a run: data, task, network and loader of each; a joint run has several.

A joint run (`task=joint`) trains one network with an output for each objective, and validates each
by itself on its own split.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import keras

from fmkit.config import units
from fmkit.config.schema.data import DataConfig
from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.config.schema.task import JointConfig
from fmkit.data.dataset import Dataset
from fmkit.data.loaders.joint_loader import JointLoader
from fmkit.models.backbone import Backbone
from fmkit.tasks.joint import Joint
from fmkit.train import build_model
from fmkit.train.task_model import TaskModel


@dataclass
class Objective:
    """One objective of a run; a run of one task has exactly one.

    Attributes:
        name: of the objective; empty where the run has no other.
        model: the network from its inputs to its output.
        validation_losses: number and loss of each batch of its last validation.
    """

    name: str
    config: DataConfig
    task: Any
    model: TaskModel
    loader: Any
    data: Dataset
    validation_losses: list[tuple[int, float]] = field(default_factory=list)

    def ordered(self, split: str) -> Any:
        """A split's batches in order, or None when it has no example."""
        indices = self.data.splits.get(split)
        return None if indices is None or not len(indices) else self.loader.ordered(indices)

    def record_loss(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Keep the loss of a batch of validation."""
        self.validation_losses.append((batch, float((logs or {}).get("loss", 0.0))))


class JointTaskModel(TaskModel):
    """A network with an output for each objective, of which each is validated by itself.

    Args:
        inputs: symbolic inputs of all of them, the primary one's first.
        outputs: symbolic outputs by name.
        task: the joint task.
        objectives: they share all layers with this network.
    """

    def __init__(
        self,
        inputs: Sequence[Any],
        outputs: Mapping[str, Any],
        task: Joint,
        objectives: Sequence[Objective],
    ) -> None:
        super().__init__(list(inputs), dict(outputs), cast(Any, task))
        self._objectives = tuple(objectives)

    def compile(self, *arguments: Any, **options: Any) -> None:
        """Keras' own, also of the networks that validate each objective."""
        super().compile(*arguments, **options)
        for objective in self._objectives:
            objective.model.compile(
                metrics=objective.task.metrics(), jit_compile=options.get("jit_compile", "auto")
            )

    def evaluate(self, *arguments: Any, callbacks: Any = None, **options: Any) -> Any:
        """The metrics of every objective on all of its own validation split, and the whole loss.

        Keras hands over the batches of one split; they are ignored, since the objectives' splits
        have different lengths. There is no whole loss where an objective has no validation split.
        """
        if self.is_cut_short:
            return {}
        if callbacks is not None:
            callbacks.on_test_begin()
        logs: dict[str, float] = {}
        for objective in self._objectives:
            objective.validation_losses.clear()
            if (batches := objective.ordered("val")) is None:
                continue
            watch = keras.callbacks.LambdaCallback(on_test_batch_end=objective.record_loss)
            metrics = objective.model.evaluate(
                batches, verbose=0, callbacks=[watch], return_dict=True
            )
            logs |= {f"{objective.name}_{name}": float(value) for name, value in metrics.items()}
        losses = {
            objective.name: logs.get(f"{objective.name}_loss") for objective in self._objectives
        }
        if None not in losses.values():
            logs = {"loss": self.task.combined(losses), **logs}  # type: ignore[attr-defined]
        if callbacks is not None:
            callbacks.on_test_end(logs)
        return logs


def build_joint(
    model_config: ModelConfig, task_config: JointConfig, data: Mapping[str, Dataset]
) -> tuple[Backbone, Joint, JointTaskModel, tuple[Objective, ...]]:
    """One backbone with the heads of all objectives, and a network for each of them."""
    specs = {name: dataset.spec for name, dataset in data.items()}
    backbone = build_model.build_backbone(model_config, list(specs.values()))
    joint: Any = Joint(cast(Any, task_config), specs)
    networks = joint.networks(backbone, model_config)
    objectives = tuple(
        Objective(
            name,
            task_config.objectives[name].data,
            joint.parts[name],
            build_model.network(inputs, output, joint.parts[name]),
            None,
            data[name],
        )
        for name, (inputs, output) in networks.items()
    )
    all_inputs = [tensor for inputs, _ in networks.values() for tensor in inputs]
    outputs = joint.joined(backbone, networks)
    return backbone, joint, JointTaskModel(all_inputs, outputs, joint, objectives), objectives


def open_loader(runtime: RuntimeConfig, objectives: Sequence[Objective], backbone: Backbone) -> Any:
    """The input pipeline of the only task; of a joint run one of all, which share the memory."""
    first = objectives[0]
    if not first.name:
        return build_model.open_loader(
            first.config, runtime, first.data.examples, first.task, backbone
        )
    share = units.parse_bytes(runtime.memory_budget) // len(objectives)
    shared = dataclasses.replace(runtime, memory_budget=f"{share} B")
    for objective in objectives:
        objective.loader = build_model.open_loader(
            objective.config, shared, objective.data.examples, objective.task, backbone
        )
    return JointLoader({item.name: (item.loader, item.data.splits["train"]) for item in objectives})
