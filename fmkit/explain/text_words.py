"""The words of a text that an explanation is about: where they are, which a model reads, and the
text without some of them.

n tokens of a text, W words of it.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fmkit.core.types import Tokenizer
from fmkit.models.tokenizers.tokenizer import cut_pair
from fmkit.models.tokenizers.word_alignment import add_spaces, split_words, tokenize_words

SPECIAL = -1
"""The word of a token that stands for no text."""

_APOSTROPHES = "'\u2019"


@dataclass(frozen=True)
class Word:
    """A word or a punctuation mark, from character `begin` to `end` of a text of an example."""

    text: int  # 0, or 1 in the second text of a pair
    begin: int
    end: int


@dataclass(frozen=True)
class TextWords:
    """A text, or a pair of texts, with its words.

    Attributes:
        texts: one or two.
        words: in their order, those of the first text before those of the second.
    """

    texts: tuple[str, ...]
    words: tuple[Word, ...]

    def cut(self, is_read: np.ndarray) -> "TextWords":
        """The same with each text cut after its last word that is read, (W,) bool.

        A word beyond keeps its position and its place, which is outside of the text then.
        """
        ends = [0] * len(self.texts)
        for word, read in zip(self.words, is_read, strict=True):
            ends[word.text] = max(ends[word.text], word.end if read else 0)
        texts = tuple(text[:end] for text, end in zip(self.texts, ends, strict=True))
        return TextWords(texts, self.words)

    def __len__(self) -> int:
        return len(self.words)

    def names(self) -> list[str]:
        """The words themselves, (W,)."""
        return [self.texts[word.text][word.begin : word.end] for word in self.words]

    def without(self, positions: Collection[int]) -> tuple[str, ...]:
        """The texts without the words at some positions, each with one of the spaces around it.

        Two spaces in a row would be a token of their own in some vocabularies.
        """
        return self.edited(dict.fromkeys(positions))

    def edited(self, edits: Mapping[int, str | None]) -> tuple[str, ...]:
        """The texts with other words at some positions; None leaves the word out, as `without`."""
        chosen = [(self.words[position], edits[position]) for position in sorted(edits)]
        return tuple(
            _edit(text, [
                (word, new) for word, new in chosen if word.text == number and word.end <= len(text)
            ])
            for number, text in enumerate(self.texts)
        )  # fmt: skip

    def only(self, positions: Collection[int]) -> tuple[str, ...]:
        """The texts with no other words than those at some positions."""
        return self.without(set(range(len(self))) - set(positions))


def find_words(texts: Sequence[str]) -> TextWords:
    """The words of a text or of a pair; "don't" is one of them, each punctuation mark another."""
    words = [
        Word(number, begin, end)
        for number, text in enumerate(texts)
        for begin, end in _joined(text, split_words(text))
    ]
    return TextWords(tuple(texts), tuple(words))


def _joined(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Words with the parts that an apostrophe joins to them, as in "don't"."""
    joined: list[tuple[int, int]] = []
    for number, (begin, end) in enumerate(spans):
        follows = bool(joined) and joined[-1][1] == begin
        is_mark = text[begin:end] in _APOSTROPHES
        next_begin = spans[number + 1][0] if number + 1 < len(spans) else -1
        joins = is_mark and next_begin == end and text[end].isalpha() and text[begin - 1].isalpha()
        continues = follows and text[begin - 1] in _APOSTROPHES and text[begin].isalpha()
        if follows and (joins or (continues and joined[-1][1] - joined[-1][0] > 1)):
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((begin, end))
    return joined


def _edit(text: str, edits: Sequence[tuple[Word, str | None]]) -> str:
    for word, new in reversed(edits):
        before, after = text[: word.begin], text[word.end :]
        if new is not None:
            before += new
        elif before[-1:].isspace() and (not after or after[0].isspace()):
            before = before[:-1]
        elif not before:
            after = re.sub(r"^\s", "", after)
        text = before + after
    return text


def read_tokens(
    tokenizer: Tokenizer, words: TextWords, max_length: int
) -> tuple[np.ndarray, np.ndarray]:
    """The tokens that a model reads of a text or a pair, and the word that each is of.

    Where a tokenizer cannot tell where its tokens are (SentencePiece, of a text that it has
    normalised), the words are tokenised one by one, as for tags.

    Args:
        tokenizer: the model's.
        words: of the text or pair.
        max_length: most tokens, special ones included; what is beyond is not read.

    Returns:
        Tokens (n,) int32 with special ones, and positions in `words`, (n,) int64, -1 for special
        tokens. White space that has tokens of its own is of the word after it.
    """
    parts = [_tokens_of_text(tokenizer, words, number) for number in range(len(words.texts))]
    before, between, after = tokenizer.special_tokens
    room = max_length - len(before) - len(after) - len(between) * (len(parts) - 1)
    lengths: Sequence[int] = [room]
    if len(parts) == 2:
        lengths = cut_pair(len(parts[0][0]), len(parts[1][0]), room)
    pieces = [(np.array(before, np.int32), np.full(len(before), SPECIAL))]
    for number, ((tokens, owners), length) in enumerate(zip(parts, lengths, strict=True)):
        if number:
            pieces.append((np.array(between, np.int32), np.full(len(between), SPECIAL)))
        pieces.append((tokens[:length], owners[:length]))
    pieces.append((np.array(after, np.int32), np.full(len(after), SPECIAL)))
    row, owners_of_row = (np.concatenate(arrays) for arrays in zip(*pieces, strict=True))
    if not len(row):  # a model without special tokens needs some token
        return np.array([tokenizer.end or 0], np.int32), np.array([SPECIAL], np.int64)
    return row.astype(np.int32), owners_of_row.astype(np.int64)


def _tokens_of_text(
    tokenizer: Tokenizer, words: TextWords, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """The tokens of one of the texts, (n,), and the word that each is of, (n,)."""
    text = words.texts[number]
    own = [(k, word) for k, word in enumerate(words.words) if word.text == number]
    positions = np.array([k for k, _ in own], np.int64)
    rows = tokenizer.tokens([text])
    if not own:
        return rows[0], np.full(len(rows[0]), SPECIAL, np.int64)
    find = getattr(tokenizer, "offsets", None)  # a plugin's tokenizer need not have them
    offsets = np.asarray(find([text], rows)[0]) if find else np.zeros((0, 2), np.int64)
    # Where each has the whole text, they are not known.
    is_unknown = len(offsets) > 1 and (offsets == [0, len(text)]).all()
    if len(offsets) != len(rows[0]) or is_unknown:
        spaced = add_spaces(text, [(word.begin, word.end) for _, word in own])
        (aligned,) = tokenize_words(tokenizer, [spaced])
        return aligned.tokens, positions[aligned.words]
    # The first word that ends behind the last character of the token.
    last = np.maximum(offsets[:, 1] - 1, offsets[:, 0])
    first = np.searchsorted([word.end for _, word in own], last, side="right")
    return rows[0], positions[np.minimum(first, len(own) - 1)]
