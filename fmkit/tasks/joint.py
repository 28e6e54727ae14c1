"""Joint training: several tasks that share a backbone, with the weighted sum of their losses.

With weights alpha and 1 - alpha of pretraining and fine-tuning this is
alpha * L_pretrain + (1 - alpha) * L_finetune; with several supervised tasks, multi-task learning
(Caruana 1997).

B batch, O objectives.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from fmkit.config.objectives import primary
from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import JointConfig
from fmkit.core.errors import ConfigError
from fmkit.core.types import DataSpec
from fmkit.models import composite_backbone
from fmkit.models.backbone import Backbone
from fmkit.models.keras_internals import (
    all_layers,
    graph_nodes,
    run_graph,
    unscale_loss_for_distribution,
)
from fmkit.tasks import registry as task_registry
from fmkit.tasks.base import Task

PREFIX = "head_"
"""Followed by the objective's name, it begins the paths of every head but the primary one."""

WEIGHTING = "head_uncertainty"
"""Name of the layer that holds the log variances."""


class Joint(Task):
    """The objectives of a joint run. Targets, outputs and weights are mappings by their names.

    The primary objective comes first. Its head has the names that it would have alone, so that its
    weights fit a run of that objective; the names of the others begin with `head_NAME`.

    Args:
        config: of the run, resolved.
        specs: of each objective's data, by its name.

    Raises:
        ConfigError: an objective compares with a reference model.
    """

    name = "joint"

    def __init__(self, config: JointConfig, specs: Mapping[str, DataSpec]) -> None:
        first = primary(config)
        names = [first, *(name for name in config.objectives if name != first)]
        self.parts = {
            name: task_registry.build(config.objectives[name].task, specs[name]) for name in names
        }
        refused = [name for name, task in self.parts.items() if task.needs_reference]
        if refused:
            raise ConfigError(
                f"task.objectives.{refused[0]} compares with a reference model, so it cannot be an "
                "objective of a joint run. Train it alone, with init."
            )
        self.primary = first
        self._fixed = {name: float(config.objectives[name].weight or 0.0) for name in names}
        self._learned = LogVariances(len(names)) if config.weighting == "uncertainty" else None
        self._loss_metrics: dict[str, ObjectiveLoss] = {}
        self._features: dict[str, Any] = {}

    def targets(self, examples: Any) -> np.ndarray:
        """Those of the primary objective."""
        return np.asarray(self.parts[self.primary].targets(examples))

    def networks(self, backbone: Backbone, config: ModelConfig) -> dict[str, tuple[list[Any], Any]]:
        """Symbolic inputs and output of each objective; all share the one backbone."""
        networks = {}
        for name, task in self.parts.items():
            if name == self.primary:
                output = task.head(backbone, config)
                self._features[name] = backbone.model.output
                networks[name] = ([backbone.model.input, *task.extra_inputs], output)
                continue
            own = composite_backbone.with_own_input(backbone, f"{name}_input")
            with keras.name_scope(f"{PREFIX}{name}"):
                output = task.head(own, config)
            self._features[name] = own.model.output
            inputs = [own.model.input, *task.extra_inputs]
            networks[name] = (inputs, output)
            # Layers inside a layer are the backbone's, too: a task may run them on some tokens.
            shared = {id(layer) for layer in (*own.model.operations, *all_layers(own.model))}
            for operation in keras.Model(inputs, output).operations:
                if id(operation) not in shared:  # a name that no other head of the network has
                    operation.name = f"{PREFIX}{name}_{operation.name.removeprefix(PREFIX)}"
        return networks

    def joined(
        self, backbone: Backbone, networks: Mapping[str, tuple[list[Any], Any]]
    ) -> dict[str, Any]:
        """The outputs of one network of all objectives, from the networks of each.

        Inputs of one fixed size, such as images, go through the backbone as one batch. Texts do
        not, since their lengths differ and their backbones have no BatchNorm; nor do images of
        which the backbone sees only some patches.
        """
        outputs = {name: output for name, (_, output) in networks.items()}
        whole = []  # objectives whose outputs are made of the features of whole inputs
        for name, (inputs, output) in networks.items():
            tensors = (node.outputs for node in graph_nodes(keras.Model(inputs, output)))
            if any(tensor is self._features[name] for tensor in itertools.chain(*tensors)):
                whole.append(name)
        has_fixed_size = None not in backbone.model.input.shape[1:]
        if has_fixed_size and len(whole) > 1:
            features = composite_backbone.run_as_one_batch(
                backbone, [networks[name][0][0] for name in whole]
            )
            for name, rows in zip(whole, features, strict=True):
                own, output = networks[name]
                head = keras.Model([self._features[name], *own[1:]], output)
                outputs[name] = run_graph(head, [rows, *own[1:]])
        return outputs if self._learned is None else dict(self._learned(outputs))

    def loss(self, targets: Any, outputs: Any, weights: Any, training: bool) -> Any:
        """The weighted sum of the objectives' losses on their batches."""
        values = {}
        for name, task in self.parts.items():
            own = weights[name] if weights and task.class_weights is not None else None
            value = ops.cast(task.loss(targets[name], outputs[name], own, training), "float32")
            if name in self._loss_metrics:
                # On each of several devices it is a share of the mean.
                whole = unscale_loss_for_distribution(value)
                self._loss_metrics[name].record(whole, ops.shape(targets[name])[0])
            values[name] = value
        return self._weighted(values)

    def loss_weight(self, targets: Any) -> Any:
        """That of the primary objective: the others' means count alike in all batches."""
        return self.parts[self.primary].loss_weight(targets[self.primary])

    def combined(self, losses: Mapping[str, float]) -> float:
        """The whole loss of a validation, from the losses of the objectives.

        With `weighting=uncertainty` it is the sum of exp(-s) * loss + s / 2, s the log variance of
        an objective: Kendall et al. 2018, arXiv:1705.07115, equation 10, for a softmax likelihood.
        (Their form for a Gaussian one has loss / 2, which moves s by a constant.)
        """
        total = self._weighted(losses)
        return float(total if self._learned is None else total + self._learned.penalty())

    def _weighted(self, losses: Mapping[str, Any]) -> Any:
        """The weighted sum. In training the layer of the log variances adds their penalty."""
        total = 0.0
        for number, name in enumerate(self.parts):
            weight: Any = self._fixed[name]
            if self._learned is not None:
                weight = ops.exp(-self._learned.values[number])
            total = total + weight * losses[name]
        return total

    def metrics(self) -> dict[str, list[Any]]:
        """By objective: its loss, its task's metrics and, where it is learned, its log variance."""
        metrics: dict[str, list[Any]] = {name: task.metrics() for name, task in self.parts.items()}
        # A task with a loss metric counts it in its own way, such as by token.
        self._loss_metrics = {
            name: ObjectiveLoss("loss", "float32")
            for name, own in metrics.items()
            if all(metric.name != "loss" for metric in own)
        }
        for name, loss in self._loss_metrics.items():
            metrics[name] = [loss, *metrics[name]]
        if self._learned is not None:
            for number, own in enumerate(metrics.values()):
                own.append(LogVariance(self._learned, number))
        return metrics

    def inference(self, outputs: Any) -> Any:
        """That of the primary objective."""
        return self.parts[self.primary].inference(outputs)


def is_joint(config: Mapping[str, Any]) -> bool:
    """Whether a recorded config is that of a joint run."""
    task = config.get("task")
    return isinstance(task, Mapping) and task.get("name") == Joint.name


def weights_of(objective: str, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights of a joint run by the paths that they have in a run of one of its objectives.

    Args:
        objective: not the primary one, whose head has those paths already.
        weights: by path.
    """
    prefix = f"{PREFIX}{objective}/"
    own = {path: value for path, value in weights.items() if path.startswith(prefix)}
    return {**weights, **{path.removeprefix(prefix): value for path, value in own.items()}}


class ObjectiveLoss(keras.metrics.Mean):
    """The mean loss of one objective by example, recorded where the loss is computed anyway."""

    def record(self, loss: Any, examples: Any) -> None:
        """Add the mean loss of a batch."""
        super().update_state(ops.stop_gradient(loss), ops.cast(examples, "float32"))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Nothing: see `record`."""


class LogVariance(keras.metrics.Metric):
    """The current log variance of one objective."""

    def __init__(self, layer: LogVariances, number: int) -> None:
        super().__init__(name="log_variance", dtype="float32")
        self._read = lambda: layer.values[number]

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Nothing."""

    def result(self) -> Any:
        """The variable's value."""
        return ops.convert_to_tensor(self._read())


class LogVariances(keras.layers.Layer):
    """Holds the log variances of the objectives, (O,), and returns its inputs unchanged.

    They begin at 0. Being a vector, they have no weight decay; they train with the heads.
    """

    def __init__(self, count: int) -> None:
        super().__init__(name=WEIGHTING, dtype="float32", autocast=False)
        self.values = self.add_weight(shape=(count,), initializer="zeros", name="log_variances")

    def penalty(self) -> Any:
        """Half their sum, which limits the variances."""
        return ops.sum(ops.convert_to_tensor(self.values)) / 2.0

    def call(self, inputs: Any) -> Any:
        """The same; the loss gets the penalty."""
        self.add_loss(self.penalty())
        return inputs

    def compute_output_spec(self, inputs: Any) -> Any:
        """The same shapes."""
        return keras.tree.map_structure(
            lambda tensor: keras.KerasTensor(tensor.shape, dtype=tensor.dtype), inputs
        )
