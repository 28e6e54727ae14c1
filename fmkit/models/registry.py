"""All backbones by name; importing this file imports neither Keras nor TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmkit.config.schema.model import ModelConfig
from fmkit.core import registry
from fmkit.core.errors import ConfigError, received
from fmkit.models.vision.application_families import APPLICATIONS

if TYPE_CHECKING:
    from fmkit.models.backbone import Backbone

_APPLICATION = "fmkit.models.vision.applications:application"

MODELS: dict[str, str] = {
    "efficientnet_lite0": "fmkit.models.vision.efficientnet_lite:efficientnet_lite0",
    "hub": "fmkit.models.hub.vision:hub",
    "minilm": "fmkit.models.text.minilm_smollm2:minilm",
    "small_bert": "fmkit.models.text.small:small_bert",
    "small_cnn": "fmkit.models.vision.small:small_cnn",
    "small_gpt": "fmkit.models.text.small:small_gpt",
    "small_vit": "fmkit.models.vision.small:small_vit",
    "smollm2": "fmkit.models.text.minilm_smollm2:smollm2",
    "convnext_tiny": _APPLICATION,
    "convnext_small": _APPLICATION,
    "convnext_base": _APPLICATION,
    "convnext_large": _APPLICATION,
    "convnext_xlarge": _APPLICATION,
    "densenet121": _APPLICATION,
    "densenet169": _APPLICATION,
    "densenet201": _APPLICATION,
    "efficientnet_b0": _APPLICATION,
    "efficientnet_b1": _APPLICATION,
    "efficientnet_b2": _APPLICATION,
    "efficientnet_b3": _APPLICATION,
    "efficientnet_b4": _APPLICATION,
    "efficientnet_b5": _APPLICATION,
    "efficientnet_b6": _APPLICATION,
    "efficientnet_b7": _APPLICATION,
    "efficientnet_v2_b0": _APPLICATION,
    "efficientnet_v2_b1": _APPLICATION,
    "efficientnet_v2_b2": _APPLICATION,
    "efficientnet_v2_b3": _APPLICATION,
    "efficientnet_v2_s": _APPLICATION,
    "efficientnet_v2_m": _APPLICATION,
    "efficientnet_v2_l": _APPLICATION,
    "inception_resnet_v2": _APPLICATION,
    "inception_v3": _APPLICATION,
    "mobilenet": _APPLICATION,
    "mobilenet_v2": _APPLICATION,
    "mobilenet_v3_large": _APPLICATION,
    "mobilenet_v3_small": _APPLICATION,
    "nasnet_large": _APPLICATION,
    "nasnet_mobile": _APPLICATION,
    "resnet50": _APPLICATION,
    "resnet50_v2": _APPLICATION,
    "resnet101": _APPLICATION,
    "resnet101_v2": _APPLICATION,
    "resnet152": _APPLICATION,
    "resnet152_v2": _APPLICATION,
    "vgg16": _APPLICATION,
    "vgg19": _APPLICATION,
    "xception": _APPLICATION,
}
"""By name, the function `(ModelConfig) -> Backbone` that builds it."""

_TEXTS = ("minilm", "small_bert", "small_gpt", "smollm2")
_OWN_SIZES = {"efficientnet_lite0": 224, "small_cnn": 32, "small_vit": 32}


def names() -> list[str]:
    """Every name that `model.name` may have, plugins' included, sorted."""
    return registry.names("models", MODELS)


def build(config: ModelConfig) -> Backbone:
    """The backbone that a config describes, with its weights loaded.

    Raises:
        ConfigError: no such name, or a key has a value that this backbone cannot take.
        ArtifactError: weights could not be fetched, or do not fit.
    """
    if config.image_size is not None and config.image_size < 1:
        raise ConfigError(received("model.image_size", config.image_size, "pixels, 1 or more"))
    backbone: Backbone = registry.find("models", config.name, MODELS)(config)
    return backbone


def modality_of(name: str) -> str | None:
    """What a backbone reads, `image` or `text`, known without building it.

    None for `hub` and for plugins: only building them tells.
    """
    if name in _TEXTS:
        return "text"
    return "image" if name in APPLICATIONS or name in _OWN_SIZES else None


def default_image_size(name: str) -> int | None:
    """Side in pixels of the input that a backbone has when `model.image_size` is empty.

    None for `hub` and for plugins, where only building them tells, and for backbones of texts.
    """
    if name in APPLICATIONS:
        return APPLICATIONS[name].image_size
    return _OWN_SIZES.get(name)
