"""Conversations in the usual layouts of chat data sets, out of one record.

    {"messages": [{"role": "user", "content": "..."}, ...]}            OpenAI, Hugging Face
    {"conversations": [{"from": "human", "value": "..."}, ...]}        ShareGPT
    {"prompt": "...", "completion": "..."}                             also lists of messages
    {"instruction": "...", "input": "...", "output": "..."}            Alpaca; `input` may be empty
    {"instruction": "...", "context": "...", "response": "..."}        Dolly

A `system` key beside them is the system message. The keys of a record determine its layout. A
message of the assistant with `"weight": 0` is read and not learned, as in OpenAI's fine-tuning
(platform.openai.com/docs/guides/fine-tuning, "multi-turn chat examples").
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fmkit.core.errors import join_names
from fmkit.core.types import Message
from fmkit.data.findings import UnusableInput
from fmkit.data.formats.cells import parse_cell
from fmkit.data.formats.text_files import binary_reason

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

_CALLS = ("tool_calls", "function_call")
"""Keys of a message that is more than its text."""
_NOTHING: tuple[Any, ...] = (None, "", [], {}, True)
_UNREAD = ("tools", "functions", "history", "weight")
_UNREAD_OF_MESSAGES = (
    *("reasoning_content", "reasoning", "thinking", "train", "train_detail", "loss"),
    *("images", "audio", "videos"),
)
"""Keys of a record and of its messages that change what other tools learn."""

_ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "model"), "assistant"),
}


def messages(row: Any) -> tuple[Message, ...]:
    """The messages of a record.

    A usable conversation has a system message first or none, then the user and the assistant in
    turn, and at least one answer. An empty system message is left out.

    Raises:
        UnusableInput: with the reason why the record cannot be used.
    """
    turns = _messages(row)
    first = 1 if turns and turns[0].role == "system" else 0
    for index, turn in enumerate(turns[first:]):
        where = f"message {first + index + 1}"
        expected = "assistant" if index % 2 else "user"
        if turn.role != expected:
            raise unusable(f"{where} is out of turn: it is the {turn.role}'s, not the {expected}'s")
        if not turn.content.strip():
            raise unusable(f"{where}, the {turn.role}'s, is empty")
    if len(turns) < first + 2:
        raise unusable("no answer of an assistant")
    if not any(turn.learned for turn in turns if turn.role == "assistant"):
        raise unusable("all answers have weight 0, so that nothing is learned")
    return tuple(turns)


def message(row: Any, where: str) -> Message:
    """The message of an object with a role and a content, which errors call `where`.

    Raises:
        UnusableInput: with the reason why it is not one.
    """
    if not isinstance(row, Mapping):
        raise unusable(f"{where} is a {type(row).__name__}; expected an object")
    role = row.get("role", row.get("from"))
    if not isinstance(role, str) or role.lower() not in _ROLES:
        expected = join_names(list(_ROLES))
        raise unusable(f"{where} has the role {role!r}; expected one of {expected}")
    if calls := [key for key in _CALLS if row.get(key)]:
        raise unusable(f"{where} has {join_names(calls)}, and only texts are learned")
    return Message(_ROLES[role.lower()], _text(row.get("content", row.get("value")), where))


def unread_keys(row: Any) -> set[str]:
    """Keys of a record that are not read, and with which other tools learn something else."""
    messages = [entry for name in _LISTS for entry in parse_messages(row.get(name)) or ()]
    rows = [(row, _UNREAD), *((entry, _UNREAD_OF_MESSAGES) for entry in messages)]
    return {key for cells, keys in rows for key in keys if cells.get(key) not in _NOTHING}


def parse_messages(cell: Any) -> Any:
    """The list of messages that a cell has as text, as a CSV has to; else the cell."""
    value = parse_cell(cell)
    is_list = isinstance(value, list) and all(
        isinstance(entry, Mapping) and ("role" in entry or "from" in entry) for entry in value
    )
    return value if value and is_list else cell


def unusable(reason: str) -> UnusableInput:
    """The error about a record that cannot be used."""
    return UnusableInput("incomplete_row", reason)


def _messages(row: Any) -> list[Message]:
    if not isinstance(row, Mapping):
        raise unusable(f"it is a {type(row).__name__}; expected an object")
    keys_of_lists = (*_LISTS, *(key for pair in _PAIRS for key in pair[:2]))
    cells = {key: value for key, value in row.items() if value is not None}
    cells |= {key: parse_messages(cells[key]) for key in keys_of_lists if key in cells}
    key = next((name for name in _LISTS if name in cells), "")
    keys = next((names for names in _PAIRS if names[0] in cells and names[1] in cells), None)
    turns: list[Message] = []
    if key:
        turns = _listed(cells[key], key)
    elif keys is None:
        raise unusable(
            f"it has the keys {join_names([str(name) for name in cells], 8) or 'none'}; expected "
            "`messages`, `conversations`, `prompt` and `completion`, or `instruction` and `output`"
        )
    else:
        question, answer, topic_key = keys
        for name, role in ((question, "user"), (answer, "assistant")):
            if isinstance(cells[name], list):
                turns += _listed(cells[name], name)
                continue
            text = _text(cells[name], name)
            if name == question and (topic := _text(cells.get(topic_key, ""), topic_key)).strip():
                text = f"{text}\n\n{topic}"
            turns.append(Message(role, text))
    if "system" in cells:
        turns.insert(0, Message("system", _text(cells["system"], "system")))
    return [turn for turn in turns if turn.role != "system" or turn.content.strip()]


def _listed(rows: Any, key: str) -> list[Message]:
    if not isinstance(rows, list):
        raise unusable(f"`{key}` is a {type(rows).__name__}; expected a list of messages")
    return [_weighted(row, f"message {number}") for number, row in enumerate(rows, start=1)]


def _weighted(row: Any, where: str) -> Message:
    turn = message(row, where)
    weight = row.get("weight")
    if weight is None or weight != weight or turn.role != "assistant":
        return turn
    if weight not in (0, 1):
        raise unusable(f"{where} has the weight {weight!r}; expected 0 or 1")
    return replace(turn, learned=bool(weight))


def _text(content: Any, where: str) -> str:
    """A text, or the texts of OpenAI's parts of a message, one after the other."""
    if isinstance(content, list):
        kinds = [part.get("type") if isinstance(part, Mapping) else part for part in content]
        others = [repr(kind) for kind in kinds if kind != "text"]
        if others:
            raise unusable(f"{where} has parts that are not texts: {join_names(others, 3)}")
        content = "".join(_text(part.get("text"), where) for part in content)
    if not isinstance(content, str):
        kind = "no text" if content is None else f"a {type(content).__name__} instead of a text"
        raise unusable(f"{where} has {kind}")
    if reason := binary_reason(content):
        raise unusable(f"{where} is not text: {reason}")
    return content
