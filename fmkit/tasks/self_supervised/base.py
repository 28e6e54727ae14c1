"""What tasks share that learn of images without labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import SelfSupervisedConfig
from fmkit.core.errors import ConfigError
from fmkit.core.types import DataSpec
from fmkit.models import heads
from fmkit.models.backbone import Backbone
from fmkit.tasks.self_supervised.knn_accuracy import FIGURE, NeighbourAccuracy


class SelfSupervised:
    """A task whose trained network gives pooled features (B, D), and whose labels only judge.

    Args:
        config: of the task.
        spec: the data set; with classes or without.

    Raises:
        ConfigError: the data are no images; or the monitor needs labels that are not there.
    """

    name = ""
    evaluator = "losses"
    reads = "examples"
    one_hot = None
    class_weights = None
    inputs = ()
    prepare: Any = None
    views = 1
    shown: Any = None
    watched = (FIGURE,)

    def __init__(self, config: SelfSupervisedConfig, spec: DataSpec) -> None:
        if spec.modality != "image":
            raise ConfigError(
                f"task.name={config.name} learns of images, and the data are {spec.modality}s.",
                "Take a task for them.",
            )
        self._voters = config.knn_examples if spec.classes else 0
        if config.monitor == FIGURE and not self._voters:
            why = "task.knn_examples is 0" if spec.classes else "the data has no labels"
            raise ConfigError(
                f"task.monitor={FIGURE} is the share of labels that neighbours tell, and {why}.",
                "Take task.monitor=val_loss.",
            )

    def targets(self, examples: Any) -> np.ndarray:
        """Nothing is learned of a label: (N,) int32 zeros."""
        return np.zeros(len(examples), np.int32)

    def pooled(self, backbone: Backbone, config: ModelConfig) -> Any:
        """Pooled features (B, D), which are what a deployed model shows."""
        self.shown = heads.features_to_vector(backbone, config.pooling)
        return self.shown

    def metrics(self) -> list[Any]:
        """None beside the loss."""
        return []

    def callbacks(
        self, learner: Any, loader: Any, examples: Any, splits: Mapping[str, np.ndarray]
    ) -> list[Any]:
        """Where there are labels, the accuracy of the nearest neighbours after each epoch."""
        if not self._voters or not len(splits.get("val", ())):
            return []
        embedder = keras.Model(learner.inputs[0], self.shown, name="embedder")
        return [
            NeighbourAccuracy(embedder, loader, examples.ids, examples.labels, splits, self._voters)
        ]

    def inference(self, outputs: Any) -> Any:
        """Features (B, D), float32."""
        return keras.layers.Activation("linear", dtype="float32", name="features")(outputs)
