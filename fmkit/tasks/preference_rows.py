"""Pairs of answers as tokens: both side by side, each behind the prompt.

N pairs, n tokens of the longer one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fmkit.data.preferences import Preferences, Talk
from fmkit.errors import ConfigError, DataError, received
from fmkit.models.backbone import PADDING
from fmkit.spec import Tokenizer

_LEAST = 8
"""Fewest tokens of a row."""

Parts = tuple[np.ndarray, np.ndarray, np.ndarray]
"""A token each and whether it is to be learned, (n, 2) int32, of prompt and both answers."""


def rows_of(
    content: object, tokenizer: Tokenizer, max_length: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """A row a pair, and how many tokens the longer of both had before it was cut.

    A row is (n, 4) int32: a token of prompt and preferred answer, 1 where it is of the answer and
    else 0, and the same of the other answer; -1 fills the shorter one up. Of what is too long the
    prompt loses its beginning first, down to half of the length, then the answers their ends; both
    have the same prompt.

    Raises:
        DataError: the data are no preferences.
        ConfigError: the length has no room for them.
    """
    if not isinstance(content, Preferences):
        raise DataError("preference tuning learns from pairs of answers: data=preferences")
    if max_length < _LEAST:
        raise ConfigError(received("model.max_length", max_length, f"{_LEAST} tokens or more"))
    rows, uncut = [], np.zeros(len(content.pairs), np.int64)
    for number, (prompt, *answers) in enumerate(_plain_parts(content, tokenizer)):
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


def _plain_parts(content: Preferences, tokenizer: Tokenizer) -> list[Parts]:
    """Prompt and answers as tokens, the marks of a text's start and end around them."""
    before = [] if tokenizer.start is None else [tokenizer.start]
    after = [] if tokenizer.end is None else [tokenizer.end]
    texts = [_text(talk) for each in content.pairs
             for talk in (each.prompt, each.chosen, each.rejected)]  # fmt: skip
    found = tokenizer.tokens(texts)
    parts = []
    for number in range(len(content.pairs)):
        prompt, chosen, rejected = found[3 * number : 3 * number + 3]
        parts.append((
            _flagged([*before, *prompt], 0),
            _flagged([*chosen, *after], 1),
            _flagged([*rejected, *after], 1),
        ))  # fmt: skip
    return parts


def _text(talk: Talk) -> str:
    """Messages as plain text, each on lines of its own."""
    if isinstance(talk, str):
        return talk
    return "".join(f"{content}\n" for _, content in talk)


def _flagged(tokens: Sequence[int], flag: int) -> np.ndarray:
    column = np.array(tokens, np.int32).reshape(-1)
    return np.stack([column, np.full_like(column, flag)], axis=1)
