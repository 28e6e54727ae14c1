"""Grad-CAM and Grad-CAM++: where in its last feature map a network sees what speaks for a target.

B batch, S side of the photos, h w cells of the map, D its channels, K outputs.
"""

from typing import Any

import numpy as np
from keras import ops

from fmkit.evaluation.load_run import LoadedRun
from fmkit.explain.maps import Maps, Settings
from fmkit.explain.network import Network, feature_maps, one_hot
from fmkit.train import devices

_TINY = 1e-12


def problem(trained: LoadedRun) -> str:
    """Why Grad-CAM cannot explain a run; empty where it can."""
    if feature_maps(trained.model):
        return ""
    return f"model {trained.backbone.name} has no feature map of height and width."


def grad_cam(network: Network, images: np.ndarray, targets: np.ndarray, settings: Settings) -> Maps:
    """The channels of the last feature map, weighted by the mean gradient of the target's score.

    Selvaraju et al. 2017, Grad-CAM, arXiv:1610.02391, equations 1 and 2.
    """
    features, gradients = _features_and_gradients(network, images, targets)
    weights = gradients.mean(axis=(1, 2), keepdims=True)  # (B, 1, 1, D)
    return Maps(np.maximum((weights * features).sum(axis=-1), 0.0))


def grad_cam_plus_plus(
    network: Network, images: np.ndarray, targets: np.ndarray, settings: Settings
) -> Maps:
    """As Grad-CAM, with a weight for each cell, so that several small objects all count.

    Chattopadhay et al. 2018, Grad-CAM++, arXiv:1710.11063, equations 10 to 19, for the exponential
    of the score: its derivatives are powers of the score's gradient, and its own factor is the same
    in all cells.
    """
    features, gradients = _features_and_gradients(network, images, targets)
    squares, cubes = gradients**2, gradients**3
    total = features.sum(axis=(1, 2), keepdims=True)  # (B, 1, 1, D)
    denominators = 2 * squares + total * cubes
    alphas = np.divide(
        squares, denominators, out=np.zeros_like(squares), where=np.abs(denominators) > _TINY
    )
    weights = (alphas * np.maximum(gradients, 0.0)).sum(axis=(1, 2), keepdims=True)
    return Maps(np.maximum((weights * features).sum(axis=-1), 0.0))


def _features_and_gradients(
    network: Network, images: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The last feature map, and the gradient of the targets' scores by it, (B, h, w, D) each."""
    cut = network.feature_map
    features = cut.lower(ops.convert_to_tensor(images, "float32"), training=False)

    def score(features: Any) -> Any:
        outputs = ops.cast(cut.upper(features, training=False), "float32")
        return ops.sum(outputs * one_hot(targets, outputs.shape[-1]))

    gradients = devices.input_gradients(score, features)
    return np.asarray(ops.cast(features, "float32"), np.float32), gradients
