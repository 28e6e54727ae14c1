"""All backbones by name; importing this file imports neither Keras nor TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmkit.config.schema.model import ModelConfig
from fmkit.core import registry
from fmkit.core.errors import ConfigError, received
from fmkit.models.vision.application_families import APPLICATIONS

if TYPE_CHECKING:
    from fmkit.models.backbone import Backbone

MODELS: dict[str, str] = {
    "efficientnet_lite0": "fmkit.models.vision.efficientnet_lite:efficientnet_lite0",
    "hub": "fmkit.models.hub.vision:hub",
    "minilm": "fmkit.models.text.minilm_smollm2:minilm",
    "small_bert": "fmkit.models.text.small:small_bert",
    "small_cnn": "fmkit.models.vision.small:small_cnn",
    "small_gpt": "fmkit.models.text.small:small_gpt",
    "small_vit": "fmkit.models.vision.small:small_vit",
    "smollm2": "fmkit.models.text.minilm_smollm2:smollm2",
    **dict.fromkeys(APPLICATIONS, "fmkit.models.vision.applications:application"),
}
"""By name, the function `(ModelConfig) -> Backbone` that builds it."""

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


def default_image_size(name: str) -> int | None:
    """Side in pixels of the input that a backbone has when `model.image_size` is empty.

    None for `hub` and for plugins, where only building them tells, and for backbones of texts.
    """
    if name in APPLICATIONS:
        return APPLICATIONS[name].image_size
    return _OWN_SIZES.get(name)
