"""Conversations as tokens: how each family of models writes whose turn it is, as data.

Chat templates usually come as programs in Jinja; here a template is a few texts, which run
nothing. A mark, such as `<|im_end|>`, is the vocabulary's own special token; what looks like one in
a message is text. Everything between two marks is tokenised as one text, as the model's own
template has it, but for answers: these are tokenised by themselves, since a model writes them after
their header.

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
"""In a template, the marks before and after a text, which each vocabulary calls otherwise."""


@dataclass(frozen=True)
class Template:
    """How conversations are written.

    Attributes:
        headers: by role, what stands before a message.
        end: the mark after a message of the assistant.
        marks: pieces of the vocabulary that occur in these texts.
        begin: what stands before the first message.
        after: what stands after each message, behind its mark.
        ends_all: whether messages of others have the mark after them, too.
        lead: how an answer begins before its own text.
        trims: whether white space around messages is taken off.
        system: the system's message of a conversation that has none; empty: none.
        joins_system: whether the system's message is the beginning of the first user's.
    """

    headers: Mapping[str, str]
    end: str = END
    marks: tuple[str, ...] = ()
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
    "marks": ("<|im_start|>", "<|im_end|>"),
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
        marks=("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        begin="<|begin_of_text|>",
        after="",
        trims=True,
    ),
    "gemma": Template(
        headers=_headers("<start_of_turn>ROLE\n", assistant="model"),
        end="<end_of_turn>",
        marks=("<bos>", "<start_of_turn>", "<end_of_turn>"),
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

`plain` is for vocabularies without marks of turns. There a user's text can look like a turn.
"""

_OF_MODEL = {"smollm2": "smollm2"}
_BY_MARKS = ("chatml", "llama3", "gemma")  # the others have no marks that tell them apart


@dataclass(frozen=True, eq=False)
class Turns:
    """A conversation as tokens.

    Attributes:
        tokens: (n,) int32.
        answers: 1 for the tokens of answers and for the mark after each, else 0; (n,) int32.
    """

    tokens: np.ndarray
    answers: np.ndarray


@dataclass(frozen=True)
class _Part:
    """Marks and texts in a row: a mark's number, or a text, and whether it is of an answer."""

    content: int | str
    answers: bool = False


@dataclass(frozen=True, eq=False)
class Chat:
    """A template in the numbers of a vocabulary.

    Attributes:
        name: a name in `TEMPLATES`.
        template: what it stands for.
        tokenizer: the model's.

    Raises:
        ConfigError: the vocabulary lacks a mark of the template.
    """

    name: str
    template: Template
    tokenizer: Tokenizer
    _numbers: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        found = {each: self.tokenizer.token_to_id(each) for each in self.template.marks}
        found[END] = self.tokenizer.end
        lacking = [each for each, number in found.items() if number is None]
        if END in lacking and self.template.end != END:
            lacking.remove(END)
        if lacking:
            shown = join_names([each.replace(END, "a mark of a text's end") for each in lacking])
            raise ConfigError(
                f"model.chat_template={self.name}: the model's vocabulary lacks {shown}.",
                "Take model.chat_template=auto, which goes by the marks that there are.",
            )
        found[START] = self.tokenizer.start
        known = {each: number for each, number in found.items() if number is not None}
        object.__setattr__(self, "_numbers", known)

    @property
    def stops(self) -> tuple[int, ...]:
        """Tokens that end an answer."""
        ends = {self._numbers[self.template.end], self._numbers.get(END)}
        return tuple(sorted(each for each in ends if each is not None))

    def encode(
        self, conversations: Sequence[Sequence[Message]], last_only: bool = False
    ) -> list[Turns]:
        """Conversations as a model is trained on them.

        Args:
            conversations: the messages of each; a system's comes first, if there is one.
            last_only: whether of several answers only the last one counts as one.
        """
        found = self._joined([self._parts(each) for each in conversations])
        if not last_only:
            return found
        return [Turns(each.tokens, _last(each.answers)) for each in found]

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
                parts.append(_Part(self._numbers[template.end], is_answer))
            parts += self._split(template.after)
        return parts

    def _with_system(self, messages: Sequence[Message]) -> list[Message]:
        template, found = self.template, list(messages)
        if template.system and found and found[0].role != "system":
            found.insert(0, Message("system", template.system))
        if template.joins_system and len(found) > 1 and found[0].role == "system":
            user = found[1].content.strip() if template.trims else found[1].content
            found[:2] = [Message(found[1].role, f"{found[0].content}\n\n{user}")]
        return found

    def _split(self, text: str) -> Iterable[_Part]:
        """A text of the template as marks and texts; a mark that the vocabulary lacks is none."""
        names = [*self.template.marks, START, END]
        for part in re.split(f"({'|'.join(map(re.escape, names))})", text):
            if part in self._numbers:
                yield _Part(self._numbers[part])
            elif part and part not in names:
                yield _Part(part)

    def _joined(self, conversations: Sequence[Sequence[_Part]]) -> list[Turns]:
        merged = [_merged(each) for each in conversations]
        texts: dict[str, int] = {}
        for parts in merged:
            for part in parts:
                if isinstance(part.content, str):
                    texts.setdefault(part.content, len(texts))
        rows = self._tokens(list(texts))
        found = []
        for parts in merged:
            pieces = [
                rows[texts[part.content]]
                if isinstance(part.content, str)
                else np.array([part.content], np.int32)
                for part in parts
            ]
            flags = [part.answers for part in parts]
            tokens = np.concatenate([np.zeros(0, np.int32), *pieces]).astype(np.int32)
            answers = np.repeat(np.array(flags, np.int32), [len(each) for each in pieces])
            found.append(Turns(tokens, answers.astype(np.int32)))
        return found

    def _tokens(self, texts: list[str]) -> list[np.ndarray]:
        """Tokens of texts, in which no mark of the template is one."""
        rows = self.tokenizer.tokens(texts)
        marks = [self._numbers[each] for each in self.template.marks]
        for place, row in enumerate(rows):
            # SentencePiece takes the marks that its file calls user-defined out of any text.
            if np.isin(row, marks).any():
                rows[place] = self._taken_apart(texts[place])
        return rows

    def _taken_apart(self, text: str) -> np.ndarray:
        """Tokens of a text that is cut after the first letter of each mark in it."""
        names = "|".join(map(re.escape, self.template.marks))
        cuts = [0, *(found.start() + 1 for found in re.finditer(names, text)), len(text)]
        parts = [text[one:other] for one, other in pairwise(cuts)]
        return np.concatenate(self.tokenizer.tokens(parts)).astype(np.int32)


def chat_for_model(config: ModelConfig, tokenizer: Tokenizer) -> Chat:
    """The template of a model: `model.chat_template`, or for `auto` the one that it was made with.

    Raises:
        ConfigError: the vocabulary lacks a mark of the template.
    """
    name = config.chat_template
    if name == "auto":
        name = _OF_MODEL.get(config.name) or _by_marks(tokenizer)
    if name not in TEMPLATES:
        raise ConfigError(received("model.chat_template", name, ["auto", *TEMPLATES]))
    return Chat(name, TEMPLATES[name], tokenizer)


def _by_marks(tokenizer: Tokenizer) -> str:
    for name in _BY_MARKS:
        if all(tokenizer.token_to_id(each) is not None for each in TEMPLATES[name].marks):
            return name
    return "plain"


def _merged(parts: Sequence[_Part]) -> list[_Part]:
    """Neighbouring texts as one, where neither is of an answer."""
    found: list[_Part] = []
    for part in parts:
        before = found[-1] if found else None
        if (
            isinstance(part.content, str)
            and before is not None
            and isinstance(before.content, str)
            and not part.answers
            and not before.answers
        ):
            found[-1] = _Part(before.content + part.content)
        else:
            found.append(part)
    return found


def _last(answers: np.ndarray) -> np.ndarray:
    """The last run of ones alone, (n,)."""
    ones = np.flatnonzero(answers)
    if not len(ones):
        return answers
    gaps = np.flatnonzero(np.diff(ones) > 1)
    first = ones[gaps[-1] + 1] if len(gaps) else ones[0]
    return np.where(np.arange(len(answers)) >= first, answers, 0).astype(np.int32)
