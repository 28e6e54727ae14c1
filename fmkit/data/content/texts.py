"""Content of text examples: texts or pairs, conversations, preferences, sentences as words.

Preferences are a prompt with a preferred and a rejected answer, each a text as it stands or
messages of a conversation.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fmkit.core.errors import DataError
from fmkit.core.types import Message
from fmkit.data.examples import Content, Examples, TextPart
from fmkit.data.findings import UnusableInput

Messages = tuple[Message, ...]
Turns = str | Messages
"""A text as it stands, or messages of a conversation."""

LONGEST = 2**16
"""Characters of a passage: longer texts are divided."""


@dataclass(frozen=True, eq=False)
class Texts(Content):
    """Texts in memory, or pairs of them.

    Attributes:
        texts: one per example.
        pairs: the second text of each example; None where there are no pairs.
    """

    modality: ClassVar[str] = "text"
    noun: ClassVar[str] = "text"
    columns: ClassVar = ("texts", "pairs")
    texts: tuple[str, ...]
    pairs: tuple[str, ...] | None = None

    def identity(self, index: int) -> tuple[int, bytes]:
        """The text in UTF-8, a pair with a NUL between."""
        second = "" if self.pairs is None else f"\0{self.pairs[index]}"
        encoded = (self.texts[index] + second).encode("utf-8", "surrogatepass")
        return len(encoded), encoded

    def shape(self) -> str:
        """Whether they are pairs."""
        return "texts" if self.pairs is None else "pairs"

    def duplicate_key(self, index: int) -> bytes | None:
        """The words, however white space separates them; None for an empty text."""
        if not self.texts[index]:
            return None
        words = " ".join(self.texts[index].split())
        if self.pairs is not None:
            words += "\0" + " ".join(self.pairs[index].split())
        return words.encode("utf-8", "surrogatepass")

    def size_columns(self) -> dict[str, np.ndarray]:
        """Characters and words, of both texts of a pair."""
        pairs = {} if self.pairs is None else {"pair_": self.pairs}
        return text_lengths({"": self.texts, **pairs})

    def excerpt(self, index: int) -> dict[str, str]:
        """The text, and the second one of a pair."""
        pair = {} if self.pairs is None else {"pair": self.pairs[index]}
        return {"text": self.texts[index], **pair}

    def text_parts(self) -> Iterator[TextPart]:
        """The texts, the second one of a pair after the first."""
        previous = None
        for index, text in enumerate(self.texts):
            yield TextPart(index, text)
            second = None if self.pairs is None else self.pairs[index]
            if second is not None and second is not previous:  # questions may share one text
                yield TextPart(index, second)
            previous = second


@dataclass(frozen=True, eq=False)
class Conversations(Content):
    """Conversations in memory: `conversations` has the messages of each."""

    modality: ClassVar[str] = "text"
    layout: ClassVar[str] = "conversations"
    columns: ClassVar = ("conversations",)
    conversations: tuple[Messages, ...]

    def identity(self, index: int) -> tuple[int, bytes]:
        """Roles and contents as JSON, and 0 after those of an answer that is not learned."""
        encoded = json.dumps(_as_json(self.conversations[index]))
        return len(encoded), encoded.encode()

    def duplicate_key(self, index: int) -> bytes:
        """The words of each message with its role, however white space separates them."""
        turns = self.conversations[index]
        words = "\0".join(f"{turn.role}\0{' '.join(turn.content.split())}" for turn in turns)
        return words.encode("utf-8", "surrogatepass")

    def size_columns(self) -> dict[str, np.ndarray]:
        """Messages, characters, words of each conversation, characters of its learned answers."""
        contents = [[turn.content for turn in turns] for turns in self.conversations]
        answers = [
            [turn.content for turn in turns if turn.role == "assistant" and turn.learned]
            for turns in self.conversations
        ]
        return {
            "messages": np.array([len(texts) for texts in contents], np.int64),
            "characters": np.array([sum(map(len, texts)) for texts in contents], np.int64),
            "words": np.array([sum(len(t.split()) for t in texts) for texts in contents], np.int64),
            "answer_characters": np.array([sum(map(len, texts)) for texts in answers], np.int64),
        }


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


@dataclass(frozen=True, eq=False)
class Sentences(Content):
    """Sentences in memory.

    Attributes:
        words: the words of each sentence; none of a sentence that cannot be used.
    """

    modality: ClassVar[str] = "text"
    noun: ClassVar[str] = "sentence"
    layout: ClassVar[str] = "sentences"
    columns: ClassVar = ("words",)
    words: tuple[tuple[str, ...], ...]

    def identity(self, index: int) -> tuple[int, bytes]:
        """The words in UTF-8, with a NUL between, which no word has."""
        encoded = "\0".join(self.words[index]).encode("utf-8", "surrogatepass")
        return len(encoded), encoded

    def text(self, index: int) -> str:
        """A sentence with a space between its words."""
        return " ".join(self.words[index])

    def size_columns(self) -> dict[str, np.ndarray]:
        """Words, and characters with a space between words."""
        return {
            "words": np.array([len(words) for words in self.words], np.int64),
            "characters": np.array([len(self.text(i)) for i in range(len(self))], np.int64),
        }

    def excerpt(self, index: int) -> dict[str, str]:
        """The sentence."""
        return {"text": self.text(index)}

    def text_parts(self) -> Iterator[TextPart]:
        """The sentences."""
        for index in range(len(self)):
            yield TextPart(index, self.text(index))


def text_lengths(texts: Mapping[str, Sequence[str]]) -> dict[str, np.ndarray]:
    """Characters and words of each text, (N,), by `{prefix}characters` and `{prefix}words`."""
    columns = {}
    for prefix, column in texts.items():
        columns[f"{prefix}characters"] = np.array([len(text) for text in column], np.int64)
        columns[f"{prefix}words"] = np.array([len(text.split()) for text in column], np.int64)
    return columns


def messages(turns: Turns) -> Messages:
    """Turns that are messages; a `TypeError` if they are a text."""
    if isinstance(turns, str):
        raise TypeError("expected messages, got a text")
    return turns


def _plain(turns: Turns) -> str:
    return turns if isinstance(turns, str) else "\n".join(turn.content for turn in turns)


def _as_json(turns: Turns) -> Any:
    if isinstance(turns, str):
        return turns
    return [[turn.role, turn.content, *([] if turn.learned else [0])] for turn in turns]


def text_passages(
    examples: Examples,
    indices: np.ndarray,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[str]:
    """The texts at `indices`, divided between words where they are long; about 1 MiB is held.

    Args:
        examples: documents, or texts with classes.
        indices: rising positions in them.
        progress: called before each text with its index and how many there are; it may raise.

    Raises:
        DataError: a document cannot be read any more.
    """
    content = examples.content
    if len(indices) < len(examples):
        content = content.take(indices)
    try:
        for part in content.text_parts():
            if progress is not None:
                progress(part.index, len(indices))
            yield from split_text(part.text)
    except (UnusableInput, OSError) as error:
        raise DataError(f"a document cannot be read any more: {error}.") from error


def split_text(text: str, max_length: int = LONGEST) -> Iterator[str]:
    """A text in passages of at most `max_length` characters, divided before white space if any."""
    start = 0
    while len(text) - start > max_length:
        end = start + max_length
        space = max(text.rfind("\n", start + 1, end), text.rfind(" ", start + 1, end))
        cut = space if space > start else end
        yield text[start:cut]
        start = cut
    if start < len(text):
        yield text[start:]
