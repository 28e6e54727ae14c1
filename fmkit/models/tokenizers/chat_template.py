"""Conversations as tokens: how each family of models writes whose turn it is, as data.

Chat templates usually are programs in Jinja; here a template is a few texts, which run nothing. A
special token, such as `<|im_end|>`, is the vocabulary's own; what looks like one in a message is
text. Everything between two special tokens is tokenised as one text, as in the model's own
template, except for answers: they are tokenised separately, since a model writes them after their
header.

n tokens of a conversation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ConfigError, join_names, received
from fmkit.core.types import Message, Tokenizer

START, END = "{start}", "{end}"
"""In a template, the tokens before and after a text, whose names differ between vocabularies."""


@dataclass(frozen=True)
class Template:
    """How conversations are written.

    Attributes:
        headers: by role, what comes before a message.
        end: the special token after a message of the assistant.
        special_tokens: those of the vocabulary that occur in these texts.
        begin: what comes before the first message.
        after: what comes after each message and its end token.
        ends_all: whether messages of other roles end with that token, too.
        lead: how an answer begins before its own text.
        trims: whether white space around messages is removed.
        system: the system's message of a conversation that has none; empty: none.
        joins_system: whether the system's message is the beginning of the first user's.
    """

    headers: Mapping[str, str]
    end: str = END
    special_tokens: tuple[str, ...] = ()
    begin: str = ""
    after: str = "\n"
    ends_all: bool = True
    lead: str = ""
    trims: bool = False
    system: str = ""
    joins_system: bool = False


def _headers(pattern: str, assistant: str = "assistant") -> dict[str, str]:
    names = {"system": "system", "user": "user", "assistant": assistant}
    return {role: pattern.replace("ROLE", name) for role, name in names.items()}


_CHATML = {
    "headers": _headers("<|im_start|>ROLE\n"),
    "end": "<|im_end|>",
    "special_tokens": ("<|im_start|>", "<|im_end|>"),
}
TEMPLATES: dict[str, Template] = {
    "chatml": Template(**_CHATML),  # type: ignore[arg-type]
    "smollm2": Template(
        **_CHATML,  # type: ignore[arg-type]
        system="You are a helpful AI assistant named SmolLM, trained by Hugging Face",
    ),
    "llama3": Template(
        headers=_headers("<|start_header_id|>ROLE<|end_header_id|>\n\n"),
        end="<|eot_id|>",
        special_tokens=(
            "<|begin_of_text|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<|eot_id|>",
        ),
        begin="<|begin_of_text|>",
        after="",
        trims=True,
    ),
    "gemma": Template(
        headers=_headers("<start_of_turn>ROLE\n", assistant="model"),
        end="<end_of_turn>",
        special_tokens=("<bos>", "<start_of_turn>", "<end_of_turn>"),
        begin="<bos>",
        trims=True,
        joins_system=True,
    ),
    "zephyr": Template(headers=_headers("<|ROLE|>\n")),
    "plain": Template(
        headers={"system": "", "user": "User: ", "assistant": "Assistant:"},
        begin=START,
        ends_all=False,
        lead=" ",
    ),
}
"""By name, as the models' own templates have them: SmolLM2-Instruct, Llama 3, Gemma 3, Zephyr.

`plain` is for vocabularies without special tokens for turns. There a user's text can look like a
turn.
"""

_OF_MODEL = {"smollm2": "smollm2"}
_BY_SPECIAL_TOKENS = (
    "chatml",
    "llama3",
    "gemma",
)  # the others have no special tokens that tell them apart


@dataclass(frozen=True, eq=False)
class Turns:
    """A conversation as tokens.

    Attributes:
        tokens: (n,) int32.
        answers: 1 for the tokens of answers and for the end token after each, else 0; (n,) int32.
    """

    tokens: np.ndarray
    answers: np.ndarray


@dataclass(frozen=True)
class _Part:
    """The id of a special token, or a text; and whether it is part of an answer."""

    content: int | str
    answers: bool = False


@dataclass(frozen=True, eq=False)
class Chat:
    """A template in the token ids of a vocabulary.

    Attributes:
        name: a name in `TEMPLATES`.
        template: what it stands for.
        tokenizer: the model's.

    Raises:
        ConfigError: the vocabulary lacks a special token of the template.
    """

    name: str
    template: Template
    tokenizer: Tokenizer
    _token_ids: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        ids = {name: self.tokenizer.token_to_id(name) for name in self.template.special_tokens}
        ids[END] = self.tokenizer.end
        missing = [name for name, number in ids.items() if number is None]
        if END in missing and self.template.end != END:
            missing.remove(END)
        if missing:
            shown = join_names(
                [name.replace(END, "a token for the end of a text") for name in missing]
            )
            raise ConfigError(
                f"model.chat_template={self.name}: the model's vocabulary lacks {shown}.",
                "Use model.chat_template=auto, which chooses by the special tokens of the model.",
            )
        ids[START] = self.tokenizer.start
        known_ids = {name: number for name, number in ids.items() if number is not None}
        object.__setattr__(self, "_token_ids", known_ids)

    @property
    def stops(self) -> tuple[int, ...]:
        """Tokens that end an answer."""
        ends = {self._token_ids[self.template.end], self._token_ids.get(END)}
        return tuple(sorted(each for each in ends if each is not None))

    def encode(
        self, conversations: Sequence[Sequence[Message]], last_only: bool = False
    ) -> list[Turns]:
        """Conversations as a model is trained on them.

        Args:
            conversations: the messages of each; a system's comes first, if there is one.
            last_only: whether of several answers only the last one counts as one.
        """
        encoded = self._joined([self._parts(messages) for messages in conversations])
        if not last_only:
            return encoded
        return [Turns(turns.tokens, _last(turns.answers)) for turns in encoded]

    def prompt(self, messages: Sequence[Message]) -> np.ndarray:
        """Tokens (n,) int32 of a conversation up to where the assistant's next answer begins."""
        parts = [*self._parts(messages), *self._split(self.template.headers["assistant"])]
        return self._joined([parts])[0].tokens

    def answer(self, text: str) -> str:
        """An answer as a model wrote it, without what the template begins one with."""
        return text.removeprefix(self.template.lead)

    def _parts(self, messages: Sequence[Message]) -> list[_Part]:
        template = self.template
        parts = list(self._split(template.begin))
        for message in self._with_system(messages):
            is_answer = message.role == "assistant"
            content = message.content.strip() if template.trims else message.content
            parts += self._split(template.headers[message.role])
            parts.append(_Part(template.lead + content if is_answer else content, is_answer))
            if is_answer or template.ends_all:
                parts.append(_Part(self._token_ids[template.end], is_answer))
            parts += self._split(template.after)
        return parts

    def _with_system(self, messages: Sequence[Message]) -> list[Message]:
        template, turns = self.template, list(messages)
        if template.system and turns and turns[0].role != "system":
            turns.insert(0, Message("system", template.system))
        if template.joins_system and len(turns) > 1 and turns[0].role == "system":
            user = turns[1].content.strip() if template.trims else turns[1].content
            turns[:2] = [Message(turns[1].role, f"{turns[0].content}\n\n{user}")]
        return turns

    def _split(self, text: str) -> Iterable[_Part]:
        """A text of the template as special tokens and texts; tokens that it lacks are left out."""
        names = [*self.template.special_tokens, START, END]
        for part in re.split(f"({'|'.join(map(re.escape, names))})", text):
            if part in self._token_ids:
                yield _Part(self._token_ids[part])
            elif part and part not in names:
                yield _Part(part)

    def _joined(self, conversations: Sequence[Sequence[_Part]]) -> list[Turns]:
        merged = [_merged(parts) for parts in conversations]
        texts: dict[str, int] = {}
        for parts in merged:
            for part in parts:
                if isinstance(part.content, str):
                    texts.setdefault(part.content, len(texts))
        rows = self._tokens(list(texts))
        encoded = []
        for parts in merged:
            pieces = [
                rows[texts[part.content]]
                if isinstance(part.content, str)
                else np.array([part.content], np.int32)
                for part in parts
            ]
            flags = [part.answers for part in parts]
            tokens = np.concatenate([np.zeros(0, np.int32), *pieces]).astype(np.int32)
            answers = np.repeat(np.array(flags, np.int32), [len(piece) for piece in pieces])
            encoded.append(Turns(tokens, answers.astype(np.int32)))
        return encoded

    def _tokens(self, texts: list[str]) -> list[np.ndarray]:
        """Tokens of texts, none of which is a special token of the template."""
        rows = self.tokenizer.tokens(texts)
        special_ids = [self._token_ids[name] for name in self.template.special_tokens]
        for index, row in enumerate(rows):
            # SentencePiece finds the tokens that its file calls user-defined in any text.
            if np.isin(row, special_ids).any():
                rows[index] = self._split_at_special_tokens(texts[index])
        return rows

    def _split_at_special_tokens(self, text: str) -> np.ndarray:
        """Tokens of a text that is split after the first letter of each special token in it."""
        names = "|".join(map(re.escape, self.template.special_tokens))
        cuts = [0, *(match.start() + 1 for match in re.finditer(names, text)), len(text)]
        parts = [text[start:end] for start, end in pairwise(cuts)]
        return np.concatenate(self.tokenizer.tokens(parts)).astype(np.int32)


def chat_for_model(config: ModelConfig, tokenizer: Tokenizer) -> Chat:
    """The template of a model: `model.chat_template`, or for `auto` the one it was trained with.

    Raises:
        ConfigError: the vocabulary lacks a special token of the template.
    """
    name = config.chat_template
    if name == "auto":
        name = _OF_MODEL.get(config.name) or _by_special_tokens(tokenizer)
    if name not in TEMPLATES:
        raise ConfigError(received("model.chat_template", name, ["auto", *TEMPLATES]))
    return Chat(name, TEMPLATES[name], tokenizer)


def _by_special_tokens(tokenizer: Tokenizer) -> str:
    for name in _BY_SPECIAL_TOKENS:
        if all(
            tokenizer.token_to_id(token) is not None for token in TEMPLATES[name].special_tokens
        ):
            return name
    return "plain"


def _merged(parts: Sequence[_Part]) -> list[_Part]:
    """Neighbouring texts as one, where neither is of an answer."""
    merged: list[_Part] = []
    for part in parts:
        before = merged[-1] if merged else None
        if (
            isinstance(part.content, str)
            and before is not None
            and isinstance(before.content, str)
            and not part.answers
            and not before.answers
        ):
            merged[-1] = _Part(before.content + part.content)
        else:
            merged.append(part)
    return merged


def _last(answers: np.ndarray) -> np.ndarray:
    """The last run of ones alone, (n,)."""
    ones = np.flatnonzero(answers)
    if not len(ones):
        return answers
    gaps = np.flatnonzero(np.diff(ones) > 1)
    first = ones[gaps[-1] + 1] if len(gaps) else ones[0]
    return np.where(np.arange(len(answers)) >= first, answers, 0).astype(np.int32)
