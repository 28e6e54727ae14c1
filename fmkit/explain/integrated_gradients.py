"""Integrated gradients: what each pixel adds to the score, on the way from a blank photo.

B batch, S side of the photos, G cells of a map on a side, K outputs.
"""

from typing import Any

import numpy as np
from keras import ops
from PIL import Image

from fmkit.explain.maps import Maps, Settings
from fmkit.explain.network import Network, blank, one_hot
from fmkit.train import devices

_MOST_STEPS = 256
_TOLERANCE = 0.05
"""Completeness error, of the score's difference, above which there are more steps."""
_CELLS = 28
"""Cells of the map on a side, at most: single pixels are too noisy to look at."""


def integrated_gradients(
    network: Network, images: np.ndarray, targets: np.ndarray, settings: Settings
) -> Maps:
    """Pixels times the mean gradient on the straight way from a photo of its mean colour to it.

    Sundararajan et al. 2017, Axiomatic attribution for deep networks, arXiv:1703.01365, equation 3.
    Attributions add up to the difference of both scores (completeness); what is missing of that is
    `completeness_error`, as a share, and above 5% the integral gets more steps. A black photo to
    start from, as in the paper, would find nothing in dark cracks.
    """
    attributions, errors = attribute(network, images, targets, settings.steps)
    steps = settings.steps
    while errors.max(initial=0.0) > _TOLERANCE and 2 * steps <= _MOST_STEPS:
        steps *= 2
        rough = np.flatnonzero(errors > _TOLERANCE)
        attributions[rough], errors[rough] = attribute(
            network, images[rough], targets[rough], steps
        )
    cells = min(_CELLS, network.size)
    values = [_in_cells(attribution.sum(axis=-1), cells) for attribution in attributions]
    return Maps(np.stack(values), {"completeness_error": errors})


def attribute(
    network: Network, images: np.ndarray, targets: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Attributions (B, S, S, 3), and their completeness error (B,)."""
    images = np.asarray(images, np.float32)
    start = blank(images)

    def score(batch: Any) -> Any:
        outputs = ops.cast(network.model(batch, training=False), "float32")
        return ops.sum(outputs * one_hot(targets, outputs.shape[-1]))

    total = np.zeros(images.shape, np.float64)
    for step in range(steps):
        share = (step + 0.5) / steps  # the middle of each part
        total += devices.input_gradients(score, start + share * (images - start))
    attributions = (images - start) * total / steps
    differences = network.scores(images, targets) - network.scores(start, targets)
    missing = np.abs(attributions.sum(axis=(1, 2, 3)) - differences)
    return attributions, missing / np.maximum(np.abs(differences), 1e-6)


def _in_cells(values: np.ndarray, cells: int) -> np.ndarray:
    """Means of an array (S, S) over cells, (G, G)."""
    picture = Image.fromarray(values.astype(np.float32))
    return np.asarray(picture.resize((cells, cells), Image.Resampling.BOX))
