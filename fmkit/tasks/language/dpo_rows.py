"""Pairs of answers as rows of tokens: both side by side, each after the prompt.

Messages are written by the model's chat template; a plain text is encoded as it is, between the
tokens for a text's start and end.

N pairs, n tokens of the longer answer with its prompt.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from fmkit.core.errors import ConfigError, DataError, received
from fmkit.core.types import Tokenizer
from fmkit.data.content.texts import Pair, Preferences, messages
from fmkit.models.backbone import PADDING
from fmkit.models.tokenizers.chat_template import Chat, Turns

_MIN_LENGTH = 8
"""Fewest tokens of a row."""

Parts = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Prompt, preferred and rejected answer: tokens and whether they are learned, (n, 2) int32."""


def encode(
    content: object, tokenizer: Tokenizer, max_length: int, chat: Callable[[], Chat]
) -> tuple[list[np.ndarray], np.ndarray]:
    """A row for each pair, and how many tokens the longer answer had before the cut.

    A row is (n, 4) int32: a token of prompt and preferred answer, 1 where it belongs to the answer
    and else 0, and the same for the rejected answer; -1 fills up the shorter one. A prompt that is
    too long loses its beginning first, down to half of the length, then the answers lose their
    ends; both have the same prompt.

    Args:
        content: the pairs.
        tokenizer: the model's.
        max_length: most tokens of prompt and answer together.
        chat: returns the model's chat template; called only if there are messages.

    Raises:
        DataError: the data does not consist of preferences.
        ConfigError: the length has no room for them.
    """
    if not isinstance(content, Preferences):
        raise DataError("preference tuning learns from pairs of answers: data=preferences")
    if max_length < _MIN_LENGTH:
        raise ConfigError(received("model.max_length", max_length, f"{_MIN_LENGTH} tokens or more"))
    texts = [pair for pair in content.pairs if isinstance(pair.prompt, str)]
    chats = [pair for pair in content.pairs if not isinstance(pair.prompt, str)]
    encoded_texts = iter(_encode_texts(texts, tokenizer) if texts else ())
    encoded_chats = iter(_encode_chats(chats, chat()) if chats else ())
    rows, uncut = [], np.zeros(len(content.pairs), np.int64)
    for number, pair in enumerate(content.pairs):
        is_text = isinstance(pair.prompt, str)
        prompt, *answers = next(encoded_texts if is_text else encoded_chats)
        longest = max(map(len, answers))
        uncut[number] = len(prompt) + longest
        room = max(max_length - longest, max_length // 2)
        prompt = prompt[max(0, len(prompt) - room) :]
        row = np.full((min(len(prompt) + longest, max_length), 4), PADDING, np.int32)
        for column, answer in zip((0, 2), answers, strict=True):
            side = np.concatenate([prompt, answer])[:max_length]
            row[: len(side), column : column + 2] = side
        rows.append(row)
    return rows, uncut


def _encode_texts(pairs: Sequence[Pair], tokenizer: Tokenizer) -> list[Parts]:
    """Plain texts; where an answer ends is learned, too."""
    before = [] if tokenizer.start is None else [tokenizer.start]
    after = [] if tokenizer.end is None else [tokenizer.end]
    texts = [str(text) for pair in pairs for text in (pair.prompt, pair.chosen, pair.rejected)]
    tokens = tokenizer.tokens(texts)
    parts = zip(tokens[::3], tokens[1::3], tokens[2::3], strict=True)
    return [
        (_flagged([*before, *prompt], 0), _flagged([*yes, *after], 1), _flagged([*no, *after], 1))
        for prompt, yes, no in parts
    ]


def _encode_chats(pairs: Sequence[Pair], chat: Chat) -> Iterator[Parts]:
    """Messages by the template; answers that are part of the prompt are not learned."""
    encoded = chat.encode([
        [*messages(pair.prompt), *messages(answer)]
        for pair in pairs for answer in (pair.chosen, pair.rejected)
    ])  # fmt: skip
    for pair, chosen, rejected in zip(pairs, encoded[::2], encoded[1::2], strict=True):
        begin = len(chat.prompt(messages(pair.prompt)))
        prompt = _flagged(chosen.tokens[:begin], 0)
        yield prompt, _after_prompt(chosen, begin), _after_prompt(rejected, begin)


def _after_prompt(turns: Turns, begin: int) -> np.ndarray:
    """The tokens after a prompt, up to the last token of an answer."""
    end = int(np.flatnonzero(turns.answers)[-1]) + 1
    return np.stack([turns.tokens[begin:end], turns.answers[begin:end]], axis=1)


def _flagged(tokens: Sequence[int] | np.ndarray, flag: int) -> np.ndarray:
    column = np.array(tokens, np.int32).reshape(-1)
    return np.stack([column, np.full_like(column, flag)], axis=1)
