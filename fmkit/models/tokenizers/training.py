"""Train vocabularies from texts, with the trainers of the library `tokenizers`; how well they fit.

WordPiece, whose letters are found first, and byte-level BPE. Both are the same for the same texts,
whatever the number of threads: the library numbers the letters inside of words in the order in
which threads come upon them, and of pairs that are as frequent it takes those of lower numbers
first; so here all letters have their numbers before it begins.

V pieces of a vocabulary.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import tokenizers
from tokenizers import trainers

from fmkit.core.errors import ConfigError, DataError, received
from fmkit.models.tokenizers.subword import (
    BytePairModel,
    WordPieceModel,
    byte_alphabet,
    byte_pair_engine,
    chunks,
    readable,
    word_piece_engine,
)
from fmkit.models.tokenizers.tokenizer import TextTokenizer

BERT_SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""Padding, unknown, start, end and mask, as BERT calls them."""

BYTE_SPECIAL_TOKENS = ("<|padding|>", "<|startoftext|>", "<|endoftext|>", "<|mask|>")
"""Padding, start, end and mask of a vocabulary of bytes; `<|endoftext|>` is GPT-2's name."""

_PREFIX = "##"

Texts = Callable[[], Iterator[str]]
"""The texts from the beginning: they may be read twice."""


@dataclass(frozen=True)
class VocabularySettings:
    """Which vocabulary to train.

    Attributes:
        kind: `word_piece` or `byte_pair`.
        size: V, special tokens and letters included; the texts may yield fewer.
        min_frequency: how often a letter, and a pair that becomes a piece, has to occur.
        lowercase: whether letters are made small; of `word_piece`.
        strip_accents: whether accents are taken off; of `word_piece`.
        pattern: how words are split, a name in `subword.PATTERNS`; of `byte_pair`.
    """

    kind: str
    size: int
    min_frequency: int = 2
    lowercase: bool = False
    strip_accents: bool = False
    pattern: str = "gpt2"


def train(settings: VocabularySettings, texts: Texts) -> TextTokenizer:
    """A tokenizer whose vocabulary is trained on texts.

    WordPiece's pieces are found as those of BPE are, by frequency of pairs: the reference
    implementation of its training was never published, and this is what the library does.

    Args:
        settings: the kind of vocabulary.
        texts: called once for `byte_pair`, twice for `word_piece`.

    Raises:
        ConfigError: the size does not hold the letters.
        DataError: no text has a letter.
    """
    trainer = {"word_piece": _word_pieces, "byte_pair": _byte_pairs}[settings.kind]
    return trainer(settings, texts)


def _word_pieces(settings: VocabularySettings, texts: Texts) -> TextTokenizer:
    """BERT's kind: a piece for each letter at the beginning and inside of a word, and longer ones.

    Sennrich et al., arXiv:1508.07909, for the pairs; Devlin et al., arXiv:1810.04805, for the rest.
    """
    engine = word_piece_engine(settings.lowercase, settings.strip_accents)
    split = engine.pre_tokenizer.pre_tokenize_str
    letters = _letters(engine, texts(), settings.min_frequency)
    # Which letters may be inside a word: a Chinese one or a comma is a word by itself.
    continuations = [
        f"{_PREFIX}{letter}"
        for letter in letters
        if len(split(engine.normalizer.normalize_str(f"a{letter}"))) == 1
    ]
    first_pieces = [*BERT_SPECIAL_TOKENS, *letters, *continuations]
    if len(first_pieces) > settings.size:
        allowed = f"{len(first_pieces):,} or more: the texts have {len(letters):,} letters"
        raise ConfigError(
            received("size", settings.size, allowed),
            f"kind=byte_pair writes every text from 256 bytes; a min_frequency above "
            f"{settings.min_frequency} leaves rare letters out.",
        )
    trainer = trainers.WordPieceTrainer(
        vocab_size=settings.size,
        min_frequency=settings.min_frequency,
        show_progress=False,
        special_tokens=first_pieces,
        initial_alphabet=letters,
        limit_alphabet=len(letters),
        continuing_subword_prefix=_PREFIX,
    )
    engine.train_from_iterator(map(readable, texts()), trainer)
    numbers = engine.get_vocab(with_added_tokens=False)
    pieces = WordPieceModel(
        tuple(sorted(numbers, key=numbers.__getitem__)), settings.lowercase, settings.strip_accents
    )
    special = range(len(BERT_SPECIAL_TOKENS))
    return TextTokenizer(pieces, "bert", start=2, end=3, mask=4, special_ids=special)


def _byte_pairs(settings: VocabularySettings, texts: Texts) -> TextTokenizer:
    """GPT-2's kind: a piece for each byte, and longer ones.

    Radford et al. 2019, Language models are unsupervised multitask learners.
    """
    engine = byte_pair_engine(settings.pattern)
    alphabet = byte_alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=settings.size,
        min_frequency=settings.min_frequency,
        show_progress=False,
        special_tokens=list(BYTE_SPECIAL_TOKENS),
        initial_alphabet=list(alphabet),
    )
    engine.train_from_iterator(map(readable, texts()), trainer)
    model = json.loads(engine.to_str())["model"]
    numbers: dict[str, int] = model["vocab"]
    learned = len(numbers) - len(BYTE_SPECIAL_TOKENS) - len(alphabet)
    if not learned and not any(map(str.strip, texts())):
        raise DataError(NO_LETTERS)
    pieces = BytePairModel(
        tuple(sorted(numbers, key=numbers.__getitem__)),
        tuple(f"{left} {right}" for left, right in model["merges"]),
        settings.pattern,
    )
    special = range(len(BYTE_SPECIAL_TOKENS))
    return TextTokenizer(pieces, "causal", start=1, end=2, mask=3, special_ids=special)


def alphabet_size(tokenizer: TextTokenizer) -> int:
    """How many pieces of a vocabulary trained here are special tokens, letters or bytes."""
    pieces = tokenizer.pieces
    if isinstance(pieces, BytePairModel):
        return tokenizer.size - len(pieces.merges)
    if not isinstance(pieces, WordPieceModel):
        raise TypeError("expected a vocabulary that was trained by fmkit")
    special = len(BERT_SPECIAL_TOKENS)
    stems = [piece.removeprefix(pieces.prefix) for piece in pieces.vocabulary[special:]]
    return special + sum(len(stem) == 1 for stem in stems)


NO_LETTERS = "the texts contain no letters, so no vocabulary can be trained."


def _letters(engine: tokenizers.Tokenizer, texts: Iterator[str], least: int) -> list[str]:
    """The letters that occur so often, sorted, as a normalizer writes them: it goes one by one."""
    totals = np.zeros(0x110000, np.int64)  # how often each character occurs, by its code
    for chunk in chunks(texts):
        codes = np.frombuffer("".join(chunk).encode("utf-32-le", "surrogatepass"), np.uint32)
        counts = np.bincount(codes)
        totals[: len(counts)] += counts
    letter_counts: Counter[str] = Counter()
    for code in np.flatnonzero(totals).tolist():
        for letter in engine.normalizer.normalize_str(readable(chr(code))):
            letter_counts[letter] += int(totals[code])
    letters = sorted(
        letter for letter, count in letter_counts.items() if count >= least and letter.strip()
    )
    if not letters:
        raise DataError(NO_LETTERS)
    return letters


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
    """Count texts, which are read once, and their tokens."""
    statistics = TokenizerStatistics()
    pieces = tokenizer.pieces
    unknown = pieces.vocabulary.index(pieces.unknown) if isinstance(pieces, WordPieceModel) else -1
    for chunk in chunks(texts):
        rows = tokenizer.tokens(chunk)
        statistics.characters += sum(map(len, chunk))
        statistics.bytes += sum(len(readable(text).encode()) for text in chunk)
        statistics.words += sum(len(text.split()) for text in chunk)
        statistics.tokens += sum(map(len, rows))
        statistics.unknown += sum(int(np.count_nonzero(row == unknown)) for row in rows)
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
        text for number, text in enumerate(texts) if number not in special and "\ufffd" not in text
    ]
    return sorted(dict.fromkeys(whole), key=lambda piece: (-len(piece.strip()), piece))[:most]
