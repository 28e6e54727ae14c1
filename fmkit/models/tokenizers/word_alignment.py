"""Words as tokens, each word tokenised by itself, so that every token's word is known.

As BERT's authors do for tags and for spans (Devlin et al. 2018, run_squad): a word has the tokens
that it has alone. Where words are split at white space and punctuation, as `split_words` does,
these are for WordPiece the tokens of the whole text.

Not by `Encoding.word_ids` of the library `tokenizers`: it gives the same (a test holds that), but
SentencePiece has nothing like it, and here each distinct word is tokenised once, which took half
the time for 275,000 words. Nor by `Encoding.offsets` of whole texts, where byte-level BPE joins
what are several words here, such as the end of "don't".

W words of a text, n tokens.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fmkit.core.types import Tokenizer

_IDEOGRAPHS = (
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002ceaf"
    "\U0002f800-\U0002fa1f"
)
"""Each of them is a word, as in BERT: Chinese has no spaces."""


def _joining() -> str:
    """What is inside words without being a letter: combining marks and invisible characters."""
    marks = [code for code in range(0x300, 0x20000) if unicodedata.category(chr(code))[0] == "M"]
    return "".join(map(chr, marks)) + "\u00ad\u200b-\u200d\u2060\ufeff"


_LETTER = rf"[^\W{_IDEOGRAPHS}]"
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|{_LETTER}(?:{_LETTER}|[{_joining()}])*|[^\w\s]")


@dataclass(frozen=True)
class WordTokens:
    """A text as tokens.

    Attributes:
        tokens: (n,) int32, without special tokens.
        words: index of the word that each token is of, (n,) int64, ascending. A word that the
            vocabulary cannot write, such as a control character, may have none.
    """

    tokens: np.ndarray
    words: np.ndarray


def split_words(text: str) -> list[tuple[int, int]]:
    """Where words and punctuation marks of a text begin and end, in characters."""
    return [match.span() for match in _WORD.finditer(text)]


def tokenize_words(tokenizer: Tokenizer, texts: Sequence[Sequence[str]]) -> list[WordTokens]:
    """Texts, each given as its words, as tokens.

    Args:
        tokenizer: the model's.
        texts: the words of each, with the space before them that they have in the text, as from
            `add_spaces`: GPT-2's vocabulary tells a word within a line from one that begins it, and
            SentencePiece one after a space from one that directly follows another.
    """
    starts, continuations = (
        {word: position for position, word in enumerate(words)} for words in _distinct(texts)
    )
    of_starts = tokenizer.tokens(list(starts))
    of_continuations = tokenizer.encode_continuation(list(continuations))
    encoded = []
    for words in texts:
        rows = [
            of_continuations[continuations[word]]
            if _continues(position, word)
            else of_starts[starts[word]]
            for position, word in enumerate(words)
        ]
        counts = [len(row) for row in rows]
        tokens = np.concatenate([np.zeros(0, np.int32), *rows]).astype(np.int32)
        encoded.append(WordTokens(tokens, np.repeat(np.arange(len(words)), counts)))
    return encoded


def _continues(position: int, word: str) -> bool:
    """Whether a word directly follows another, without a space."""
    return position > 0 and not word[:1].isspace()


def _distinct(texts: Sequence[Sequence[str]]) -> tuple[dict[str, None], dict[str, None]]:
    """Words at the beginning of a text or after a space, and those that follow another directly."""
    starts: dict[str, None] = {}
    continuations: dict[str, None] = {}
    for words in texts:
        for position, word in enumerate(words):
            (continuations if _continues(position, word) else starts).setdefault(word)
    return starts, continuations


def add_spaces(text: str, spans: Sequence[tuple[int, int]]) -> list[str]:
    """The words at `spans`, each with a space before it where the text has white space there."""
    return [
        f" {text[begin:end]}" if begin and text[begin - 1].isspace() else text[begin:end]
        for begin, end in spans
    ]
