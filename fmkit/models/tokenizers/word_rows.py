"""Sentences as rows of tokens in which every word belongs to one row, however long the sentence.

A sentence that is longer than a row continues in another one, which begins some words earlier, so
that no word is without its context. Each word belongs to one row: where both rows have it, to the
one that shows more of its context, as BERT's authors do with long texts (run_squad, "max context").

One token stands for its word: the first one, as in BERT (Devlin et al. 2018, section 5.3). In a
causal model it is the last one, the only one that has seen the whole word.

W words of a sentence, n tokens of a row, M rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fmkit.core.errors import ConfigError, received
from fmkit.core.types import Tokenizer
from fmkit.models.tokenizers import word_alignment
from fmkit.models.tokenizers.word_alignment import WordTokens

NONE = -1
"""The word of a token that stands for none, or for one that belongs to another row."""

_SHARED = 4  # a quarter of a row may be shared with the one before it


@dataclass(frozen=True)
class SentenceRows:
    """Rows of tokens.

    Attributes:
        tokens: special ones included, (n,) int32 each.
        words: which word of its sentence the token stands for, (n,) int32 each, -1 for none.
        origin: which sentence each row is of, (M,) int64, ascending.
        uncut: tokens of each row before words that are longer than a row were cut, (M,) int64.
    """

    tokens: list[np.ndarray]
    words: list[np.ndarray]
    origin: np.ndarray
    uncut: np.ndarray


def build_rows(
    tokenizer: Tokenizer,
    sentences: Sequence[Sequence[str]],
    max_length: int,
    is_causal: bool = False,
) -> SentenceRows:
    """Sentences as rows.

    Args:
        tokenizer: the model's.
        sentences: the words of each.
        max_length: most tokens of a row, special ones included.
        is_causal: a token sees only those before it, so that a word belongs to the first row that
            has it, and its last token stands for it.

    Raises:
        ConfigError: the special tokens alone are as long.
    """
    before, _, after = tokenizer.special_tokens
    room = max_length - len(before) - len(after)
    if room < 1:
        least = len(before) + len(after) + 1
        raise ConfigError(received("model.max_length", max_length, f"{least} tokens or more"))
    built = SentenceRows([], [], np.zeros(0, np.int64), np.zeros(0, np.int64))
    origin: list[int] = []
    uncut: list[int] = []
    for number, sentence in enumerate(
        word_alignment.tokenize_words(
            tokenizer, [_spaced(words_of_sentence) for words_of_sentence in sentences]
        )
    ):
        for tokens, words, length in _parts(sentence, len(sentences[number]), room, is_causal):
            row = np.concatenate([before, tokens, after]).astype(np.int32)
            row_words = np.full(len(row), NONE, np.int32)
            row_words[len(before) : len(before) + len(words)] = words
            if not len(row):  # a model without special tokens needs some token
                row, row_words = (
                    np.array([tokenizer.end or 0], np.int32),
                    np.array([NONE], np.int32),
                )
            built.tokens.append(row)
            built.words.append(row_words)
            origin.append(number)
            uncut.append(length + len(before) + len(after))
    return SentenceRows(built.tokens, built.words, np.array(origin, np.int64), np.array(uncut))


def _spaced(words: Sequence[str]) -> list[str]:
    """Words as in a line of text: a space before each but the first."""
    return [f" {word}" if position else word for position, word in enumerate(words)]


def _parts(
    sentence: WordTokens, count: int, room: int, is_causal: bool
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Tokens, the words that they stand for, and the uncut length of each row of a sentence."""
    sizes = np.bincount(sentence.words, minlength=count)  # tokens of each word, (W,)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    reaches = [*_reaches(np.minimum(sizes, room), room)]
    owned = 0
    for index, (begin, end) in enumerate(reaches):
        last = end
        if index + 1 < len(reaches) and not is_causal:  # what is shared is halved
            last = (reaches[index + 1][0] + end + 1) // 2
        tokens, words = [], []
        for word in range(begin, end):
            word_tokens = sentence.tokens[starts[word] : starts[word + 1]][:room]
            word_ids = np.full(len(word_tokens), NONE, np.int32)
            if len(word_tokens) and owned <= word < last:
                word_ids[-1 if is_causal else 0] = word
            tokens.append(word_tokens)
            words.append(word_ids)
        empty = np.zeros(0, np.int32)
        yield (
            np.concatenate([empty, *tokens]),
            np.concatenate([empty, *words]),
            int(starts[end] - starts[begin]),
        )
        owned = last


def _reaches(sizes: np.ndarray, room: int) -> Iterator[tuple[int, int]]:
    """First word and the word behind the last of each row.

    Args:
        sizes: tokens of each word, at most `room`.
        room: tokens of a row.
    """
    begin, count = 0, len(sizes)
    while True:
        end, used = begin, 0
        while end < count and used + sizes[end] <= room:
            used += sizes[end]
            end += 1
        yield begin, end
        if end == count:
            return
        begin, shared = end, 0
        while shared + sizes[begin - 1] <= min(room // _SHARED, room - sizes[end]):
            begin -= 1
            shared += sizes[begin]
