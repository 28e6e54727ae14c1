"""Pairs of answers to a prompt, of which one is preferred: what preference tuning learns from.

A prompt and its answers are texts as they stand, or messages of a conversation. N pairs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fmkit.config.schema.data import PreferencesData
from fmkit.core.types import Message
from fmkit.data.content.preferences import Messages, Pair, Preferences, Turns, messages
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding, UnusableInput, printable
from fmkit.data.formats import chat_messages
from fmkit.data.formats.json_records import rows
from fmkit.data.formats.text_encoding import binary_reason
from fmkit.data.sources.json_files import ObjectFile, list_files
from fmkit.data.stratify import limit_examples

_ANSWERS = "assistant"
_TURN = "\n\nAssistant:"
"""What an answer stands behind in dialogues as texts (Bai et al. 2022, arXiv:2204.05862)."""


class BadPair(Exception):
    """A row that is no pair of answers; the message says why."""


def pair_of(row: Any, names: tuple[str, str, str]) -> Pair:
    """The pair that a row of a file holds.

    Layouts as on the Hugging Face hub: texts; lists of `{role, content}`; a prompt that is a text
    and answers that are conversations which begin with it; and no prompt where both answers begin
    alike, which is the prompt then, up to the last turn of an assistant where it has any.

    Args:
        row: an object of JSON.
        names: keys of prompt, preferred and other answer.

    Raises:
        BadPair: it holds none.
    """
    if not isinstance(row, dict):
        raise BadPair("it is no object with keys")
    missing = [each for each in names[1:] if row.get(each) is None]
    if missing:
        there = ", ".join(str(each)[:40] for each in list(row)[:8]) or "nothing"
        raise BadPair(f"no {' and no '.join(missing)} (it has {there})")
    chosen, rejected = (_talk(each, row[each]) for each in names[1:])
    if isinstance(chosen, str) != isinstance(rejected, str):
        raise BadPair(f"one of {names[1]} and {names[2]} is a text, the other a list of messages")
    prompt = None if row.get(names[0]) is None else _talk(names[0], row[names[0]])
    if isinstance(chosen, str) and isinstance(rejected, str):
        return _checked(_of_texts(prompt, chosen, rejected, names))
    return _checked(_of_messages(prompt, chosen, rejected, names))  # type: ignore[arg-type]


def _talk(name: str, value: Any) -> Turns:
    """A text, or messages, neither of them empty; an empty message of the system is left out."""
    if isinstance(value, str):
        return _text(name, value)
    if not isinstance(value, list):
        raise BadPair(f"{name} is neither a text nor a list of messages")
    if not value:
        raise BadPair(f"{name} is empty")
    found = []
    for number, each in enumerate(value, start=1):
        where = f"message {number} of {name}"
        read = chat_messages.message(each, where)
        if isinstance(read, str):
            raise BadPair(read)
        if read.role == "system" and not read.content.strip():
            continue
        _text(where, read.content)
        found.append(read)
    if not found:
        raise BadPair(f"{name} is empty")
    return tuple(found)


def _text(what: str, text: str) -> str:
    if not text.strip():
        raise BadPair(f"{what} is empty")
    if wrong := binary_reason(text):
        raise BadPair(f"{what} is no text: {wrong}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = ascii(text[error.start])
        raise BadPair(f"{what} is no text: it has half of a character, {half}") from None
    return text


def _of_texts(prompt: Turns | None, chosen: str, rejected: str, names: tuple[str, ...]) -> Pair:
    """Answers that are texts: as they stand, or those of an assistant to messages."""
    if isinstance(prompt, tuple):
        return Pair(prompt, (Message(_ANSWERS, chosen),), (Message(_ANSWERS, rejected),))
    if prompt is not None:
        return Pair(prompt, chosen, rejected)
    if chosen == rejected:
        raise BadPair("both answers are the same")
    count = _common(chosen, rejected)
    if turn := chosen.rfind(_TURN, 0, count) + 1:  # answers may begin alike, too
        count = turn - 1 + len(_TURN)
        return Pair(chosen[:count], chosen[count:], rejected[count:])
    while count and not chosen[count - 1].isspace():  # no word is cut in two
        count -= 1
    count = len(chosen[:count].rstrip())  # a space goes with the word behind it
    if not count:
        raise BadPair(f"no {names[0]}, and {names[1]} and {names[2]} do not begin alike")
    return Pair(chosen[:count], chosen[count:], rejected[count:])


def _of_messages(
    prompt: Turns | None, chosen: Messages, rejected: Messages, names: tuple[str, ...]
) -> Pair:
    """Answers that are messages, or whole conversations that begin with the prompt."""
    if prompt is None or chosen[0].role != _ANSWERS or rejected[0].role != _ANSWERS:
        return _of_conversations(prompt, chosen, rejected, names)
    messages = (Message("user", prompt),) if isinstance(prompt, str) else prompt
    return Pair(messages, chosen, rejected)


def _of_conversations(
    prompt: Turns | None, chosen: Messages, rejected: Messages, names: tuple[str, ...]
) -> Pair:
    if chosen == rejected:
        raise BadPair("both answers are the same")
    count = _common(chosen, rejected)
    ends = len(chosen) == count or len(rejected) == count
    if ends and count and chosen[count - 1].role == _ANSWERS:  # one goes on where the other ends
        count -= 1
    shared = chosen[:count]
    if not shared:
        raise BadPair(f"the prompts differ: {names[1]} and {names[2]} do not begin alike")
    if prompt is not None and not _begins(shared, prompt):
        raise BadPair(f"the prompts differ: {names[1]} and {names[2]} do not begin with it")
    return Pair(shared, chosen[count:], rejected[count:])


def _begins(shared: Messages, prompt: Turns) -> bool:
    """Whether what conversations share begins with a prompt; one of a text may follow a system's
    message."""
    if isinstance(prompt, str):
        users = [each.content for each in shared if each.role == "user"]
        return prompt.strip() in {each.strip() for each in users}
    return shared[: len(prompt)] == prompt


def _common(one: Any, other: Any) -> int:
    """How many places two texts or conversations share from the beginning."""
    least = min(len(one), len(other))
    return next((each for each in range(least) if one[each] != other[each]), least)


def _checked(pair: Pair) -> Pair:
    if pair.chosen == pair.rejected:
        raise BadPair("both answers are the same")
    if isinstance(pair.prompt, str):
        return pair
    for answer in (messages(pair.chosen), messages(pair.rejected)):
        if not answer or answer[0].role != _ANSWERS:
            came = f"begins with a message of {answer[0].role}" if answer else "is empty"
            raise BadPair(f"the prompts differ: an answer {came} where they part")
        if answer[-1].role != _ANSWERS:
            raise BadPair(f"an answer ends with a message of {answer[-1].role}")
    if pair.prompt[-1].role == _ANSWERS:
        raise BadPair("the prompt ends with a message of assistant")
    return pair


@dataclass
class _Found:
    """Pairs that can be used, and what is wrong with the others."""

    ids: list[str] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def list_examples(config: PreferencesData) -> Examples:
    """The pairs of the file or folder `config.root`, by file and row.

    What is wrong with single rows and files is in the examples' findings.

    Raises:
        DataError: nothing is there to read, or only some files are named by their splits.
    """
    files, findings = list_files(config.root, "preferences", config.outside_links)
    found = _Found(findings=findings)
    names = (config.prompt_column, config.chosen_column, config.rejected_column)
    for each in files:
        _read(found, each, names)
    content = Preferences(tuple(found.pairs))
    is_named = any(each.split for each in files)
    examples = Examples(
        ids=tuple(found.ids),
        labels=np.zeros(len(found.ids), np.int32),
        classes=(),
        content=content,
        splits=np.array(found.splits, dtype=str) if is_named else None,
        groups=_groups(found, content) if found.ids else None,
        findings=tuple(found.findings),
    )
    return limit_examples(examples, config.limit) if found.ids else examples


def _read(found: _Found, file: ObjectFile, names: tuple[str, str, str]) -> None:
    """Take the rows of a file over, or note what is wrong with them."""
    where = printable(file.name)
    try:
        for row in rows(file.path):
            key = f"{where}:{row.number:06d}"
            fault = row.fault
            if not fault:
                try:
                    pair = pair_of(row.value, names)
                except BadPair as error:
                    fault = str(error)
            if fault:
                found.findings.append(Finding(row.kind, key, fault))
                continue
            found.ids.append(key)
            found.pairs.append(pair)
            found.splits.append(file.split)
    except UnusableInput as error:
        found.findings.append(Finding(error.kind, where, error.why, path=str(file.path)))


def _groups(found: _Found, content: Preferences) -> np.ndarray:
    """What may not be in two splits: pairs of one prompt, within a split that has a name."""
    prompts = zip(found.splits, content.prompt_groups(), strict=True)
    return np.array([f"{split}/{prompt}" for split, prompt in prompts], dtype=str)
