"""KerasHub's tokenizers as ours: the same vocabularies and marks."""

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
    theirs: Any,
    family: Family,
    strip_accents: bool | None = None,
    pattern: str | None = None,
) -> TextTokenizer:
    """A KerasHub tokenizer with its vocabulary loaded, as ours.

    Args:
        theirs: a WordPiece, byte-level BPE or SentencePiece tokenizer of theirs.
        family: how the model reads texts.
        strip_accents: what the checkpoint says, where KerasHub's loader does not ask it.
        pattern: how words are split, where the checkpoint says so.

    Raises:
        ArtifactError: it is of another kind, or its vocabulary is none of its kind.
    """
    if isinstance(theirs, keras_hub.tokenizers.WordPieceTokenizer):
        accents = theirs.strip_accents if strip_accents is None else strip_accents
        pieces: SubwordModel = WordPieceModel(
            tuple(theirs.vocabulary),
            theirs.lowercase,
            accents,
            theirs.suffix_indicator,
            theirs.oov_token,
        )
    elif isinstance(theirs, keras_hub.tokenizers.BytePairTokenizer):
        pieces = _byte_pairs(theirs, pattern or family.pattern)
    elif isinstance(theirs, keras_hub.tokenizers.SentencePieceTokenizer):
        pieces = _sentence_pieces(theirs)
    else:
        kind = type(theirs).__name__
        raise ArtifactError(f"the preset's tokenizer is a {kind}, which cannot be taken over.")
    numbers = {piece: number for number, piece in enumerate(pieces.vocabulary)}
    mask = getattr(theirs, "mask_token_id", None)
    if mask is None:
        mask = next((numbers[each] for each in _MASKS if each in numbers), None)
    special = [number for number in _special(theirs, numbers) if number < len(numbers)]
    return TextTokenizer(
        pieces,
        family.layout,
        getattr(theirs, "start_token_id", None),
        getattr(theirs, "end_token_id", None),
        mask,
        special,
    )


def split_pattern(tokenizer_json: bytes) -> str | None:
    """Which of our patterns a tokenizer.json of Hugging Face splits words by, or None.

    Raises:
        ValueError: it is no JSON.
    """
    content = json.loads(tokenizer_json)
    parts = content.get("pre_tokenizer") if isinstance(content, dict) else None
    if not isinstance(parts, dict):
        return None
    steps = parts.get("pretokenizers", [parts])
    steps = [each for each in steps if isinstance(each, dict)]
    kinds = [each.get("type") for each in steps]
    if "Digits" in kinds and "Punctuation" not in kinds:
        digits = steps[kinds.index("Digits")]
        return "single_digits" if digits.get("individual_digits") else None
    for step in steps:
        if step.get("type") == "Split" and isinstance(step.get("pattern"), dict):
            return REGEXES.get(str(step["pattern"].get("Regex")))
    is_plain = kinds == ["ByteLevel"] and steps[0].get("use_regex", True)
    return "gpt2" if is_plain else None


def _byte_pairs(theirs: Any, pattern: str) -> BytePairModel:
    vocabulary = dict(theirs.vocabulary)
    if not any("Ġ" in piece for piece in vocabulary) and any("▁" in each for each in vocabulary):
        raise ArtifactError(
            "the preset's vocabulary is one of SentencePiece, and it came as byte-level BPE.",
            "Take a checkpoint with a tokenizer.model file, or another of the same family.",
        )
    by_number = {number: piece for piece, number in vocabulary.items()}
    size = max(by_number) + 1
    pieces = tuple(by_number.get(each, f"<unused {each}>") for each in range(size))
    merges = tuple(each for each in theirs.merges if "#version" not in each)
    return BytePairModel(pieces, merges, pattern, theirs.add_prefix_space)


def _sentence_pieces(theirs: Any) -> SentencePieceModel:
    if isinstance(theirs, keras_hub.tokenizers.XLMRobertaTokenizer):
        return SentencePieceModel(theirs.proto, 1, theirs.unk_token_id, ("<mask>",))
    plain = SentencePieceModel(theirs.proto)
    lacking = theirs.vocabulary_size() - len(plain.vocabulary)
    if lacking == 1 and isinstance(theirs, keras_hub.tokenizers.DebertaV3Tokenizer):
        return SentencePieceModel(theirs.proto, extra=("[MASK]",))
    if lacking:
        raise ArtifactError(f"the preset's tokenizer has {lacking} tokens beside its vocabulary.")
    return plain


def _special(theirs: Any, numbers: dict[str, int]) -> Iterable[int]:
    names = {*theirs.special_tokens, *(getattr(theirs, "unsplittable_tokens", None) or ())}
    found = {numbers[name] for name in names if name in numbers}
    if isinstance(theirs, keras_hub.tokenizers.XLMRobertaTokenizer):
        return {0, 1, 2}  # their names stand one place further in the file
    unknown = getattr(theirs, "oov_token", "<unk>")
    return found - {numbers.get(unknown, -1)}
