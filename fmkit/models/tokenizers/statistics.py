"""How well a vocabulary fits texts: bytes per token, tokens per word, the share of unknown ones.

V pieces of a vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fmkit.models.tokenizers.subword import WordPieceModel, readable
from fmkit.models.tokenizers.tokenizer import TextTokenizer

_AT_ONCE = 2**20  # characters that are tokenised together
_BROKEN = "\ufffd"


@dataclass
class TokenizerStatistics:
    """What was counted in texts.

    Attributes:
        characters: of the texts, as they are.
        bytes: the same in UTF-8.
        words: separated by white space.
        tokens: without special ones.
        unknown: tokens for what the vocabulary cannot encode.
    """

    characters: int = 0
    bytes: int = 0
    words: int = 0
    tokens: int = 0
    unknown: int = 0

    @property
    def bytes_per_token(self) -> float:
        """Bytes of UTF-8."""
        return self.bytes / max(1, self.tokens)

    @property
    def characters_per_token(self) -> float:
        """Characters."""
        return self.characters / max(1, self.tokens)

    @property
    def tokens_per_word(self) -> float:
        """Tokens of a word, punctuation included; at least 1 where white space separates words."""
        return self.tokens / max(1, self.words)

    @property
    def unknown_share(self) -> float:
        """Share of the tokens, 0 to 1."""
        return self.unknown / max(1, self.tokens)


def measure(tokenizer: TextTokenizer, texts: Iterator[str]) -> TokenizerStatistics:
    """Count texts and their tokens.

    Args:
        tokenizer: with pieces of any kind.
        texts: read once; some of them are held.
    """
    statistics = TokenizerStatistics()
    pending: list[str] = []
    size = 0
    for text in texts:
        pending.append(text)
        size += len(text)
        if size >= _AT_ONCE:
            _add(statistics, tokenizer, pending)
            pending, size = [], 0
    _add(statistics, tokenizer, pending)
    return statistics


def longest_pieces(tokenizer: TextTokenizer, most: int = 10) -> list[str]:
    """The longest pieces as text, longest first; no special tokens and no broken characters."""
    pieces = tokenizer.pieces
    if isinstance(pieces, WordPieceModel):
        texts = [piece.removeprefix(pieces.prefix) for piece in pieces.vocabulary]
    else:
        texts = [pieces.decode([number]) for number in range(tokenizer.size)]
    special = set(tokenizer.special_ids)
    whole = [
        text for number, text in enumerate(texts) if number not in special and _BROKEN not in text
    ]
    return sorted(dict.fromkeys(whole), key=lambda piece: (-len(piece.strip()), piece))[:most]


def _add(statistics: TokenizerStatistics, tokenizer: TextTokenizer, texts: list[str]) -> None:
    pieces = tokenizer.pieces
    unknown = pieces.vocabulary.index(pieces.unknown) if isinstance(pieces, WordPieceModel) else -1
    rows = tokenizer.tokens(texts)
    statistics.characters += sum(len(text) for text in texts)
    statistics.bytes += sum(len(readable(text).encode()) for text in texts)
    statistics.words += sum(len(text.split()) for text in texts)
    statistics.tokens += sum(len(row) for row in rows)
    statistics.unknown += sum(int(np.count_nonzero(row == unknown)) for row in rows)
