"""Any number of labels an example, none included.

N examples, B batch, K labels, D features.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import MultiLabelConfig
from fmkit.core.errors import ConfigError
from fmkit.core.types import DataSpec
from fmkit.models import heads
from fmkit.models.backbone import Backbone
from fmkit.tasks import linear_probe
from fmkit.tasks.base import Task


class MultiLabel(Task):
    """A yes or no for each label: binary cross-entropy in nats, the mean over labels.

    Targets are 0 and 1, or mixtures of both, (B, K) float32; outputs are logits, (B, K).

    Args:
        config: label smoothing and class weights.
        spec: the data set, whose labels are the outputs.

    Raises:
        ConfigError: the data has no sets of labels.
    """

    name = "multi_label"
    solvers = ("lbfgs",)
    class_weights = None  # weights of labels are not weights of examples: see `loss`

    def __init__(self, config: MultiLabelConfig, spec: DataSpec) -> None:
        if spec.annotations != "sets" or not spec.names:
            raise ConfigError(
                f"task.name=multi_label learns sets of labels, and the data has {noun(spec)}.",
                "Take data with data.labels=sets, or task=classification.",
            )
        self._rates = base_rates(spec)
        weights = np.ones((2, len(spec.names)), np.float32)
        if config.class_weights.lower() == "balanced":
            weights = balanced_weights(self._rates)
        self._weights = weights
        self._training_loss = BinaryCrossEntropy(weights, config.label_smoothing)
        # What a validation loss says must not depend on a regulariser of training.
        self._plain_loss = BinaryCrossEntropy()
        self._width = len(spec.names)

    def targets(self, examples: Any) -> np.ndarray:
        """Whether an example has a label, (N, K) float32."""
        return np.asarray(examples.annotations.indicators, np.float32)

    def head(self, backbone: Backbone, config: ModelConfig) -> Any:
        """Pooling, dropout, an optional hidden layer, and logits (B, K).

        They begin at the shares of examples that have each label in training, as is usual where
        most labels are rare (Lin et al. 2017, 4.1): else the first steps would learn no more than
        these. With balanced weights that is 0.
        """
        vector = heads.hidden(heads.pool(backbone, config.pooling), config)
        last = heads.logits(self._width)
        outputs = last(vector)
        odds = self._weights[0] * self._rates / (self._weights[1] * (1 - self._rates))
        last.bias.assign(np.log(odds))
        return outputs

    def loss(self, targets: Any, outputs: Any, weights: Any, training: bool) -> Any:
        """Mean binary cross-entropy of a batch; smoothing and weights count in training only."""
        loss = self._training_loss if training else self._plain_loss
        return loss(targets, outputs, sample_weight=weights)

    def metrics(self) -> list[Any]:
        """Micro F1, and the share of examples with every label right, both at probability 0.5."""
        return [MicroF1(), SubsetAccuracy()]

    def fit_linear_head(
        self, features: np.ndarray, labels: np.ndarray, validation: tuple[np.ndarray, np.ndarray]
    ) -> tuple[dict[str, list[np.ndarray]], dict[str, Any]]:
        """The best linear head on fixed features, label by label: see `linear_probe.fit_labels`.

        Args:
            features: (N, D).
            labels: (N, K), 0 and 1.
            validation: features and labels, by which the L2 strength is chosen.

        Returns:
            Weights by layer, and what to record.
        """
        found = linear_probe.fit_labels(features, labels, self._weights, validation)
        record = {"C": found.strength, "validation_loss_by_C": found.losses}
        return {"logits": [found.kernel, found.bias]}, record

    def inference(self, outputs: Any) -> Any:
        """Probabilities (B, K), float32, each from 0 to 1."""
        return keras.layers.Activation("sigmoid", dtype="float32", name="probabilities")(outputs)


def noun(spec: DataSpec) -> str:
    """What there is to learn, for a message."""
    if spec.annotations:
        return spec.annotations if spec.names else f"{spec.annotations} without names"
    return "classes" if spec.classes else "no labels"


def base_rates(spec: DataSpec) -> np.ndarray:
    """Share of the training examples that have each label, (K,); 0.5 where that is not known.

    One example with and one without is added, so that no rate is 0 or 1.
    """
    counts = spec.class_counts.get("train")
    if counts is None:
        return np.full(len(spec.names), 0.5)
    found = np.array([counts[name] for name in spec.names], np.float64)
    return (found + 1) / (spec.counts["train"] + 2)


def balanced_weights(rates: np.ndarray) -> np.ndarray:
    """Weight of examples with a label and of those without, (2, K).

    Both sides of each label weigh the same together, and the mean over the examples is 1: of each
    label scikit-learn's `class_weight="balanced"`, but for what `base_rates` adds.
    """
    return np.stack([0.5 / rates, 0.5 / (1 - rates)]).astype(np.float32)


class BinaryCrossEntropy(keras.losses.Loss):
    """Binary cross-entropy of logits (B, K) in nats, the mean over labels.

    Args:
        weights: of targets 1 and of targets 0, (2, K), or None.
        smoothing: share of each target that becomes 1/2.
    """

    def __init__(self, weights: np.ndarray | None = None, smoothing: float = 0.0) -> None:
        super().__init__(name="binary_cross_entropy", dtype="float32")
        self._of_labels, self._smoothing = weights, smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each example, (B,)."""
        smoothed = y_true * (1 - self._smoothing) + 0.5 * self._smoothing
        yes, no = ops.softplus(-y_pred), ops.softplus(y_pred)  # -log p, -log(1 - p)
        if self._of_labels is not None:
            yes, no = yes * self._of_labels[0], no * self._of_labels[1]
        return ops.mean(smoothed * yes + (1 - smoothed) * no, axis=-1)


class MicroF1(keras.metrics.Metric):
    """F1 of all yes and no of all examples together, at probability 0.5."""

    def __init__(self) -> None:
        super().__init__(name="micro_f1", dtype="float32")
        self._hits = self.add_variable((), "zeros", name="hits")
        self._wanted = self.add_variable((), "zeros", name="wanted")
        self._predicted = self.add_variable((), "zeros", name="predicted")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch of targets (B, K) and logits (B, K)."""
        wanted, predicted = _decided(y_true, y_pred)
        self._hits.assign_add(ops.sum(wanted * predicted))
        self._wanted.assign_add(ops.sum(wanted))
        self._predicted.assign_add(ops.sum(predicted))

    def result(self) -> Any:
        """2 hits / (wanted + predicted); 0 where there is nothing to find and nothing found."""
        return 2 * self._hits / ops.maximum(self._wanted + self._predicted, 1.0)


class SubsetAccuracy(keras.metrics.Mean):
    """Share of the examples of which every label is right, at probability 0.5."""

    def __init__(self) -> None:
        super().__init__(name="subset_accuracy", dtype="float32")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch of targets (B, K) and logits (B, K)."""
        wanted, predicted = _decided(y_true, y_pred)
        super().update_state(ops.all(ops.equal(wanted, predicted), axis=-1))


def _decided(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Targets, which may be mixtures, and logits as 0 and 1."""
    wanted = ops.cast(ops.greater(ops.convert_to_tensor(y_true), 0.5), "float32")
    return wanted, ops.cast(ops.greater(ops.convert_to_tensor(y_pred), 0.0), "float32")
