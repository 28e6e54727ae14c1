"""Masked image modelling: reconstruct hidden parts of an image from the rest.

SimMIM for convolutional backbones, MAE for vision transformers, at a fraction of the cost.
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
    """The error of reconstructed pixels; see `Simmim` and `Mae` for targets and outputs.

    `model.hidden` and `model.dropout` are unused.

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
        self, images: np.ndarray, random: np.random.Generator
    ) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """Inputs and targets of images (B, S, S, 3)."""
        return self._built_method().prepare_batch(images, random)

    def head(self, backbone: Backbone, config: ModelConfig) -> Any:
        """The reconstructed pixels, symbolic, float32.

        Raises:
            ConfigError: the backbone has no spatial features, or cannot leave patches out.
        """
        self.pooled(backbone, config)
        name = self.resolved_config.method
        is_mae = name == "mae" or (name == "auto" and backbone.patches is not None)
        method_class: type[Simmim | Mae] = Mae if is_mae else Simmim
        self._method = method = method_class(self.resolved_config, backbone)
        self.resolved_config, output = method.resolved_config, method.head(backbone)
        self.extra_inputs = method.extra_inputs
        return output

    def loss(self, targets: Any, outputs: Any, weights: Any, training: bool) -> Any:
        """The mean error of the hidden pixels of a batch."""
        return self._built_method().loss(targets, outputs)

    def _built_method(self) -> Simmim | Mae:
        if self._method is None:
            raise RuntimeError("call `head` first: it knows the backbone")
        return self._method
