"""Pairs of answers as tokens: both side by side, each behind the prompt.

Messages are written by the model's chat template; a text stands as it is, between the marks of a
text's start and end.

N pairs, n tokens of the longer one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fmkit.core.errors import ConfigError, DataError, received
from fmkit.core.types import Tokenizer
from fmkit.data.content.preferences import Pair, Preferences, messages
from fmkit.models.backbone import PADDING
from fmkit.models.tokenizers.chat_template import Chat, Turns

_LEAST = 8
"""Fewest tokens of a row."""

Parts = tuple[np.ndarray, np.ndarray, np.ndarray]
"""A token each and whether it is to be learned, (n, 2) int32, of prompt and both answers."""


def rows_of(
    content: object, tokenizer: Tokenizer, max_length: int, chat: Callable[[], Chat]
) -> tuple[list[np.ndarray], np.ndarray]:
    """A row a pair, and how many tokens the longer of both had before it was cut.

    A row is (n, 4) int32: a token of prompt and preferred answer, 1 where it is of the answer and
    else 0, and the same of the other answer; -1 fills the shorter one up. Of what is too long the
    prompt loses its beginning first, down to half of the length, then the answers their ends; both
    have the same prompt.

    Args:
        content: the pairs.
        tokenizer: the model's.
        max_length: most tokens of prompt and answer together.
        chat: how the model's conversations are written; asked only if there are messages.

    Raises:
        DataError: the data are no preferences.
        ConfigError: the length has no room for them.
    """
    if not isinstance(content, Preferences):
        raise DataError("preference tuning learns from pairs of answers: data=preferences")
    if max_length < _LEAST:
        raise ConfigError(received("model.max_length", max_length, f"{_LEAST} tokens or more"))
    rows, uncut = [], np.zeros(len(content.pairs), np.int64)
    for number, (prompt, *answers) in enumerate(_parts(content, tokenizer, chat)):
        longest = max(len(each) for each in answers)
        uncut[number] = len(prompt) + longest
        kept = max(max_length - longest, max_length // 2)
        begin = prompt[max(0, len(prompt) - kept) :]
        rows.append(_side_by_side([
            np.concatenate([begin, each[: max_length - len(begin)]]) for each in answers
        ]))  # fmt: skip
    return rows, uncut


def _side_by_side(sides: Sequence[np.ndarray]) -> np.ndarray:
    row = np.full((max(len(each) for each in sides), 4), PADDING, np.int32)
    for number, each in enumerate(sides):
        row[: len(each), 2 * number : 2 * number + 2] = each
    return row


def _parts(content: Preferences, tokenizer: Tokenizer, chat: Callable[[], Chat]) -> list[Parts]:
    """Prompt and answers of all pairs, in their order."""
    is_text = [isinstance(each.prompt, str) for each in content.pairs]
    texts = [each for each, plain in zip(content.pairs, is_text, strict=True) if plain]
    talks = [each for each, plain in zip(content.pairs, is_text, strict=True) if not plain]
    found_texts = iter(_of_texts(texts, tokenizer) if texts else ())
    found_talks = iter(_of_talks(talks, chat()) if talks else ())
    return [next(found_texts if plain else found_talks) for plain in is_text]


def _of_texts(pairs: Sequence[Pair], tokenizer: Tokenizer) -> list[Parts]:
    """Texts as they stand; where an answer ends is learned, too."""
    before = [] if tokenizer.start is None else [tokenizer.start]
    after = [] if tokenizer.end is None else [tokenizer.end]
    texts = [str(text) for each in pairs for text in (each.prompt, each.chosen, each.rejected)]
    found = tokenizer.tokens(texts)
    return [
        (
            _flagged([*before, *prompt], 0),
            _flagged([*chosen, *after], 1),
            _flagged([*rejected, *after], 1),
        )
        for prompt, chosen, rejected in zip(found[::3], found[1::3], found[2::3], strict=True)
    ]


def _of_talks(pairs: Sequence[Pair], chat: Chat) -> list[Parts]:
    """Messages by the template; answers that are part of the prompt are not learned."""
    found: list[Parts] = []
    both = [(messages(each.prompt), messages(each.chosen), messages(each.rejected))
            for each in pairs]  # fmt: skip
    encoded = chat.encode([[*prompt, *each] for prompt, *answers in both for each in answers])
    for (said, *_), chosen, rejected in zip(both, encoded[::2], encoded[1::2], strict=True):
        begins = len(chat.prompt(said))
        prompt = _flagged(chosen.tokens[:begins], 0)
        found.append((prompt, _behind(chosen, begins), _behind(rejected, begins)))
    return found


def _behind(turns: Turns, begins: int) -> np.ndarray:
    """What is said behind a prompt, up to the last token of an answer."""
    last = int(np.flatnonzero(turns.answers)[-1]) + 1
    return np.stack([turns.tokens[begins:last], turns.answers[begins:last]], axis=1)


def _flagged(tokens: Sequence[int] | np.ndarray, flag: int) -> np.ndarray:
    column = np.array(tokens, np.int32).reshape(-1)
    return np.stack([column, np.full_like(column, flag)], axis=1)
