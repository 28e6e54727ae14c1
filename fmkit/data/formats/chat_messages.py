"""What was said in a row of data, in the layouts that sets of conversations come in.

    {"messages": [{"role": "user", "content": "..."}, ...]}            OpenAI, Hugging Face
    {"conversations": [{"from": "human", "value": "..."}, ...]}        ShareGPT
    {"prompt": "...", "completion": "..."}                             also lists of messages
    {"instruction": "...", "input": "...", "output": "..."}            Alpaca; `input` may be empty
    {"instruction": "...", "context": "...", "response": "..."}        Dolly

A `system` beside them is the system's message. Which layout a row has is told by its keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fmkit.core.errors import join_names
from fmkit.core.types import Message
from fmkit.data.formats.text_encoding import binary_reason

_LISTS = ("messages", "conversations")
_PAIRS = (
    ("prompt", "completion", ""),
    ("prompt", "response", ""),
    ("instruction", "output", "input"),
    ("instruction", "response", "context"),
)
"""Keys of a question, of its answer, and of what the question is about."""

KEYS = frozenset({*_LISTS, "system", *(key for keys in _PAIRS for key in keys if key)})
"""All keys that are read."""

_ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
}


class _Wrong(Exception):
    """Why a row is no conversation."""


def messages(row: Any) -> tuple[Message, ...] | str:
    """What was said, or why a row cannot be used.

    A usable conversation has a system's message first or none, then the user and the assistant by
    turns, and at least one answer. An empty message of the system is left out.
    """
    try:
        found = _messages(row)
        _check(found)
    except _Wrong as error:
        return str(error)
    return tuple(found)


def message(row: Any, where: str) -> Message | str:
    """A message of a list, or why it is none.

    Args:
        row: an object with a role and a content.
        where: what to call it.
    """
    try:
        return _message(row, where)
    except _Wrong as error:
        return str(error)


def _messages(row: Any) -> list[Message]:
    if not isinstance(row, Mapping):
        raise _Wrong(f"it is a {type(row).__name__}; expected an object")
    there = {key: value for key, value in row.items() if value is not None}
    said: list[Message] = []
    if key := next((each for each in _LISTS if each in there), ""):
        said = _listed(there[key], key)
    else:
        keys = next((each for each in _PAIRS if each[0] in there and each[1] in there), None)
        if keys is None:
            raise _Wrong(
                f"it has the keys {join_names([str(each) for each in there], 8) or 'none'}; "
                "expected "
                "`messages`, `conversations`, `prompt` and `completion`, or `instruction` and "
                "`output`"
            )
        said = _pair(there, *keys)
    if "system" in there:
        said.insert(0, Message("system", _text(there["system"], "system")))
    return [each for each in said if each.role != "system" or each.content.strip()]


def _listed(rows: Any, key: str) -> list[Message]:
    if not isinstance(rows, list):
        raise _Wrong(f"`{key}` is a {type(rows).__name__}; expected a list of messages")
    return [_message(row, f"message {place}") for place, row in enumerate(rows, start=1)]


def _message(row: Any, where: str) -> Message:
    if not isinstance(row, Mapping):
        raise _Wrong(f"{where} is a {type(row).__name__}; expected an object")
    role = row.get("role", row.get("from"))
    if not isinstance(role, str) or role.lower() not in _ROLES:
        raise _Wrong(f"{where} has the role {role!r}; expected one of {join_names(list(_ROLES))}")
    return Message(_ROLES[role.lower()], _text(row.get("content", row.get("value")), where))


def _pair(row: Mapping[str, Any], ask: str, answer: str, about: str) -> list[Message]:
    asked = row[ask] if isinstance(row[ask], list) else _text(row[ask], ask)
    answered = row[answer] if isinstance(row[answer], list) else _text(row[answer], answer)
    if about and isinstance(asked, str) and (more := _text(row.get(about, ""), about)).strip():
        asked = f"{asked}\n\n{more}"
    found = _listed(asked, ask) if isinstance(asked, list) else [Message("user", asked)]
    if isinstance(answered, list):
        return [*found, *_listed(answered, answer)]
    return [*found, Message("assistant", answered)]


def _text(content: Any, where: str) -> str:
    """A text, or the texts of OpenAI's parts of a message, one after the other."""
    if isinstance(content, list):
        kinds = [each.get("type") if isinstance(each, Mapping) else each for each in content]
        others = [repr(kind) for kind in kinds if kind != "text"]
        if others:
            raise _Wrong(f"{where} has parts that are no texts: {join_names(others, 3)}")
        content = "".join(_text(each.get("text"), where) for each in content)
    if not isinstance(content, str):
        kind = "no text" if content is None else f"a {type(content).__name__} instead of a text"
        raise _Wrong(f"{where} has {kind}")
    if wrong := binary_reason(content):
        raise _Wrong(f"{where} is no text: {wrong}")
    return content


def _check(said: list[Message]) -> None:
    first = 1 if said and said[0].role == "system" else 0
    for place, each in enumerate(said[first:]):
        where = f"message {first + place + 1}"
        expected = "assistant" if place % 2 else "user"
        if each.role != expected:
            raise _Wrong(f"{where} is out of turn: it is the {each.role}'s, not the {expected}'s")
        if not each.content.strip():
            raise _Wrong(f"{where}, the {each.role}'s, is empty")
    if not any(each.role == "assistant" for each in said):
        raise _Wrong("no answer of an assistant")
