"""Base class of self-supervised tasks, which learn from images without labels."""

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
from fmkit.tasks.base import Task
from fmkit.tasks.self_supervised.knn_accuracy import NAME, KnnEvaluator


class SelfSupervised(Task):
    """A task that trains pooled features (B, D); labels, if any, only evaluate them.

    Raises:
        ConfigError: the monitor needs labels, and the data has none.
    """

    epoch_metrics = (NAME,)

    def __init__(self, config: SelfSupervisedConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self._voters = config.knn_examples if spec.classes else 0
        if config.monitor == f"val_{NAME}" and not self._voters:
            why = "task.knn_examples is 0" if spec.classes else "the data has no labels"
            raise ConfigError(
                f"task.monitor=val_{NAME} is the share of labels that neighbours tell, and {why}.",
                "Take task.monitor=val_loss.",
            )

    def pooled(self, backbone: Backbone, config: ModelConfig) -> Any:
        """Pooled features (B, D), which a deployed model returns."""
        self.features = heads.pool(backbone, config.pooling)
        self.inference_input = self.features
        return self.features

    def epoch_evaluator(
        self, network: Any, loader: Any, examples: Any, splits: Mapping[str, np.ndarray]
    ) -> KnnEvaluator | None:
        """k-NN accuracy of the features, where the data has classes."""
        if not self._voters or not len(splits.get("val", ())):
            return None
        embedder = keras.Model(network.inputs[0], self.features, name="embedder")
        return KnnEvaluator(embedder, loader, examples, splits, self._voters)

    def inference(self, outputs: Any) -> Any:
        """Features (B, D), float32."""
        return keras.layers.Activation("linear", dtype="float32", name="features")(outputs)
