"""Attention rollout: which patches a vision transformer has attended to, through all its layers.

B batch, T tokens, N patches.
"""

import math

import numpy as np
from keras import ops

from fmkit.core.errors import ConfigError
from fmkit.evaluation.load_run import LoadedRun
from fmkit.explain.maps import Maps, Settings
from fmkit.explain.network import Network, patch_tokens
from fmkit.models.keras_internals import attention_layers, attention_scores


def problem(trained: LoadedRun) -> str:
    """Why a run has no attention rollout; empty where it has."""
    name = trained.backbone.name
    if not attention_layers(trained.model):
        return f"model {name} has no attention of Keras' MultiHeadAttention that could be read."
    if patch_tokens(trained) is None:
        return f"model {name} does not say which tokens are which patches."
    return ""


def attention_rollout(
    network: Network, images: np.ndarray, targets: np.ndarray, settings: Settings
) -> Maps:
    """The attention of all layers multiplied, with the way around each layer as half of it.

    Abnar and Zuidema 2020, Quantifying attention flow in transformers, arXiv:2005.00928, section 3:
    the mean of the heads, 0.5 A + 0.5 I, multiplied from the first layer to the last. The map is
    the row of the token that the head reads, or the mean row of the patches, where it reads their
    mean. It does not depend on the target.
    """
    patches = network.patches
    scores = attention_scores(network.model, ops.convert_to_tensor(images, "float32"))
    if patches is None or not scores:
        raise ConfigError("method=attention_rollout: the model is not a vision transformer.")
    rollout = np.eye(patches.leading + patches.count)
    for layer in scores:
        mean = ops.convert_to_numpy(ops.cast(layer, "float32")).mean(axis=1, dtype=np.float64)
        mixed = 0.5 * mean + 0.5 * np.eye(mean.shape[-1])  # (B, T, T), rows add up to 1
        rollout = mixed @ rollout
    rows = (
        rollout[:, 0] if patches.pools_class_token else rollout[:, patches.leading :].mean(axis=1)
    )
    side = math.isqrt(patches.count)
    values = rows[:, patches.leading :].reshape(-1, side, side)
    # Each patch keeps a share of its own, which the mean row shows everywhere alike.
    return Maps((values - values.min(axis=(1, 2), keepdims=True)).astype(np.float32))
