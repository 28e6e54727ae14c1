"""How well a vocabulary fits texts: how many tokens they take, and what it cannot write.

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
        words: what white space divides.
        tokens: without marks.
        unknown: tokens that stand for what the vocabulary cannot write.
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
        """Tokens of a word, punctuation included; 1 is the least where white space divides."""
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
    found = TokenizerStatistics()
    kept: list[str] = []
    size = 0
    for text in texts:
        kept.append(text)
        size += len(text)
        if size >= _AT_ONCE:
            _add(found, tokenizer, kept)
            kept, size = [], 0
    _add(found, tokenizer, kept)
    return found


def longest_pieces(tokenizer: TextTokenizer, most: int = 10) -> list[str]:
    """The longest pieces as text, the longest first; no marks, and no broken characters."""
    pieces = tokenizer.pieces
    if isinstance(pieces, WordPieceModel):
        shown = [each.removeprefix(pieces.prefix) for each in pieces.vocabulary]
    else:
        shown = [pieces.decode([number]) for number in range(tokenizer.size)]
    special = set(tokenizer.special_ids)
    kept = [
        text for number, text in enumerate(shown) if number not in special and _BROKEN not in text
    ]
    return sorted(dict.fromkeys(kept), key=lambda each: (-len(each.strip()), each))[:most]


def _add(found: TokenizerStatistics, tokenizer: TextTokenizer, texts: list[str]) -> None:
    pieces = tokenizer.pieces
    unknown = pieces.vocabulary.index(pieces.unknown) if isinstance(pieces, WordPieceModel) else -1
    rows = tokenizer.tokens(texts)
    found.characters += sum(len(each) for each in texts)
    found.bytes += sum(len(readable(each).encode()) for each in texts)
    found.words += sum(len(each.split()) for each in texts)
    found.tokens += sum(len(each) for each in rows)
    found.unknown += sum(int(np.count_nonzero(each == unknown)) for each in rows)
