"""Preference pairs in files: a prompt and two answers, of which one is preferred.

`sources/json_files.py` says which files are read, and which are which split.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import numpy as np

from fmkit.config.schema.data import PreferencesData
from fmkit.core.types import Message
from fmkit.data.content.texts import Messages, Pair, Preferences, Turns, messages
from fmkit.data.examples import Examples
from fmkit.data.formats.chat_messages import message, parse_messages, unusable
from fmkit.data.formats.text_files import text_problem
from fmkit.data.sources.json_files import read_examples

_ASSISTANT = "assistant"
_TURN = "\n\nAssistant:"
"""Precedes an answer in dialogues as texts (Bai et al. 2022, arXiv:2204.05862)."""

Names = tuple[str, str, str]
"""Keys of the prompt, the preferred and the rejected answer."""


def list_examples(config: PreferencesData) -> Examples:
    """The pairs of the file or folder `config.root`, by file and row (see `read_examples`)."""
    names = (config.prompt_column, config.chosen_column, config.rejected_column)
    parse, links = partial(parse_pair, names=names), config.outside_links
    examples = read_examples(
        config.root, "preference", parse, Preferences, outside_links=links, sheet=config.sheet
    )
    if not len(examples):
        return examples
    prompts = cast(Preferences, examples.content).prompt_groups()
    # Pairs of one prompt stay together, within a split where the files name any.
    splits = itertools.repeat("") if examples.splits is None else examples.splits
    groups = [f"{split}/{prompt}" for split, prompt in zip(splits, prompts, strict=False)]
    return dataclasses.replace(examples, groups=np.array(groups, dtype=str))


def parse_pair(row: Any, names: Names) -> Pair:
    """The pair that a record holds.

    Layouts as on the Hugging Face hub: texts; lists of `{role, content}`; a prompt that is a text
    and answers that are conversations which begin with it; and no prompt where both answers begin
    alike: then what they share is the prompt, up to the last turn of an assistant if it has any.
    Raises `UnusableInput` with the reason where it holds none.
    """
    prompt_key, chosen_key, rejected_key = names
    if not isinstance(row, dict):
        raise unusable("it is not an object with keys")
    if missing := [key for key in names[1:] if row.get(key) is None]:
        keys = ", ".join(str(key)[:40] for key in list(row)[:8]) or "nothing"
        raise unusable(f"no {' and no '.join(missing)} (it has {keys})")
    chosen, rejected = _turns(chosen_key, row[chosen_key]), _turns(rejected_key, row[rejected_key])
    prompt = None if row.get(prompt_key) is None else _turns(prompt_key, row[prompt_key])
    if chosen == rejected:
        raise unusable("both answers are the same")
    if isinstance(chosen, str) and isinstance(rejected, str):
        pair = _pair_of_texts(prompt, chosen, rejected, names)
    elif isinstance(chosen, str) or isinstance(rejected, str):
        keys = f"{chosen_key} and {rejected_key}"
        raise unusable(f"one of {keys} is a text, the other a list of messages")
    elif prompt is None or chosen[0].role != _ASSISTANT or rejected[0].role != _ASSISTANT:
        pair = _pair_of_conversations(prompt, chosen, rejected, names)
    else:
        turns = (Message("user", prompt),) if isinstance(prompt, str) else prompt
        pair = Pair(turns, chosen, rejected)
    if isinstance(pair.prompt, str):
        return pair
    for answer in (messages(pair.chosen), messages(pair.rejected)):
        if not answer or answer[0].role != _ASSISTANT:
            state = f"begins with a message of {answer[0].role}" if answer else "is empty"
            raise unusable(f"the prompts differ: where they part, an answer {state}")
        if answer[-1].role != _ASSISTANT:
            raise unusable(f"an answer ends with a message of {answer[-1].role}")
    if pair.prompt[-1].role == _ASSISTANT:
        raise unusable("the prompt ends with a message of assistant")
    return pair


def _turns(name: str, value: Any) -> Turns:
    """A text, or messages, neither of them empty; an empty system message is left out."""
    if isinstance(value, dict):  # one message, or OpenAI's {"messages": [...]}
        value = value.get("messages", [value])
    value = parse_messages(value)
    if isinstance(value, str):
        if problem := text_problem(value):
            raise unusable(f"{name} {problem}")
        return value
    if not isinstance(value, list):
        raise unusable(f"{name} is neither a text nor a list of messages")
    turns = []
    for number, row in enumerate(value, start=1):
        where = f"message {number} of {name}"
        turn = message(row, where)
        if turn.role == "system" and not turn.content.strip():
            continue
        if problem := text_problem(turn.content):
            raise unusable(f"{where} {problem}")
        turns.append(turn)
    if not turns:
        raise unusable(f"{name} is empty")
    return tuple(turns)


def _pair_of_texts(prompt: Turns | None, chosen: str, rejected: str, names: Names) -> Pair:
    """Answers that are texts: as they stand, or those of an assistant to messages."""
    if isinstance(prompt, tuple):
        return Pair(prompt, (Message(_ASSISTANT, chosen),), (Message(_ASSISTANT, rejected),))
    if prompt is not None:
        return Pair(prompt, chosen, rejected)
    count = _common_length(chosen, rejected)
    turn = chosen.rfind(_TURN, 0, count)
    if turn >= 0:  # behind it the answers may begin alike, too
        count = turn + len(_TURN)
        return Pair(chosen[:count], chosen[count:], rejected[count:])
    while count and not chosen[count - 1].isspace():  # no word is divided
        count -= 1
    count = len(chosen[:count].rstrip())  # a space belongs to the word after it
    if not count:
        raise unusable(f"no {names[0]}, and {names[1]} and {names[2]} do not begin alike")
    return Pair(chosen[:count], chosen[count:], rejected[count:])


def _pair_of_conversations(
    prompt: Turns | None, chosen: Messages, rejected: Messages, names: Names
) -> Pair:
    """Answers that are whole conversations, which begin with the prompt."""
    count = _common_length(chosen, rejected)
    is_continued = count == min(len(chosen), len(rejected))  # one goes on where the other ends
    if is_continued and count and chosen[count - 1].role == _ASSISTANT:
        count -= 1
    shared = chosen[:count]
    problem = f"the prompts differ: {names[1]} and {names[2]} do not begin"
    if not shared:
        raise unusable(f"{problem} alike")
    if isinstance(prompt, str):  # it may follow a system message
        questions = [turn.content.strip() for turn in shared if turn.role == "user"]
        begins_with_prompt = prompt.strip() in questions
    else:
        begins_with_prompt = prompt is None or shared[: len(prompt)] == prompt
    if not begins_with_prompt:
        raise unusable(f"{problem} with it")
    return Pair(shared, chosen[count:], rejected[count:])


def _common_length(first: Sequence[Any], second: Sequence[Any]) -> int:
    """The length of the common prefix of two texts or conversations."""
    pairs = enumerate(zip(first, second, strict=False))
    shortest = min(len(first), len(second))
    return next((index for index, (left, right) in pairs if left != right), shortest)
