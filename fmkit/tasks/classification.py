"""Classification: one class per example."""

from typing import Any

import keras
import numpy as np
from scipy.special import log_softmax

from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import ClassificationConfig
from fmkit.core.errors import ConfigError
from fmkit.core.types import DataSpec
from fmkit.models import heads
from fmkit.models.backbone import Backbone
from fmkit.tasks.base import Task
from fmkit.tasks.linear_problems import Classes
from fmkit.tasks.temperature import calibrated_loss


class Classification(Task):
    """Softmax cross-entropy over the classes of a data set.

    Targets are one-hot or mixed, (B, C); outputs are logits, (B, C).

    Raises:
        ConfigError: the data has no classes.
    """

    name = "classification"
    solvers = ("lbfgs", "cross_validation")
    has_logits = True
    num_classes: int

    def __init__(self, config: ClassificationConfig, spec: DataSpec) -> None:
        if not spec.classes:
            raise ConfigError(
                "task.name=classification needs labels, and the data has none.",
                "Take data with classes, or a task that does not need them, such as task=simclr.",
            )
        self.num_classes = len(spec.classes)
        self.class_weights = (
            balanced_weights(spec) if config.class_weights.lower() == "balanced" else None
        )
        self._smoothing = config.label_smoothing
        self.smooth_labels(None)
        # Validation losses must compare across label smoothings.
        self._plain_loss = keras.losses.CategoricalCrossentropy(from_logits=True)

    def targets(self, examples: Any) -> np.ndarray:
        """Class numbers, (N,) int32."""
        return np.asarray(examples.labels)

    def head(self, backbone: Backbone, config: ModelConfig) -> Any:
        """Pooling, dropout, an optional hidden layer, and logits (B, C)."""
        return heads.classification_head(backbone, self.num_classes, config)

    def smooth_labels(self, amount: float | None) -> None:
        """From the next `compile` on; None: by `task.label_smoothing`."""
        self._training_loss = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=self._smoothing if amount is None else amount
        )

    def loss(self, targets: Any, outputs: Any, weights: Any, training: bool) -> Any:
        """Mean cross-entropy of a batch, in nats; smoothed labels count in training only."""
        loss = self._training_loss if training else self._plain_loss
        return loss(targets, outputs, sample_weight=weights)

    def metrics(self) -> list[Any]:
        """Accuracy: the largest logit is the largest target."""
        return [keras.metrics.CategoricalAccuracy(name="accuracy")]

    def linear_problem(self, targets: Any) -> Classes:
        """A multinomial logistic regression."""
        weights = None if self.class_weights is None else self.class_weights[targets]
        return Classes(targets, weights, self.num_classes)

    def calibrated_loss(self, targets: Any, outputs: Any) -> float:
        """Cross-entropy after temperature scaling, in nats."""
        rows = np.arange(len(targets))

        def loss(logits: np.ndarray) -> float:
            return float(-log_softmax(logits, axis=1)[rows, targets].mean())

        return calibrated_loss(loss, outputs)

    def inference(self, outputs: Any) -> Any:
        """Probabilities (B, C), float32."""
        return keras.layers.Softmax(dtype="float32", name="probabilities")(outputs)


def balanced_weights(spec: DataSpec) -> np.ndarray:
    """Weights in inverse proportion to the training counts, (C,), with mean 1 over the examples.

    The same as scikit-learn's `class_weight="balanced"`.
    """
    counts = np.array([spec.class_counts["train"][name] for name in spec.classes], np.float64)
    return (counts.sum() / (len(counts) * np.maximum(counts, 1))).astype(np.float32)
