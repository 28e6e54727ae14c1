"""Contrastive learning, SimCLR and VICReg: two views of an image get similar features.

Features of different images stay apart: in SimCLR because they are the negatives, in VICReg
because features must vary and not correlate.

B images, P numbers of a projection. Rows 2i and 2i + 1 of a batch are the views of image i.
"""

from typing import Any

import keras
from keras import ops

from fmkit.config.schema.model import ModelConfig
from fmkit.models.backbone import Backbone
from fmkit.tasks.self_supervised.base import SelfSupervised

_FAR = -1e9
"""The similarity of a view with itself: it counts for nothing, and gradients stay finite."""


class Contrastive(SelfSupervised):
    """Pooled features, and a projection of them for the loss.

    `model.hidden` and `model.dropout` are unused.
    """

    views_per_image = 2

    def head(self, backbone: Backbone, config: ModelConfig) -> Any:
        """Dense layers with BatchNorm and ReLU between them: (2B, P) in float32."""
        x = self.pooled(backbone, config)
        for number in range(1, self.config.projection_layers):
            name = f"head_projection{number}"
            x = keras.layers.Dense(self.config.projection_hidden, use_bias=False, name=name)(x)
            x = keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
            x = keras.layers.ReLU(name=f"{name}_relu")(x)
        last = keras.layers.Dense(self.config.projection, dtype="float32", name="head_projection")
        return last(x)


class Simclr(Contrastive):
    """NT-Xent: see `nt_xent`."""

    name = "simclr"

    def loss(self, targets: Any, outputs: Any, weights: Any, training: bool) -> Any:
        """NT-Xent of a batch of projections (2B, P), in nats."""
        return nt_xent(outputs, self.config.temperature)


class Vicreg(Contrastive):
    """Variance, invariance and covariance: see `vicreg`."""

    name = "vicreg"

    def loss(self, targets: Any, outputs: Any, weights: Any, training: bool) -> Any:
        """VICReg of a batch of projections (2B, P)."""
        config = self.config
        return vicreg(outputs, config.invariance, config.variance, config.covariance)


def nt_xent(projections: Any, temperature: float) -> Any:
    """Cross-entropy of each view's partner among all other views of the batch, in nats.

    SimCLR, Chen et al. 2020, arxiv.org/abs/2002.05709, equation 1: cosine similarities, divided by
    the temperature. With one image there are no negatives, and the loss is 0.

    Args:
        projections: (2B, P).
        temperature: tau, above 0.
    """
    z = ops.cast(projections, "float32")
    z = z * ops.rsqrt(ops.maximum(ops.sum(ops.square(z), axis=1, keepdims=True), 1e-12))
    rows = ops.arange(ops.shape(z)[0], dtype="int32")
    is_same = ops.equal(rows[:, None], rows[None, :])
    similarities = ops.where(is_same, _FAR, ops.matmul(z, ops.transpose(z)) / temperature)
    partner = rows + 1 - 2 * (rows % 2)
    losses = ops.sparse_categorical_crossentropy(partner, similarities, from_logits=True)
    return ops.mean(losses)


def vicreg(projections: Any, invariance: float, variance: float, covariance: float) -> Any:
    """A weighted sum of the views' distance, a hinge on variance, and covariances.

    VICReg, Bardes et al. 2022, arxiv.org/abs/2105.04906, in the scale of the authors' code: the
    hinge of both views is averaged, and their covariance terms are added. With one image there is
    no variance, and the hinge is at its maximum.

    Args:
        projections: (2B, P).
        invariance: weight of the mean squared distance between the two views.
        variance: weight of the mean hinge on standard deviations below 1.
        covariance: weight of the sum of squared covariances of different dimensions, over P.
    """
    width = projections.shape[-1]
    pairs = ops.reshape(ops.cast(projections, "float32"), (-1, 2, width))
    first, second = pairs[:, 0], pairs[:, 1]  # (B, P)
    total = invariance * ops.mean(ops.square(first - second))
    degrees = ops.maximum(ops.cast(ops.shape(pairs)[0] - 1, "float32"), 1.0)
    for view in (first, second):
        centred = view - ops.mean(view, axis=0, keepdims=True)
        variances = ops.sum(ops.square(centred), axis=0) / degrees  # (P,)
        deviation = ops.sqrt(variances + 1e-4)  # the gradient of a root at 0 would be infinite
        total = total + variance * ops.mean(ops.relu(1.0 - deviation)) / 2
        covariances = ops.matmul(ops.transpose(centred), centred) / degrees  # (P, P)
        off_diagonal = ops.sum(ops.square(covariances)) - ops.sum(ops.square(variances))
        total = total + covariance * off_diagonal / width
    return total
