"""Multi-label classification: any number of labels per example, none included.

N examples, B batch, K labels, D features.
"""

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
from fmkit.tasks.base import Task
from fmkit.tasks.linear_problems import LabelSets
from fmkit.tasks.temperature import calibrated_loss


class MultiLabel(Task):
    """A yes or no for each label: binary cross-entropy in nats, the mean over labels.

    Targets are 0 and 1, or mixtures of both, (B, K) float32; outputs are logits, (B, K).

    Raises:
        ConfigError: the data has no sets of labels.
    """

    name = "multi_label"
    solvers = ("lbfgs", "cross_validation")
    has_logits = True
    class_weights = None  # weights of labels are not weights of examples: see `loss`

    def __init__(self, config: MultiLabelConfig, spec: DataSpec) -> None:
        if spec.annotations != "sets" or not spec.names:
            raise ConfigError(
                f"task.name=multi_label learns sets of labels, and the data has "
                f"{describe_labels(spec)}.",
                "Take data with data.labels=sets, or task=classification.",
            )
        self._rates = base_rates(spec)
        self._weights = np.ones((2, len(spec.names)), np.float32)
        if config.class_weights.lower() == "balanced":
            self._weights = balanced_weights(self._rates)
        self._smoothing = config.label_smoothing
        self.smooth_labels(None)
        # Validation losses must compare across label smoothings.
        self._plain_loss = BinaryCrossEntropy()
        self._width = len(spec.names)

    def targets(self, examples: Any) -> np.ndarray:
        """Whether an example has a label, (N, K) float32."""
        return np.asarray(examples.annotations.indicators, np.float32)

    def head(self, backbone: Backbone, config: ModelConfig) -> Any:
        """Pooling, dropout, an optional hidden layer, and logits (B, K).

        The bias begins at the log odds of each label in training, as is usual where most labels
        are rare (Lin et al. 2017, 4.1): else the first steps would learn only these. With balanced
        weights the log odds are 0.
        """
        vector = heads.below_logits(backbone, config)
        last = heads.logits(self._width)
        outputs = last(vector)
        odds = self._weights[0] * self._rates / (self._weights[1] * (1 - self._rates))
        last.bias.assign(np.log(odds))
        return outputs

    def smooth_labels(self, amount: float | None) -> None:
        """From the next `compile` on; None: by `task.label_smoothing`."""
        smoothing = self._smoothing if amount is None else amount
        self._training_loss = BinaryCrossEntropy(self._weights, smoothing)

    def loss(self, targets: Any, outputs: Any, weights: Any, training: bool) -> Any:
        """Mean binary cross-entropy of a batch; smoothing and weights count in training only."""
        loss = self._training_loss if training else self._plain_loss
        return loss(targets, outputs, sample_weight=weights)

    def metrics(self) -> list[Any]:
        """Micro F1, and the share of examples with every label right, both at probability 0.5."""
        return [MicroF1(), SubsetAccuracy()]

    def linear_problem(self, targets: Any) -> LabelSets:
        """A logistic regression for each label."""
        return LabelSets(targets, self._weights)

    def calibrated_loss(self, targets: Any, outputs: Any) -> float:
        """Binary cross-entropy after temperature scaling, in nats."""
        signs = np.where(np.asarray(targets) > 0.5, -1.0, 1.0)

        def loss(logits: np.ndarray) -> float:
            return float(np.logaddexp(0.0, signs * logits).mean())

        return calibrated_loss(loss, outputs)

    def inference(self, outputs: Any) -> Any:
        """Probabilities (B, K), float32, each from 0 to 1."""
        return keras.layers.Activation("sigmoid", dtype="float32", name="probabilities")(outputs)


def describe_labels(spec: DataSpec) -> str:
    """What there is to learn in a data set, for a message."""
    if spec.annotations:
        return spec.annotations if spec.names else f"{spec.annotations} without names"
    return "classes" if spec.classes else "no labels"


def base_rates(spec: DataSpec) -> np.ndarray:
    """Share of the training examples that have each label, (K,); 0.5 where it is unknown.

    One example with it and one without are added, so that no rate is 0 or 1.
    """
    counts = spec.class_counts.get("train")
    if counts is None:
        return np.full(len(spec.names), 0.5)
    with_label = np.array([counts[name] for name in spec.names], np.float64)
    return (with_label + 1) / (spec.counts["train"] + 2)


def balanced_weights(rates: np.ndarray) -> np.ndarray:
    """Weights of examples with each label, and of those without, (2, K).

    Both sides of a label have the same total weight, and the mean over the examples is 1: for each
    label scikit-learn's `class_weight="balanced"`, except for what `base_rates` adds.
    """
    return np.stack([0.5 / rates, 0.5 / (1 - rates)]).astype(np.float32)


class BinaryCrossEntropy(keras.losses.Loss):
    """Binary cross-entropy of logits (B, K) in nats, the mean over labels.

    Args:
        weights: of targets 1 and of targets 0, (2, K), or None.
        smoothing: label smoothing: the share of each target that becomes 1/2.
    """

    def __init__(self, weights: np.ndarray | None = None, smoothing: float = 0.0) -> None:
        super().__init__(name="binary_cross_entropy", dtype="float32")
        self._weights, self._smoothing = weights, smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each example, (B,)."""
        smoothed = y_true * (1 - self._smoothing) + 0.5 * self._smoothing
        yes, no = ops.softplus(-y_pred), ops.softplus(y_pred)  # -log p, -log(1 - p)
        if self._weights is not None:
            yes, no = yes * self._weights[0], no * self._weights[1]
        return ops.mean(smoothed * yes + (1 - smoothed) * no, axis=-1)


class MicroF1(keras.metrics.Metric):
    """F1 of all yes and no of all examples together, at probability 0.5."""

    def __init__(self) -> None:
        super().__init__(name="micro_f1", dtype="float32")
        self._hits = self.add_variable((), "zeros", name="hits")
        self._support = self.add_variable((), "zeros", name="wanted")
        self._predicted = self.add_variable((), "zeros", name="predicted")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch of targets (B, K) and logits (B, K)."""
        labels, predicted = _threshold(y_true, y_pred)
        self._hits.assign_add(ops.sum(labels * predicted))
        self._support.assign_add(ops.sum(labels))
        self._predicted.assign_add(ops.sum(predicted))

    def result(self) -> Any:
        """2 hits / (support + predicted); 0 where both are 0."""
        return 2 * self._hits / ops.maximum(self._support + self._predicted, 1.0)


class SubsetAccuracy(keras.metrics.Mean):
    """Share of the examples with every label right, at probability 0.5."""

    def __init__(self) -> None:
        super().__init__(name="subset_accuracy", dtype="float32")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch of targets (B, K) and logits (B, K)."""
        labels, predicted = _threshold(y_true, y_pred)
        super().update_state(ops.all(ops.equal(labels, predicted), axis=-1))


def _threshold(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Targets, which may be mixtures, and logits as 0 and 1."""
    labels = ops.cast(ops.greater(ops.convert_to_tensor(y_true), 0.5), "float32")
    return labels, ops.cast(ops.greater(ops.convert_to_tensor(y_pred), 0.0), "float32")
