"""Sentences as rows of tokens in which every word has its place, however long the sentence.

A sentence that is longer than a row goes on in another one, which begins some words earlier, so
that none is without what is around it. Each word belongs to one row: where both rows have it, to
the one that shows more of what is around it, as BERT's authors do with long texts (run_squad, "max
context").

One token stands for its word: the first one, as in BERT (Devlin et al. 2018, section 5.3). Where a
token sees those before it only it is the last one, the only one that has seen the whole word.

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
"""Beside a token that stands for no word, or for one that belongs to another row."""

_SHARED = 4  # a fourth of a row may be shared with the one before it


@dataclass(frozen=True)
class SentenceRows:
    """Rows of tokens.

    Attributes:
        tokens: marks of start and end included, (n,) int32 each.
        words: which word of its sentence the token stands for, (n,) int32 each, -1 for none.
        origin: which sentence each row is of, (M,) int64, not falling.
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
        max_length: most tokens of a row, marks included.
        is_causal: a token sees those before it only, so that a word belongs to the first row that
            has it, and its last token stands for it.

    Raises:
        ConfigError: the marks alone are as long.
    """
    before, _, after = tokenizer.special_tokens
    room = max_length - len(before) - len(after)
    if room < 1:
        least = len(before) + len(after) + 1
        raise ConfigError(received("model.max_length", max_length, f"{least} tokens or more"))
    found = SentenceRows([], [], np.zeros(0, np.int64), np.zeros(0, np.int64))
    origin: list[int] = []
    uncut: list[int] = []
    for number, each in enumerate(
        word_alignment.tokenize_words(tokenizer, [_spaced(e) for e in sentences])
    ):
        for tokens, words, length in _parts(each, len(sentences[number]), room, is_causal):
            row = np.concatenate([before, tokens, after]).astype(np.int32)
            beside = np.full(len(row), NONE, np.int32)
            beside[len(before) : len(before) + len(words)] = words
            if not len(row):  # a model that reads no marks has to be shown something
                row, beside = np.array([tokenizer.end or 0], np.int32), np.array([NONE], np.int32)
            found.tokens.append(row)
            found.words.append(beside)
            origin.append(number)
            uncut.append(length + len(before) + len(after))
    return SentenceRows(found.tokens, found.words, np.array(origin, np.int64), np.array(uncut))


def _spaced(words: Sequence[str]) -> list[str]:
    """Words as in a line of text: a space before each but the first."""
    return [f" {each}" if place else each for place, each in enumerate(words)]


def _parts(
    sentence: WordTokens, count: int, room: int, is_causal: bool
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Tokens, the words that they stand for, and the uncut length of each row of a sentence."""
    sizes = np.bincount(sentence.words, minlength=count)  # tokens of each word, (W,)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    reaches = [*_reaches(np.minimum(sizes, room), room)]
    owned = 0
    for place, (begin, end) in enumerate(reaches):
        last = end
        if place + 1 < len(reaches) and not is_causal:  # what is shared is halved
            last = (reaches[place + 1][0] + end + 1) // 2
        tokens, words = [], []
        for word in range(begin, end):
            own = sentence.tokens[starts[word] : starts[word + 1]][:room]
            beside = np.full(len(own), NONE, np.int32)
            if len(own) and owned <= word < last:
                beside[-1 if is_causal else 0] = word
            tokens.append(own)
            words.append(beside)
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
