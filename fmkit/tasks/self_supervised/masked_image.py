"""Masked image modelling: reconstruct hidden parts of an image from the rest.

SimMIM for convolutional backbones, MAE for vision transformers, at a fraction of the cost.
"""

from typing import Any

import numpy as np

from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import MaskedImageConfig
from fmkit.core.types import DataSpec
from fmkit.models.backbone import Backbone
from fmkit.tasks.base import Batch
from fmkit.tasks.self_supervised.base import SelfSupervised
from fmkit.tasks.self_supervised.mae import Mae
from fmkit.tasks.self_supervised.simmim import Simmim


class MaskedImage(SelfSupervised):
    """The error of reconstructed pixels; see `Simmim` and `Mae` for targets and outputs.

    `model.hidden` and `model.dropout` are unused.
    """

    name = "masked_image"
    _method: Any = None

    def __init__(self, config: MaskedImageConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.resolved_config = config

    def prepare_batch(self, images: np.ndarray, random: np.random.Generator) -> Batch:
        """Inputs and targets of images (B, S, S, 3)."""
        if self._method is None:
            raise RuntimeError("call `head` first: it knows the backbone")
        batch: Batch = self._method.prepare_batch(images, random)
        return batch

    def head(self, backbone: Backbone, config: ModelConfig) -> Any:
        """The reconstructed pixels, symbolic, float32.

        Raises:
            ConfigError: the backbone has no spatial features, or cannot leave patches out.
        """
        self.pooled(backbone, config)
        config_of_task = self.resolved_config
        name = config_of_task.method
        is_mae = name == "mae" or (name == "auto" and backbone.patches is not None)
        self._method = method = (Mae if is_mae else Simmim)(config_of_task, backbone)
        self.resolved_config, output = method.resolved_config, method.head(backbone)
        self.extra_inputs = method.extra_inputs
        return output

    def loss(self, targets: Any, outputs: Any, weights: Any, training: bool) -> Any:
        """The mean error of the hidden pixels of a batch."""
        return self._method.loss(targets, outputs)

    def loss_weight(self, targets: Any) -> Any:
        """What the mean of `loss` is of."""
        return self._method.loss_weight(targets)
