"""Train vocabularies from texts, with the trainers of the library `tokenizers`.

WordPiece, whose letters are found first, and byte-level BPE. Both are the same for the same texts,
whatever the number of threads: the library numbers the letters inside of words in the order in
which threads come upon them, and of pairs that are as frequent it takes those of lower numbers
first; so here all letters have their numbers before it begins.

V pieces of a vocabulary.
"""

from __future__ import annotations

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
    readable,
    word_piece_engine,
)
from fmkit.models.tokenizers.tokenizer import TextTokenizer

BERT_SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""Padding, unknown, start, end and mask, as BERT calls them."""

BYTE_SPECIAL_TOKENS = ("<|padding|>", "<|startoftext|>", "<|endoftext|>", "<|mask|>")
"""Padding, start, end and mask of a vocabulary of bytes; `<|endoftext|>` is GPT-2's name."""

_PREFIX = "##"
_AT_ONCE = 2**20  # characters whose letters are counted together

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
    return _TRAINERS[settings.kind](settings, texts)


def _word_pieces(settings: VocabularySettings, texts: Texts) -> TextTokenizer:
    """BERT's kind: a piece for each letter at the beginning and inside of a word, and longer ones.

    Sennrich et al., arXiv:1508.07909, for the pairs; Devlin et al., arXiv:1810.04805, for the rest.
    """
    engine = word_piece_engine(settings.lowercase, settings.strip_accents)
    letters = _letters(engine, texts(), settings.min_frequency)
    continuations = [f"{_PREFIX}{letter}" for letter in letters if _is_inner(engine, letter)]
    first_pieces = [*BERT_SPECIAL_TOKENS, *letters, *continuations]
    if len(first_pieces) > settings.size:
        raise ConfigError(
            received(
                "size",
                settings.size,
                f"{len(first_pieces):,} or more: the texts have {len(letters):,} letters",
            ),
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
    engine.train_from_iterator(_readable(texts()), trainer)
    numbers = engine.get_vocab(with_added_tokens=False)
    pieces = WordPieceModel(
        tuple(sorted(numbers, key=numbers.__getitem__)),
        lowercase=settings.lowercase,
        strip_accents=settings.strip_accents,
        prefix=_PREFIX,
        unknown=BERT_SPECIAL_TOKENS[1],
    )
    return TextTokenizer(
        pieces, "bert", start=2, end=3, mask=4, special_ids=range(len(BERT_SPECIAL_TOKENS))
    )


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
    engine.train_from_iterator(_readable(texts()), trainer)
    model = json.loads(engine.to_str())["model"]
    numbers: dict[str, int] = model["vocab"]
    if len(numbers) == len(BYTE_SPECIAL_TOKENS) + len(alphabet) and not any(
        map(str.strip, texts())
    ):
        raise DataError(NO_LETTERS)
    pieces = BytePairModel(
        tuple(sorted(numbers, key=numbers.__getitem__)),
        tuple(f"{left} {right}" for left, right in model["merges"]),
        settings.pattern,
    )
    return TextTokenizer(
        pieces, "causal", start=1, end=2, mask=3, special_ids=range(len(BYTE_SPECIAL_TOKENS))
    )


def alphabet_size(tokenizer: TextTokenizer) -> int:
    """How many pieces of a vocabulary trained here are special tokens, letters or bytes."""
    pieces = tokenizer.pieces
    if isinstance(pieces, BytePairModel):
        return tokenizer.size - len(pieces.merges)
    if not isinstance(pieces, WordPieceModel):
        raise TypeError("expected a vocabulary that was trained by fmkit")
    stems = [
        piece.removeprefix(pieces.prefix) for piece in pieces.vocabulary[len(BERT_SPECIAL_TOKENS) :]
    ]
    return len(BERT_SPECIAL_TOKENS) + sum(len(piece) == 1 for piece in stems)


_TRAINERS: dict[str, Callable[[VocabularySettings, Texts], TextTokenizer]] = {
    "word_piece": _word_pieces,
    "byte_pair": _byte_pairs,
}

NO_LETTERS = "the texts contain no letters, so no vocabulary can be trained."


def _letters(engine: tokenizers.Tokenizer, texts: Iterator[str], least: int) -> list[str]:
    """The letters that occur so often, sorted, as a normalizer writes them: it goes one by one.

    Raises:
        DataError: there are none.
    """
    counts: Counter[str] = Counter()
    for code, count in enumerate(_counted(texts).tolist()):
        if count:
            for letter in engine.normalizer.normalize_str(readable(chr(code))):
                counts[letter] += count
    letters = sorted(
        letter for letter, count in counts.items() if count >= least and letter.strip()
    )
    if not letters:
        raise DataError(NO_LETTERS)
    return letters


def _counted(texts: Iterator[str]) -> np.ndarray:
    """How often each character occurs, by its number in Unicode, (0x110000,) int64."""
    total = np.zeros(0x110000, np.int64)
    pending: list[str] = []
    size = 0
    for text in texts:
        pending.append(text)
        size += len(text)
        if size >= _AT_ONCE:
            _count(total, pending)
            pending, size = [], 0
    _count(total, pending)
    return total


def _count(total: np.ndarray, texts: list[str]) -> None:
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    counts = np.bincount(codes)
    total[: len(counts)] += counts


def _is_inner(engine: tokenizers.Tokenizer, letter: str) -> bool:
    """Whether a letter may be inside a word: a Chinese one or a comma is a word by itself."""
    text = engine.normalizer.normalize_str(f"a{letter}")
    return len(engine.pre_tokenizer.pre_tokenize_str(text)) == 1


def _readable(texts: Iterator[str]) -> Iterator[str]:
    return map(readable, texts)
