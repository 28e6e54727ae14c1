"""KerasHub's text backbones, by preset name, address or local folder, and their tokenizers.

Local folders are those that `save_to_preset` writes of a model or of a backbone and its tokenizer,
or checkpoints in the layout of Hugging Face where KerasHub can convert them.
"""

import json
from typing import Any

import keras_hub

from fmkit.config.schema.model import ModelConfig
from fmkit.core import safe_io
from fmkit.core.errors import ArtifactError, ConfigError
from fmkit.models.backbone import Backbone
from fmkit.models.hub.families import TEXT_BACKBONES, Family
from fmkit.models.hub.presets import loading, no_backbone
from fmkit.models.keras_internals import preset_file, use_exact_gelu
from fmkit.models.text.token_input import chosen_length, takes, text_backbone
from fmkit.models.tokenizers.subword import (
    REGEXES,
    BytePairModel,
    SentencePieceModel,
    SubwordModel,
    WordPieceModel,
)
from fmkit.models.tokenizers.tokenizer import TextTokenizer
from fmkit.models.weights.load import apply_weights, chosen_weights

_MAX = 128 * 2**20  # bytes of a tokenizer.json; that of a vocabulary of 256,000 has 33 million


def text_hub(config: ModelConfig, preset: str, class_name: str) -> Backbone:
    """The text backbone of a checked preset, of a class in `TEXT_BACKBONES`, with its tokenizer."""
    weights = chosen_weights(config, ("pretrained", "none"))
    family = TEXT_BACKBONES[class_name]
    trained = weights == "pretrained"
    with loading(preset):
        inner = keras_hub.models.Backbone.from_preset(preset, load_weights=trained)
        try:
            hub_tokenizer = keras_hub.models.Tokenizer.from_preset(preset)
        except FileNotFoundError as error:
            raise ArtifactError(
                f"model.preset: {preset} has no tokenizer: {error}",
                "Save the one that the model was trained with in the same folder: "
                "keras_hub.models.Tokenizer.from_preset(NAME).save_to_preset('FOLDER').",
            ) from error
    if type(inner).__name__ != class_name:
        raise ConfigError(no_backbone(preset, type(inner).__name__))
    if not takes(inner):
        raise ConfigError(
            f"model.preset: {preset} reads {', '.join(sorted(inner.input))}. "
            "Expected a backbone that reads texts and nothing else."
        )
    apply_weights(inner, weights, preset)
    if _setting(preset, "config.json", "hidden_act", "activation") == "gelu":
        use_exact_gelu(inner)
    tokenizer = _tokenizer(preset, hub_tokenizer, family)
    rows = inner.token_embedding.input_dim
    if tokenizer.size > rows:
        raise ArtifactError(
            f"model.preset: {preset} has {tokenizer.size} tokens in its vocabulary and {rows} in "
            "its model."
        )
    return text_backbone(
        config,
        inner,
        tokenizer,
        chosen_length(config, getattr(inner, "max_sequence_length", None)),
        is_causal=family.is_causal,
        has_class_token=family.has_class_token,
        weights=preset if trained else weights,
    )


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


def from_keras_hub(
    hub_tokenizer: Any,
    family: Family,
    strip_accents: bool | None = None,
    pattern: str | None = None,
) -> TextTokenizer:
    """A KerasHub tokenizer with its vocabulary loaded, as our own.

    Args:
        hub_tokenizer: a WordPiece, byte-level BPE or SentencePiece tokenizer of KerasHub.
        family: how the model reads texts.
        strip_accents: what the checkpoint says, where KerasHub's loader does not ask it.
        pattern: how words are split, where the checkpoint says so.

    Raises:
        ArtifactError: it is of another kind, or its vocabulary does not fit its kind.
    """
    if isinstance(hub_tokenizer, keras_hub.tokenizers.WordPieceTokenizer):
        accents = hub_tokenizer.strip_accents if strip_accents is None else strip_accents
        pieces: SubwordModel = WordPieceModel(
            tuple(hub_tokenizer.vocabulary),
            hub_tokenizer.lowercase,
            accents,
            hub_tokenizer.suffix_indicator,
            hub_tokenizer.oov_token,
        )
    elif isinstance(hub_tokenizer, keras_hub.tokenizers.BytePairTokenizer):
        pieces = _byte_pairs(hub_tokenizer, pattern or family.pattern)
    elif isinstance(hub_tokenizer, keras_hub.tokenizers.XLMRobertaTokenizer):
        pieces = SentencePieceModel(hub_tokenizer.proto, 1, hub_tokenizer.unk_token_id, ("<mask>",))
    elif isinstance(hub_tokenizer, keras_hub.tokenizers.SentencePieceTokenizer):
        pieces = SentencePieceModel(hub_tokenizer.proto)
        lacking = hub_tokenizer.vocabulary_size() - len(pieces.vocabulary)
        if lacking == 1 and isinstance(hub_tokenizer, keras_hub.tokenizers.DebertaV3Tokenizer):
            pieces = SentencePieceModel(hub_tokenizer.proto, extra=("[MASK]",))
        elif lacking:
            raise ArtifactError(
                f"the preset's tokenizer has {lacking} tokens that are not in its vocabulary."
            )
    else:
        kind = type(hub_tokenizer).__name__
        raise ArtifactError(f"the preset's tokenizer is a {kind}, which fmkit cannot use.")
    ids = {piece: number for number, piece in enumerate(pieces.vocabulary)}
    start, end, mask = (
        getattr(hub_tokenizer, f"{name}_token_id", None) for name in ("start", "end", "mask")
    )
    if mask is None:
        mask = ids.get("[MASK]", ids.get("<mask>"))
    special = [number for number in _special(hub_tokenizer, ids) if number < len(ids)]
    return TextTokenizer(pieces, family.layout, start, end, mask, special)


def split_pattern(tokenizer_json: bytes) -> str | None:
    """Which of our patterns a tokenizer.json of Hugging Face splits words by, or None.

    Raises:
        ValueError: it is not JSON.
    """
    content = json.loads(tokenizer_json)
    parts = content.get("pre_tokenizer") if isinstance(content, dict) else None
    if not isinstance(parts, dict):
        return None
    steps = [step for step in parts.get("pretokenizers", [parts]) if isinstance(step, dict)]
    kinds = [step.get("type") for step in steps]
    if "Digits" in kinds and "Punctuation" not in kinds:
        digits = steps[kinds.index("Digits")]
        return "single_digits" if digits.get("individual_digits") else None
    for step in steps:
        if step.get("type") == "Split" and isinstance(step.get("pattern"), dict):
            return REGEXES.get(str(step["pattern"].get("Regex")))
    is_plain = kinds == ["ByteLevel"] and steps[0].get("use_regex", True)
    return "gpt2" if is_plain else None


def _byte_pairs(hub_tokenizer: Any, pattern: str) -> BytePairModel:
    vocabulary = dict(hub_tokenizer.vocabulary)
    if not any("Ġ" in piece for piece in vocabulary) and any("▁" in piece for piece in vocabulary):
        raise ArtifactError(
            "the preset has a SentencePiece vocabulary, and KerasHub read it as byte-level BPE.",
            "Use a checkpoint with a tokenizer.model file, or another of the same family.",
        )
    by_number = {number: piece for piece, number in vocabulary.items()}
    size = max(by_number) + 1
    pieces = tuple(by_number.get(number, f"<unused {number}>") for number in range(size))
    merges = tuple(merge for merge in hub_tokenizer.merges if "#version" not in merge)
    return BytePairModel(pieces, merges, pattern, hub_tokenizer.add_prefix_space)


def _special(hub_tokenizer: Any, ids: dict[str, int]) -> set[int]:
    if isinstance(hub_tokenizer, keras_hub.tokenizers.XLMRobertaTokenizer):
        return {0, 1, 2}  # their names stand one place further in the file
    unsplittable = getattr(hub_tokenizer, "unsplittable_tokens", None) or ()
    names = {*hub_tokenizer.special_tokens, *unsplittable}
    unknown = getattr(hub_tokenizer, "oov_token", "<unk>")
    return {ids[name] for name in names if name in ids} - {ids.get(unknown, -1)}
