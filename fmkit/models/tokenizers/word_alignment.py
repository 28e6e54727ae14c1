"""Words as tokens, each tokenised by itself, so that every token has its word; sentences as rows.

As BERT's authors do for tags and for spans (Devlin et al. 2018, run_squad): a word has the tokens
that it has alone. Where words are split at white space and punctuation, as `split_words` does,
these are for WordPiece the tokens of the whole text.

A token has a place in its word, too, so that a part of a word can be an answer.

Not by `Encoding.word_ids` of the library `tokenizers`: it gives the same (a test holds that), but
SentencePiece has nothing like it, and here each distinct word is tokenised once, which took half
the time for 275,000 words. Nor by `Encoding.offsets` of whole texts, where byte-level BPE joins
what are several words here, such as the end of "don't".

A sentence that is longer than a row continues in another one, which begins some words earlier, so
that no word is without its context. Each word belongs to one row: where both rows have it, to the
one that shows more of its context, as BERT's authors do with long texts (run_squad, "max context").
One token stands for its word: the first one, as in BERT (section 5.3). In a causal model it is the
last one, the only one that has seen the whole word.

W words of a text, n tokens, M rows.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fmkit.core.errors import ConfigError, received
from fmkit.core.types import Tokenizer

NONE = -1
"""The word of a token that stands for none, or for one that belongs to another row."""

_IDEOGRAPHS = (
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002ceaf"
    "\U0002f800-\U0002fa1f"
)
"""Each of them is a word, as in BERT: Chinese has no spaces."""


_MARKS = "".join(
    filter(lambda c: unicodedata.category(c)[0] == "M", map(chr, range(0x300, 0x20000)))
)
_JOINING = f"{_MARKS}\u00ad\u200b-\u200d\u2060\ufeff"
"""What is inside words without being a letter: combining marks and invisible characters."""
_LETTER = rf"[^\W{_IDEOGRAPHS}]"
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|{_LETTER}(?:{_LETTER}|[{_JOINING}])*|[^\w\s]")


@dataclass(frozen=True)
class WordTokens:
    """A text as tokens.

    Attributes:
        tokens: (n,) int32, without special tokens.
        words: index of the word that each token is of, (n,) int64, ascending. A word that the
            vocabulary cannot write, such as a control character, may have none.
        offsets: where each token begins and ends in its word, in characters, (n, 2) int64.
    """

    tokens: np.ndarray
    words: np.ndarray
    offsets: np.ndarray


def split_words(text: str) -> list[tuple[int, int]]:
    """Where words and punctuation marks of a text begin and end, in characters."""
    return [match.span() for match in _WORD.finditer(text)]


def tokenize_words(
    tokenizer: Tokenizer, texts: Sequence[Sequence[str]], with_offsets: bool = False
) -> list[WordTokens]:
    """Texts, each given as its words, as tokens.

    Args:
        tokenizer: the model's.
        texts: the words of each, with the space before them that they have in the text, as from
            `add_spaces`: GPT-2's vocabulary tells a word within a line from one that begins it, and
            SentencePiece one after a space from one that directly follows another.
        with_offsets: whether tokens have their own places in words; else each has the whole word.
    """
    starts: dict[str, int] = {}  # index of the distinct words that begin a text or follow a space
    continuations: dict[str, int] = {}  # and of those that follow another word directly
    for words in texts:
        for position, word in enumerate(words):
            group = continuations if _continues(position, word) else starts
            group.setdefault(word, len(group))
    # A plugin's tokenizer need not have them.
    find = getattr(tokenizer, "offsets", None) if with_offsets else None
    of_starts = _with_offsets(find, list(starts), tokenizer.tokens(list(starts)))
    of_continuations = _with_offsets(
        find, list(continuations), tokenizer.encode_continuation(list(continuations))
    )
    encoded = []
    for words in texts:
        pairs = [
            of_continuations[continuations[word]]
            if _continues(position, word)
            else of_starts[starts[word]]
            for position, word in enumerate(words)
        ]
        tokens = np.concatenate([np.zeros(0, np.int32), *(row for row, _ in pairs)])
        offsets = np.concatenate([np.zeros((0, 2), np.int64), *(spans for _, spans in pairs)])
        words_of_tokens = np.repeat(np.arange(len(words)), [len(row) for row, _ in pairs])
        encoded.append(WordTokens(tokens.astype(np.int32), words_of_tokens, offsets))
    return encoded


def _with_offsets(
    find: Callable[..., list[np.ndarray]] | None, words: Sequence[str], rows: Sequence[np.ndarray]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The tokens of each word, and where they begin and end in it, its space left out, (n, 2).

    Together they are the whole word: what no token stands for, such as a mark that the vocabulary
    strips, belongs to the one before it. The bytes of a character all have the whole of it.
    """
    offsets: Sequence[np.ndarray | None] = (
        [None] * len(words) if find is None else find(words, rows)
    )
    return [
        (row, _within_word(word, len(row), spans))
        for word, row, spans in zip(words, rows, offsets, strict=True)
    ]


def _within_word(word: str, count: int, spans: np.ndarray | None) -> np.ndarray:
    """Offsets of a word's tokens, (count, 2), that cover the word."""
    space = len(word) - len(word.lstrip())
    length = len(word) - space
    if spans is None or len(spans) != count or not count:
        return np.tile(np.array([[0, length]], np.int64), (count, 1))
    begins = np.maximum.accumulate(np.clip(spans[:, 0] - space, 0, length))
    begins[begins == begins[0]] = 0
    ends = np.maximum.accumulate(np.clip(spans[:, 1] - space, 0, length))
    ends[:-1] = np.maximum(ends[:-1], begins[1:])
    ends[ends == ends[-1]] = length
    return np.stack([begins, ends], axis=1)


def _continues(position: int, word: str) -> bool:
    """Whether a word directly follows another, without a space."""
    return position > 0 and not word[:1].isspace()


def add_spaces(text: str, spans: Sequence[tuple[int, int]]) -> list[str]:
    """The words at `spans`, each with a space before it where the text has white space there."""
    return [
        " " * (begin > 0 and text[begin - 1].isspace()) + text[begin:end] for begin, end in spans
    ]


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
    # As in a line of text: a space before each word but the first.
    spaced = [[*words[:1], *(f" {word}" for word in words[1:])] for words in sentences]
    tokens: list[np.ndarray] = []
    words: list[np.ndarray] = []
    origin: list[int] = []
    uncut: list[int] = []
    for number, sentence in enumerate(tokenize_words(tokenizer, spaced)):
        for row, owned, length in _rows(sentence, len(spaced[number]), room, is_causal):
            row = np.concatenate([before, row, after]).astype(np.int32)
            if not len(row):  # a model without special tokens needs some token
                row = np.array([tokenizer.end or 0], np.int32)
            tokens.append(row)
            words.append(np.full(len(row), NONE, np.int32))
            words[-1][len(before) : len(before) + len(owned)] = owned
            origin.append(number)
            uncut.append(length + len(before) + len(after))
    return SentenceRows(tokens, words, np.array(origin, np.int64), np.array(uncut))


def _rows(
    sentence: WordTokens, count: int, room: int, is_causal: bool
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Tokens, the words that they stand for, and the uncut length of each row of a sentence."""
    sizes = np.bincount(sentence.words, minlength=count)  # tokens of each word, (W,)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    spans = [*_spans(np.minimum(sizes, room), room)]
    owned = 0
    for index, (begin, end) in enumerate(spans):
        last = end
        if index + 1 < len(spans) and not is_causal:  # what is shared is halved
            last = (spans[index + 1][0] + end + 1) // 2
        tokens, words = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
        for word in range(begin, end):
            tokens.append(sentence.tokens[starts[word] : starts[word + 1]][:room])
            words.append(np.full(len(tokens[-1]), NONE, np.int32))
            if len(tokens[-1]) and owned <= word < last:
                words[-1][-1 if is_causal else 0] = word
        yield np.concatenate(tokens), np.concatenate(words), int(starts[end] - starts[begin])
        owned = last


def _spans(sizes: np.ndarray, room: int) -> Iterator[tuple[int, int]]:
    """First word and the word behind the last of each row, of words of at most `room` tokens."""
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
        # A quarter of a row may be shared with the one before it.
        while shared + sizes[begin - 1] <= min(room // 4, room - sizes[end]):
            begin -= 1
            shared += sizes[begin]
