"""KerasHub's tokenizers as our own: the same vocabularies and special tokens."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import keras_hub

from fmkit.core.errors import ArtifactError
from fmkit.models.hub.presets import Family
from fmkit.models.tokenizers.subword import (
    REGEXES,
    BytePairModel,
    SentencePieceModel,
    SubwordModel,
    WordPieceModel,
)
from fmkit.models.tokenizers.tokenizer import TextTokenizer

_MASKS = ("[MASK]", "<mask>")


def from_keras_hub(
    hub_tokenizer: Any,
    family: Family,
    strip_accents: bool | None = None,
    pattern: str | None = None,
) -> TextTokenizer:
    """A KerasHub tokenizer with its vocabulary loaded, as our own.

    Args:
        hub_tokenizer: a WordPiece, byte-level BPE or SentencePiece tokenizer of hub_tokenizer.
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
    elif isinstance(hub_tokenizer, keras_hub.tokenizers.SentencePieceTokenizer):
        pieces = _sentence_pieces(hub_tokenizer)
    else:
        kind = type(hub_tokenizer).__name__
        raise ArtifactError(f"the preset's tokenizer is a {kind}, which fmkit cannot use.")
    numbers = {piece: number for number, piece in enumerate(pieces.vocabulary)}
    mask = getattr(hub_tokenizer, "mask_token_id", None)
    if mask is None:
        mask = next((numbers[name] for name in _MASKS if name in numbers), None)
    special = [number for number in _special(hub_tokenizer, numbers) if number < len(numbers)]
    return TextTokenizer(
        pieces,
        family.layout,
        getattr(hub_tokenizer, "start_token_id", None),
        getattr(hub_tokenizer, "end_token_id", None),
        mask,
        special,
    )


def split_pattern(tokenizer_json: bytes) -> str | None:
    """Which of our patterns a tokenizer.json of Hugging Face splits words by, or None.

    Raises:
        ValueError: it is not JSON.
    """
    content = json.loads(tokenizer_json)
    parts = content.get("pre_tokenizer") if isinstance(content, dict) else None
    if not isinstance(parts, dict):
        return None
    steps = parts.get("pretokenizers", [parts])
    steps = [step for step in steps if isinstance(step, dict)]
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


def _sentence_pieces(hub_tokenizer: Any) -> SentencePieceModel:
    if isinstance(hub_tokenizer, keras_hub.tokenizers.XLMRobertaTokenizer):
        return SentencePieceModel(hub_tokenizer.proto, 1, hub_tokenizer.unk_token_id, ("<mask>",))
    plain = SentencePieceModel(hub_tokenizer.proto)
    lacking = hub_tokenizer.vocabulary_size() - len(plain.vocabulary)
    if lacking == 1 and isinstance(hub_tokenizer, keras_hub.tokenizers.DebertaV3Tokenizer):
        return SentencePieceModel(hub_tokenizer.proto, extra=("[MASK]",))
    if lacking:
        raise ArtifactError(
            f"the preset's tokenizer has {lacking} tokens that are not in its vocabulary."
        )
    return plain


def _special(hub_tokenizer: Any, numbers: dict[str, int]) -> Iterable[int]:
    names = {
        *hub_tokenizer.special_tokens,
        *(getattr(hub_tokenizer, "unsplittable_tokens", None) or ()),
    }
    ids = {numbers[name] for name in names if name in numbers}
    if isinstance(hub_tokenizer, keras_hub.tokenizers.XLMRobertaTokenizer):
        return {0, 1, 2}  # their names stand one place further in the file
    unknown = getattr(hub_tokenizer, "oov_token", "<unk>")
    return ids - {numbers.get(unknown, -1)}
