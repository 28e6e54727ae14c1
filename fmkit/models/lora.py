"""LoRA: small trainable matrices added to frozen kernels (Hu et al. 2021, arXiv:2106.09685).

The arithmetic is Keras' own, `enable_lora` of its Dense and EinsumDense layers: a kernel W becomes
W + alpha / rank * A B, where B begins at zero, so that fresh adapters change nothing. What Keras
3.15 does, and what is done about it here:

- Only the last axis of a kernel is factored. The query of an attention, (D, heads, key size), gets
  A (D, heads, rank) and B (rank, key size): a rank near the key size saves nothing.
- Setting `trainable` on a layer unfreezes its kernel too; train/freeze.py sets each variable.
- Saving a model keeps the rank in the layers' configs, and rounds kernels to the compute type;
  `merge_adapters` comes before that.
"""

import re
from typing import Any

import keras
import numpy as np
from keras import ops

from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ConfigError, join_names, received
from fmkit.models.backbone import ADAPTERS, Backbone, is_adapter
from fmkit.models.keras_internals import all_layers, delete_lora_variables, dense_kernel


def add_adapters(backbone: Backbone, config: ModelConfig) -> None:
    """Add fresh adapters to the kernels that `model.lora_targets` names.

    Of a backbone only: the head is new, and trains in full.

    Raises:
        ConfigError: the backbone has no dense layer, or the pattern fits none of them.
    """
    if not config.lora_rank:
        return
    layers: dict[str, Any] = {  # by path, those that Keras can adapt
        dense_kernel(layer).path.removesuffix("/kernel"): layer
        for block in backbone.blocks
        for whole in block.layers
        for layer in all_layers(whole, include_self=True)
        if isinstance(layer, keras.layers.Dense | keras.layers.EinsumDense)
        and layer.kernel_constraint is None
    }
    if not layers:
        raise ConfigError(
            f"model.lora_rank: received {config.lora_rank}, but {config.name} has no dense or "
            "attention layer that LoRA could adapt.",
            "Set model.lora_rank=0 and another stage, such as stage=lp_ft; or use a model with "
            "such layers: a vision transformer (model=hub) or ConvNeXt (model=convnext_tiny).",
        )
    chosen = [layer for path, layer in layers.items() if re.search(config.lora_targets, path)]
    if not chosen:
        allowed = f"a regular expression that fits one of: {join_names(list(layers), 12)}"
        raise ConfigError(received("model.lora_targets", config.lora_targets, allowed))
    for layer in chosen:
        layer.enable_lora(config.lora_rank, lora_alpha=config.lora_alpha)


def adapted_layers(model: keras.Layer) -> list[Any]:
    """The layers that have adapters, those inside nested models included."""
    return [layer for layer in all_layers(model) if getattr(layer, "lora_enabled", False)]


def describe(model: keras.Model) -> str:
    """Rank, layers and share of the parameters in a line; empty without adapters."""
    layers = adapted_layers(model)
    if not layers:
        return ""
    added = sum(int(np.prod(weight.shape)) for weight in model.weights if is_adapter(weight))
    share, rank = added / model.count_params(), layers[0].lora_rank
    return f"lora: rank {rank} on {len(layers)} layers, {share:.1%} of the parameters"


def merge_adapters(model: keras.Model) -> None:
    """Add the adapters to their kernels for good and leave a model of plain layers.

    It gives the same outputs up to float rounding, and so do functions that Keras compiled before:
    the matrices that those still read are zero from here on.
    """
    for layer in adapted_layers(model):
        kernel = dense_kernel(layer)
        update = ops.matmul(
            ops.convert_to_tensor(layer.lora_kernel_a), ops.convert_to_tensor(layer.lora_kernel_b)
        )
        update = update * (layer.lora_alpha / layer.lora_rank)
        kernel.assign(ops.convert_to_tensor(kernel) + ops.cast(update, kernel.dtype))
        layer.lora_kernel_b.assign(ops.zeros(layer.lora_kernel_b.shape))
        delete_lora_variables(layer, ADAPTERS)
        layer.lora_enabled, layer.lora_rank, layer.lora_alpha = False, None, None


def merge_weights(weights: dict[str, np.ndarray], config: ModelConfig) -> dict[str, np.ndarray]:
    """Weights by path with the adapters added to their kernels.

    Args:
        weights: of a checkpoint.
        config: of the model whose weights they are; it has rank and alpha.
    """
    merged = {path: value for path, value in weights.items() if not is_adapter_path(path)}
    for path, first in weights.items():
        prefix, _, name = path.rpartition("/")
        if name == ADAPTERS[0]:
            kernel, second = merged[f"{prefix}/kernel"], weights[f"{prefix}/{ADAPTERS[1]}"]
            update = np.matmul(first, second) * (alpha(config) / (config.lora_rank or 1))
            merged[f"{prefix}/kernel"] = (kernel + update).astype(kernel.dtype)
    return merged


def is_adapter_path(path: str) -> bool:
    """Whether a variable's path is that of one of LoRA's two matrices."""
    return path.rpartition("/")[2] in ADAPTERS


def alpha(config: ModelConfig) -> float:
    """LoRA's alpha: `model.lora_alpha`, or where that is empty the rank."""
    return float((config.lora_rank or 0) if config.lora_alpha is None else config.lora_alpha)


def same_adapters(first: ModelConfig, second: ModelConfig) -> bool:
    """Whether two configs ask for the same adapters at the same scale."""
    adapters = [
        (config.lora_rank, alpha(config), config.lora_targets) for config in (first, second)
    ]
    return adapters[0] == adapters[1] or not (first.lora_rank or second.lora_rank)
