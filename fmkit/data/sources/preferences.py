"""Preference pairs in files: a prompt and two answers, of which one is preferred.

`sources/json_files.py` says which files are read, and which are which split.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from fmkit.config.schema.data import PreferencesData
from fmkit.core.types import Message
from fmkit.data.content.preferences import Messages, Pair, Preferences, Turns, messages
from fmkit.data.examples import Examples, without_classes
from fmkit.data.formats import chat_messages
from fmkit.data.formats.text_encoding import text_problem
from fmkit.data.sources.json_files import read_records

_ASSISTANT = "assistant"
_TURN = "\n\nAssistant:"
"""Precedes an answer in dialogues as texts (Bai et al. 2022, arXiv:2204.05862)."""

Names = tuple[str, str, str]
"""Keys of the prompt, the preferred and the rejected answer."""


def list_examples(config: PreferencesData) -> Examples:
    """The pairs of the file or folder `config.root`, by file and row.

    Problems of single rows and files are in the examples' findings.

    Raises:
        DataError: there is nothing to read, or some files name a split and others do not.
    """
    names = (config.prompt_column, config.chosen_column, config.rejected_column)
    parse = partial(parse_pair, names=names)
    parsed = read_records(config.root, "preference", parse, outside_links=config.outside_links)
    content = Preferences(tuple(parsed.values))
    # Pairs of one prompt stay together, within a split where the files name any.
    pairs = zip(parsed.splits, content.prompt_groups(), strict=True)
    groups = np.array([f"{split}/{prompt}" for split, prompt in pairs], dtype=str)
    return without_classes(
        parsed.ids,
        content,
        splits=parsed.split_column(),
        groups=groups if parsed.ids else None,
        findings=parsed.findings,
    )


def parse_pair(row: Any, names: Names) -> Pair:
    """The pair that a record holds.

    Layouts as on the Hugging Face hub: texts; lists of `{role, content}`; a prompt that is a text
    and answers that are conversations which begin with it; and no prompt where both answers begin
    alike: then what they share is the prompt, up to the last turn of an assistant if it has any.

    Raises:
        UnusableInput: it holds none; with the reason.
    """
    if not isinstance(row, dict):
        raise chat_messages.unusable("it is not an object with keys")
    _, chosen_key, rejected_key = names
    missing = [key for key in names[1:] if row.get(key) is None]
    if missing:
        keys = ", ".join(str(key)[:40] for key in list(row)[:8]) or "nothing"
        raise chat_messages.unusable(f"no {' and no '.join(missing)} (it has {keys})")
    chosen, rejected = (_turns(key, row[key]) for key in names[1:])
    prompt = None if row.get(names[0]) is None else _turns(names[0], row[names[0]])
    if isinstance(chosen, str) and isinstance(rejected, str):
        return _checked(_pair_of_texts(prompt, chosen, rejected, names))
    if isinstance(chosen, str) or isinstance(rejected, str):
        keys = f"{chosen_key} and {rejected_key}"
        raise chat_messages.unusable(f"one of {keys} is a text, the other a list of messages")
    if prompt is None or chosen[0].role != _ASSISTANT or rejected[0].role != _ASSISTANT:
        return _checked(_pair_of_conversations(prompt, chosen, rejected, names))
    turns = (Message("user", prompt),) if isinstance(prompt, str) else prompt
    return _checked(Pair(turns, chosen, rejected))


def _turns(name: str, value: Any) -> Turns:
    """A text, or messages, neither of them empty; an empty system message is left out."""
    if isinstance(value, str):
        return _text(name, value)
    if not isinstance(value, list):
        raise chat_messages.unusable(f"{name} is neither a text nor a list of messages")
    turns = []
    for number, row in enumerate(value, start=1):
        where = f"message {number} of {name}"
        turn = chat_messages.message(row, where)
        if turn.role == "system" and not turn.content.strip():
            continue
        _text(where, turn.content)
        turns.append(turn)
    if not turns:
        raise chat_messages.unusable(f"{name} is empty")
    return tuple(turns)


def _text(name: str, text: str) -> str:
    if problem := text_problem(text):
        raise chat_messages.unusable(f"{name} {problem}")
    return text


def _pair_of_texts(prompt: Turns | None, chosen: str, rejected: str, names: Names) -> Pair:
    """Answers that are texts: as they stand, or those of an assistant to messages."""
    if isinstance(prompt, tuple):
        return Pair(prompt, (Message(_ASSISTANT, chosen),), (Message(_ASSISTANT, rejected),))
    if prompt is not None:
        return Pair(prompt, chosen, rejected)
    if chosen == rejected:
        raise chat_messages.unusable("both answers are the same")
    count = _common_length(chosen, rejected)
    turn = chosen.rfind(_TURN, 0, count)
    if turn >= 0:  # behind it the answers may begin alike, too
        count = turn + len(_TURN)
        return Pair(chosen[:count], chosen[count:], rejected[count:])
    while count and not chosen[count - 1].isspace():  # no word is divided
        count -= 1
    count = len(chosen[:count].rstrip())  # a space belongs to the word after it
    if not count:
        raise chat_messages.unusable(
            f"no {names[0]}, and {names[1]} and {names[2]} do not begin alike"
        )
    return Pair(chosen[:count], chosen[count:], rejected[count:])


def _pair_of_conversations(
    prompt: Turns | None, chosen: Messages, rejected: Messages, names: Names
) -> Pair:
    """Answers that are whole conversations, which begin with the prompt."""
    if chosen == rejected:
        raise chat_messages.unusable("both answers are the same")
    count = _common_length(chosen, rejected)
    # Whether one conversation continues where the other ends.
    is_continued = count == min(len(chosen), len(rejected))
    if is_continued and count and chosen[count - 1].role == _ASSISTANT:
        count -= 1
    shared = chosen[:count]
    if not shared:
        raise chat_messages.unusable(
            f"the prompts differ: {names[1]} and {names[2]} do not begin alike"
        )
    if prompt is not None and not _begins_with(shared, prompt):
        raise chat_messages.unusable(
            f"the prompts differ: {names[1]} and {names[2]} do not begin with it"
        )
    return Pair(shared, chosen[count:], rejected[count:])


def _common_length(one: Sequence[Any], other: Sequence[Any]) -> int:
    """The length of the common prefix of two texts or conversations."""
    least = min(len(one), len(other))
    return next((index for index in range(least) if one[index] != other[index]), least)


def _begins_with(shared: Messages, prompt: Turns) -> bool:
    """Whether shared messages are a prompt; a prompt that is a text may follow a system message."""
    if isinstance(prompt, str):
        return prompt.strip() in {turn.content.strip() for turn in shared if turn.role == "user"}
    return shared[: len(prompt)] == prompt


def _checked(pair: Pair) -> Pair:
    if pair.chosen == pair.rejected:
        raise chat_messages.unusable("both answers are the same")
    if isinstance(pair.prompt, str):
        return pair
    for answer in (messages(pair.chosen), messages(pair.rejected)):
        if not answer or answer[0].role != _ASSISTANT:
            state = f"begins with a message of {answer[0].role}" if answer else "is empty"
            raise chat_messages.unusable(f"the prompts differ: where they part, an answer {state}")
        if answer[-1].role != _ASSISTANT:
            raise chat_messages.unusable(f"an answer ends with a message of {answer[-1].role}")
    if pair.prompt[-1].role == _ASSISTANT:
        raise chat_messages.unusable("the prompt ends with a message of assistant")
    return pair
