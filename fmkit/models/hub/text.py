"""KerasHub's backbones of texts, by preset name, address, or from a local folder.

Local folders are those that `save_to_preset` writes of a model or of a backbone and its tokenizer,
or checkpoints in the layout of Hugging Face where KerasHub can convert them.
"""

from __future__ import annotations

import json
from typing import Any

import keras
import keras_hub

from fmkit.config.schema.model import ModelConfig
from fmkit.core import safe_io
from fmkit.core.errors import ArtifactError, ConfigError
from fmkit.models.backbone import Backbone
from fmkit.models.hub.presets import TEXT_BACKBONES, Family, loading, no_backbone
from fmkit.models.hub.tokenizers import from_keras_hub, split_pattern
from fmkit.models.keras_internals import preset_file, use_exact_gelu
from fmkit.models.text.token_input import chosen_length, takes, text_backbone
from fmkit.models.tokenizers.tokenizer import TextTokenizer
from fmkit.models.weights.load import check_finite, chosen_weights, load_weights_file

_MAX = 128 * 2**20  # bytes of a tokenizer.json; that of a vocabulary of 256,000 has 33 million


def text_hub(config: ModelConfig, preset: str, class_name: str) -> Backbone:
    """The text backbone of a preset and the tokenizer that it was trained with.

    Args:
        config: `weights` and `max_length` are read.
        preset: a checked preset.
        class_name: its class, a name in `TEXT_BACKBONES`.

    Raises:
        ConfigError: the model reads more than texts, or takes no texts that long.
        ArtifactError: the preset could not be fetched or read.
    """
    weights = chosen_weights(config, ("pretrained", "none"))
    family = TEXT_BACKBONES[class_name]
    with loading(preset):
        trained = weights == "pretrained"
        inner = keras_hub.models.Backbone.from_preset(preset, load_weights=trained)
        hub_tokenizer = _hub_tokenizer(preset)
    if type(inner).__name__ != class_name:
        raise ConfigError(no_backbone(preset, type(inner).__name__))
    if not takes(inner):
        raise ConfigError(
            f"model.preset: {preset} reads {', '.join(sorted(inner.input))}. "
            "Expected a backbone that reads texts and nothing else."
        )
    if weights not in ("pretrained", "none"):
        load_weights_file(inner, weights)
    elif trained:
        check_finite(inner, preset)
    if _setting(preset, "config.json", "hidden_act", "activation") == "gelu":
        use_exact_gelu(inner)
    tokenizer = _tokenizer(preset, hub_tokenizer, family)
    _check_vocabulary(preset, inner, tokenizer)
    return text_backbone(
        config,
        inner,
        tokenizer,
        chosen_length(config, getattr(inner, "max_sequence_length", None)),
        is_causal=family.is_causal,
        has_class_token=family.has_class_token,
        weights=preset if trained else weights,
    )


def _hub_tokenizer(preset: str) -> Any:
    try:
        return keras_hub.models.Tokenizer.from_preset(preset)
    except FileNotFoundError as error:
        raise ArtifactError(
            f"model.preset: {preset} has no tokenizer: {error}",
            "Save the one that the model was trained with in the same folder: "
            "keras_hub.models.Tokenizer.from_preset(NAME).save_to_preset('FOLDER').",
        ) from error


def _tokenizer(preset: str, hub_tokenizer: Any, family: Family) -> TextTokenizer:
    """Our own, with the settings of a Hugging Face checkpoint that KerasHub's loader ignores."""
    if _setting(preset, "config.json", "model_type") is None:
        return from_keras_hub(hub_tokenizer, family)
    accents, pattern = None, None
    if isinstance(hub_tokenizer, keras_hub.tokenizers.WordPieceTokenizer):
        accents = _setting(preset, "tokenizer_config.json", "strip_accents")
        accents = hub_tokenizer.lowercase if accents is None else bool(accents)
    elif isinstance(hub_tokenizer, keras_hub.tokenizers.BytePairTokenizer):
        content = _content(preset, "tokenizer.json")
        pattern = split_pattern(content) if content else None
    return from_keras_hub(hub_tokenizer, family, accents, pattern)


def _check_vocabulary(preset: str, inner: keras.Model, tokenizer: TextTokenizer) -> None:
    rows = inner.token_embedding.input_dim
    if tokenizer.size > rows:
        raise ArtifactError(
            f"model.preset: {preset} has {tokenizer.size} tokens in its vocabulary and {rows} in "
            "its model."
        )


def _setting(preset: str, file: str, *keys: str) -> Any:
    """The first of several keys that a JSON file of a preset has; None where it has none."""
    content = _content(preset, file)
    values = json.loads(content) if content else None
    if not isinstance(values, dict):
        return None
    return next((values[key] for key in keys if values.get(key) is not None), None)


def _content(preset: str, file: str) -> bytes | None:
    """A file of a preset; None where it has none."""
    with loading(preset):
        try:
            path = preset_file(preset, file)
        except FileNotFoundError:
            return None
        return safe_io.read_bytes(path, _MAX)
