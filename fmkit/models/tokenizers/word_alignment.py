"""Words as tokens, each word by itself, so that it is known which word a token is of.

So BERT's authors do it for tags and for spans (Devlin et al. 2018, run_squad): a word has the
tokens that it has alone. Where words are split off at white space and marks, as `split` does, these
are for WordPiece the tokens of the whole text.

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
"""Each of them is a word, as BERT has it: Chinese has no spaces."""


def _joining() -> str:
    """What stands inside words without being a letter: combining marks, and what is not seen."""
    marks = [each for each in range(0x300, 0x20000) if unicodedata.category(chr(each))[0] == "M"]
    return "".join(map(chr, marks)) + "\u00ad\u200b-\u200d\u2060\ufeff"


_LETTER = rf"[^\W{_IDEOGRAPHS}]"
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|{_LETTER}(?:{_LETTER}|[{_joining()}])*|[^\w\s]")


@dataclass(frozen=True)
class WordTokens:
    """A text as tokens.

    Attributes:
        tokens: (n,) int32, without marks of start and end.
        words: which word each is of, (n,) int64, not falling. A word that is no piece of the
            vocabulary, such as a control character, may have none.
    """

    tokens: np.ndarray
    words: np.ndarray


def split(text: str) -> list[tuple[int, int]]:
    """Where words and marks of a text begin and end, in characters."""
    return [found.span() for found in _WORD.finditer(text)]


def of_words(tokenizer: Tokenizer, texts: Sequence[Sequence[str]]) -> list[WordTokens]:
    """Texts, each given as its words, as tokens.

    Args:
        tokenizer: the model's.
        texts: the words of each, with the space before them that they have in the text, as in
            `spaced`: GPT-2's vocabulary tells a word within a line from one that begins it, and
            SentencePiece one behind a space from one that is glued to what stands before it.
    """
    begun, glued = ({each: at for at, each in enumerate(kind)} for kind in _kinds(texts))
    pieces, inner = tokenizer.tokens(list(begun)), tokenizer.inside(list(glued))
    found = []
    for words in texts:
        rows = [
            inner[glued[each]] if place and not each[:1].isspace() else pieces[begun[each]]
            for place, each in enumerate(words)
        ]
        counts = [len(row) for row in rows]
        tokens = np.concatenate([np.zeros(0, np.int32), *rows]).astype(np.int32)
        found.append(WordTokens(tokens, np.repeat(np.arange(len(words)), counts)))
    return found


def _kinds(texts: Sequence[Sequence[str]]) -> tuple[dict[str, None], dict[str, None]]:
    """Words that begin a text or stand behind a space, and those that are glued to another."""
    begun: dict[str, None] = {}
    glued: dict[str, None] = {}
    for words in texts:
        for place, each in enumerate(words):
            (glued if place and not each[:1].isspace() else begun).setdefault(each)
    return begun, glued


def spaced(text: str, spans: Sequence[tuple[int, int]]) -> list[str]:
    """The words at `spans`, each with a space before it where the text has white space there."""
    return [
        f" {text[begin:end]}" if begin and text[begin - 1].isspace() else text[begin:end]
        for begin, end in spans
    ]
