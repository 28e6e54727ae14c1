"""Content of preference tuning: a prompt with a preferred and a rejected answer.

A prompt and its answers are texts as they stand, or messages of a conversation. N pairs.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fmkit.core.types import Message
from fmkit.data.content.texts import text_lengths
from fmkit.data.examples import Content

Messages = tuple[Message, ...]
Turns = str | Messages
"""A text as it stands, or messages of a conversation."""


@dataclass(frozen=True)
class Pair:
    """A prompt with two answers, all three texts or all three messages."""

    prompt: Turns
    chosen: Turns
    rejected: Turns


@dataclass(frozen=True, eq=False)
class Preferences(Content):
    """Pairs of answers in memory."""

    modality: ClassVar[str] = "text"
    noun: ClassVar[str] = "row"
    layout: ClassVar[str] = "preferences"
    columns: ClassVar = ("pairs",)
    pairs: tuple[Pair, ...]

    def identity(self, index: int) -> tuple[int, bytes]:
        """Prompt and answers as JSON."""
        pair = self.pairs[index]
        turns = (pair.prompt, pair.chosen, pair.rejected)
        encoded = json.dumps([_as_json(part) for part in turns])
        return len(encoded), encoded.encode()

    def size_columns(self) -> dict[str, np.ndarray]:
        """Characters and words of prompts, preferred and rejected answers."""
        parts = ("prompt", "chosen", "rejected")
        return text_lengths(
            {f"{part}_": [_plain(getattr(pair, part)) for pair in self.pairs] for part in parts}
        )

    def prompt_groups(self) -> np.ndarray:
        """A group name for each different prompt, (N,): its pairs belong in one split."""
        prompts = (json.dumps(_as_json(pair.prompt)).encode() for pair in self.pairs)
        return np.array([hashlib.sha256(prompt).hexdigest()[:32] for prompt in prompts])


def messages(turns: Turns) -> Messages:
    """Turns that are messages.

    Raises:
        TypeError: they are a text.
    """
    if isinstance(turns, str):
        raise TypeError("expected messages, got a text")
    return turns


def _plain(turns: Turns) -> str:
    return turns if isinstance(turns, str) else "\n".join(turn.content for turn in turns)


def _as_json(turns: Turns) -> Any:
    return turns if isinstance(turns, str) else [[turn.role, turn.content] for turn in turns]
