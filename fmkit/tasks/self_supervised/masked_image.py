"""Hidden parts of an image are painted again from what is left of it.

For convolutional backbones SimMIM, for vision transformers MAE, which costs a fraction of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import MaskedImageConfig
from fmkit.core.types import DataSpec
from fmkit.models.backbone import Backbone
from fmkit.tasks.self_supervised.base import SelfSupervised
from fmkit.tasks.self_supervised.mae import Mae
from fmkit.tasks.self_supervised.simmim import Simmim


class MaskedImage(SelfSupervised):
    """The error of hidden pixels; see `Simmim` and `Mae` for targets and outputs.

    `model.hidden` and `model.dropout` are not read.

    Args:
        config: which of the two, and how much is hidden.
        spec: the data set.
    """

    name = "masked_image"

    def __init__(self, config: MaskedImageConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.resolved_config = config
        self._method: Simmim | Mae | None = None

    def prepare_batch(
        self, images: np.ndarray, chance: np.random.Generator
    ) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """Inputs and targets of images (B, S, S, 3)."""
        return self._chosen().prepare_batch(images, chance)

    def head(self, backbone: Backbone, config: ModelConfig) -> Any:
        """What paints: symbolic pixels, float32.

        Raises:
            ConfigError: the backbone has no places to paint, or cannot leave patches out.
        """
        self.pooled(backbone, config)
        asked = self.resolved_config.method
        chosen: type[Simmim | Mae] = Simmim
        if asked == "mae" or (asked == "auto" and backbone.patches is not None):
            chosen = Mae
        self._method = method = chosen(self.resolved_config, backbone)
        self.resolved_config, output = method.resolved_config, method.head(backbone)
        self.extra_inputs = method.extra_inputs
        return output

    def loss(self, targets: Any, outputs: Any, weights: Any, training: bool) -> Any:
        """The mean error of the hidden pixels of a batch."""
        return self._chosen().loss(targets, outputs)

    def _chosen(self) -> Simmim | Mae:
        if self._method is None:
            raise RuntimeError("the head comes first: it knows the backbone")
        return self._method
