"""Conversations as tokens: how each family of models writes whose turn it is, as data.

Chat templates usually are programs in Jinja; here a template is a few texts, which run nothing. A
special token, such as `<|im_end|>`, is the vocabulary's own; what looks like one in a message is
text. Everything between two special tokens is tokenised as one text, as in the model's own
template, except for answers: they are tokenised separately, since a model writes them after their
header.

n tokens of a conversation.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise
from typing import NamedTuple

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


_CHATML = Template(
    headers=_headers("<|im_start|>ROLE\n"),
    end="<|im_end|>",
    special_tokens=("<|im_start|>", "<|im_end|>"),
)
TEMPLATES: dict[str, Template] = {
    "chatml": _CHATML,
    "smollm2": replace(
        _CHATML, system="You are a helpful AI assistant named SmolLM, trained by Hugging Face"
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

# The others have no special tokens that tell them apart.
_BY_SPECIAL_TOKENS = ("chatml", "llama3", "gemma")


@dataclass(frozen=True, eq=False)
class Turns:
    """A conversation as tokens.

    Attributes:
        tokens: (n,) int32.
        answers: 1 for the tokens of answers that are learned, and for the end token after each,
            else 0; (n,) int32.
    """

    tokens: np.ndarray
    answers: np.ndarray


class _Part(NamedTuple):
    """The id of a special token, or a text, and whether it is part of an answer."""

    content: int | str
    is_answer: bool = False
    is_learned: bool = False


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
            missing = [name.replace(END, "a token for the end of a text") for name in missing]
            shown = join_names(missing)
            raise ConfigError(
                f"model.chat_template={self.name}: the model's vocabulary lacks {shown}.",
                "Use model.chat_template=auto, which chooses by the special tokens of the model.",
            )
        ids[START] = self.tokenizer.start
        present = {name: number for name, number in ids.items() if number is not None}
        object.__setattr__(self, "_token_ids", present)

    @property
    def stops(self) -> tuple[int, ...]:
        """Tokens that end an answer."""
        names = {self.template.end, END} & self._token_ids.keys()
        return tuple(sorted({self._token_ids[name] for name in names}))

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
        turns = list(messages)
        if template.system and turns and turns[0].role != "system":
            turns.insert(0, Message("system", template.system))
        if template.joins_system and len(turns) > 1 and turns[0].role == "system":
            user = turns[1].content.strip() if template.trims else turns[1].content
            turns[:2] = [Message(turns[1].role, f"{turns[0].content}\n\n{user}")]
        parts = list(self._split(template.begin))
        for message in turns:
            is_answer = message.role == "assistant"
            content = message.content.strip() if template.trims else message.content
            parts += self._split(template.headers[message.role])
            is_learned = is_answer and message.learned
            content = template.lead + content if is_answer else content
            parts.append(_Part(content, is_answer, is_learned))
            if is_answer or template.ends_all:
                parts.append(_Part(self._token_ids[template.end], is_answer, is_learned))
            parts += self._split(template.after)
        return parts

    def _split(self, text: str) -> Iterable[_Part]:
        """A text of the template as special tokens and texts; tokens that it lacks are left out."""
        names = [*self.template.special_tokens, START, END]
        for part in re.split(f"({'|'.join(map(re.escape, names))})", text):
            if part in self._token_ids:
                yield _Part(self._token_ids[part])
            elif part and part not in names:
                yield _Part(part)

    def _joined(self, conversations: Sequence[Sequence[_Part]]) -> list[Turns]:
        merged: list[list[_Part]] = []
        for parts in conversations:
            merged.append([])
            # Neighbouring texts become one, where neither is of an answer.
            groups = groupby(
                parts, key=lambda part: isinstance(part.content, str) and not part.is_answer
            )
            for is_plain_text, group in groups:
                if is_plain_text:
                    merged[-1].append(_Part("".join(str(part.content) for part in group)))
                else:
                    merged[-1] += group
        contents = [part.content for parts in merged for part in parts]
        texts = [content for content in contents if isinstance(content, str)]
        distinct = list(dict.fromkeys(texts))
        rows: dict[int | str, np.ndarray] = dict(zip(distinct, self._tokens(distinct), strict=True))
        encoded = []
        for parts in merged:
            pieces = [
                rows[content] if isinstance(content, str) else np.array([content], np.int32)
                for content, *_ in parts
            ]
            flags = np.array([part.is_learned for part in parts], np.int32)
            tokens = np.concatenate([np.zeros(0, np.int32), *pieces]).astype(np.int32)
            encoded.append(Turns(tokens, np.repeat(flags, [len(piece) for piece in pieces])))
        return encoded

    def _tokens(self, texts: list[str]) -> list[np.ndarray]:
        """Tokens of texts, none of which is a special token of the template."""
        rows = self.tokenizer.tokens(texts)
        special_ids = [self._token_ids[name] for name in self.template.special_tokens]
        names = "|".join(map(re.escape, self.template.special_tokens))
        for index, (text, row) in enumerate(zip(texts, rows, strict=True)):
            # SentencePiece finds the tokens that its file calls user-defined in any text: the text
            # is split after the first letter of each.
            if np.isin(row, special_ids).any():
                cuts = [0, *(match.start() + 1 for match in re.finditer(names, text)), len(text)]
                parts = [text[start:end] for start, end in pairwise(cuts)]
                rows[index] = np.concatenate(self.tokenizer.tokens(parts)).astype(np.int32)
        return rows


def chat_for_model(config: ModelConfig, tokenizer: Tokenizer) -> Chat:
    """The template of a model: `model.chat_template`, or for `auto` the one it was trained with.

    Raises:
        ConfigError: the vocabulary lacks a special token of the template.
    """
    name = config.chat_template
    if name == "auto" and config.name == "smollm2":
        name = "smollm2"
    elif name == "auto":
        fitting = (
            name
            for name in _BY_SPECIAL_TOKENS
            if None not in map(tokenizer.token_to_id, TEMPLATES[name].special_tokens)
        )
        name = next(fitting, "plain")
    if name not in TEMPLATES:
        raise ConfigError(received("model.chat_template", name, ["auto", *TEMPLATES]))
    return Chat(name, TEMPLATES[name], tokenizer)


def _last(answers: np.ndarray) -> np.ndarray:
    """The last run of ones alone, (n,)."""
    ones = np.flatnonzero(answers)
    if not len(ones):
        return answers
    gaps = np.flatnonzero(np.diff(ones) > 1)
    first = ones[gaps[-1] + 1] if len(gaps) else ones[0]
    return np.where(np.arange(len(answers)) >= first, answers, 0).astype(np.int32)
