"""Records out of JSON lines, or out of a JSON list.

A record that cannot be read costs only itself, where the others can be separated from it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from fmkit.core.errors import join_names
from fmkit.data.findings import UnusableInput
from fmkit.data.formats.coco_labels import coco_rows
from fmkit.data.formats.text_files import nonempty_lines, read_text
from fmkit.data.formats.via_labels import via_rows

JSON_LINES = (".jsonl", ".ndjson")
"""How names of files with a JSON value per line end."""

_PARTS = (
    "messages", "conversation", "conversations", "turns", "paragraphs", "qas", "answers",
    "annotations", "completions", "entities", "spans", "ner", "label", "labels", "tokens",
    "options", "choices",
)  # fmt: skip
"""Keys of lists that are parts of one record, and not records."""
_CHATS = ("messages", "conversation", "conversations", "turns")
"""Those whose objects are messages, or else records: of a help desk, say."""
_MANY = 10  # objects in a list that are rather records than parts of one
_DEEPEST = 5  # objects in objects that are searched


class Record(NamedTuple):
    """A record of a file.

    Attributes:
        number: its line, or in a list or a table without lines its position, from 1.
        value: typed; None where the record has a fault.
        place: where the file has it, such as `line 5`; empty where its position is all there is.
        split: that of the sheet of a workbook; empty where the file does not say.
    """

    number: int
    value: Any
    fault: UnusableInput | None = None
    place: str = ""
    split: str = ""


def json_file(
    path: Path, encoding: str, list_key: str = "", record_key: str = ""
) -> Iterator[Record]:
    """The records of a `.json`: of a list, of a list under a key, or JSON lines by another name.

    Args:
        list_key: an object as a whole file has its records under this key, or under `data`.
        record_key: an object with this key is a single record.
    """
    text = read_text(str(path), encoding)
    is_one_line = "\n" not in text.strip()
    list_key = list_key or "data"
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if text.lstrip().startswith("{") and not is_one_line:
            yield from json_lines(path, encoding)
            return
        where = f"line {error.lineno:,}, column {error.colno:,}"
        raise UnusableInput("not_text", f"not valid JSON: {error.msg} at {where}") from None
    except (RecursionError, ValueError) as error:  # ValueError: a number of thousands of digits
        raise UnusableInput("not_text", f"JSON that cannot be read: {error}") from None
    if isinstance(value, dict):
        value = _rows(value, list_key, record_key, is_one_line)
    if not isinstance(value, list):
        shown = f"a {type(value).__name__}"
        if isinstance(value, dict):
            shown = f"an object with the keys {join_names(sorted(map(str, value)), 5)}"
        alternative = f", a list under {list_key!r}" if list_key else ""
        raise UnusableInput(
            "not_text",
            f"the JSON is {shown}; expected a list of objects{alternative}, or one per line",
        )
    for number, record in enumerate(value, start=1):
        yield Record(number, record)


def _rows(value: dict[str, Any], list_key: str, record_key: str, is_one_line: bool) -> Any:
    """The records of an object that is a whole file; the object where it has none."""
    if rows := coco_rows(value) or via_rows(value) or _pandas_rows(value):
        return rows
    if isinstance(value.get(list_key), list):
        return value[list_key]
    if record_key in value:
        return [value]
    if rows := _only_list(value):
        return rows
    _refuse_lists(value)
    return [value] if is_one_line and not record_key and not _has_texts_in_lists(value) else value


def _refuse_lists(value: dict[str, Any]) -> None:
    """Refuse an object of which it cannot be told which list has the records.

    Raises:
        UnusableInput: it has several lists of objects, one with many; or lists of lists.
    """
    lists = {name: inner for name, inner in value.items() if isinstance(inner, list) and inner}
    objects = {n: len(rows) for n, rows in lists.items() if all(isinstance(r, dict) for r in rows)}
    names = [name for name in objects if name not in _PARTS and objects[name] >= _MANY]
    if names and len(objects) > 1 and not {"images", "annotations"} & objects.keys():
        listed = join_names([f"{name} ({count})" for name, count in objects.items()], 5)
        raise UnusableInput(
            "not_text",
            f"the JSON has several lists of objects, {listed}, and one is read: save it alone, as "
            f"json.dump(json.load(open(PATH))[{max(names, key=objects.__getitem__)!r}], "
            'open("records.json", "w")) does',
        )
    rows = [name for name, inner in lists.items() if all(map(_is_labelled_text, inner))]
    if rows and len(lists) == len(value):
        raise UnusableInput(
            "not_text",
            f"the JSON has lists of [text, label] under {join_names(rows, 5)}; expected objects. "
            f"Save each as a table, as pandas.DataFrame(json.load(open(PATH))[{rows[0]!r}], "
            f'columns=["text", "label"]).to_csv("{rows[0]}.csv", index=False) does',
        )


def _is_labelled_text(row: Any) -> bool:
    """Whether a list is of a text and what it is labelled as."""
    return (
        isinstance(row, list)
        and len(row) == 2
        and isinstance(row[0], str)
        and " " in row[0].strip()
        and isinstance(row[1], str | int)
    )


def _only_list(value: dict[str, Any]) -> list[Any]:
    """The only list of objects in an object, as APIs answer: `{"tickets": [...], "count": 3}`.

    It may be deeper, as in `{"hits": {"hits": [...]}}`.
    """
    lists = list(_lists(value, _DEEPEST))
    parts = {*_PARTS} & value.keys()
    parts -= {key for key in _CHATS if not has_messages(value.get(key))}
    return lists[0] if len(lists) == 1 and not parts else []


def has_messages(value: Any) -> bool:
    """Whether a value is a list with messages of a conversation, as OpenAI or ShareGPT have."""
    return isinstance(value, list) and any(
        isinstance(entry, dict) and ("role" in entry or {"from", "value"} <= entry.keys())
        for entry in value
    )


def _lists(value: dict[str, Any], depth: int) -> Iterator[list[Any]]:
    for inner in value.values():
        if isinstance(inner, list) and inner and all(isinstance(row, dict) for row in inner):
            yield inner
        elif isinstance(inner, dict) and depth:
            yield from _lists(inner, depth - 1)


def _has_texts_in_lists(value: dict[str, Any]) -> bool:
    """Whether all values are lists, some of texts with spaces: columns, or texts by class."""
    lists = [*value.values()]
    if not lists or not all(isinstance(inner, list) and len(inner) > 1 for inner in lists):
        return False
    return any(all(isinstance(text, str) and " " in text for text in inner) for inner in lists)


def _pandas_rows(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a table as `DataFrame.to_json` has it, whatever its `orient`; or none.

    By column, objects with a cell for each row; by row, objects with a cell for each column; or
    `columns` with a list of lists under `data`.
    """
    names, rows = value.get("columns"), value.get("data")
    if isinstance(names, list) and isinstance(rows, list):
        is_table = all(isinstance(row, list) and len(row) == len(names) for row in rows)
        return [dict(zip(names, row, strict=True)) for row in rows] if is_table else []
    inner = list(value.values())
    if not inner or not all(isinstance(cells, dict) and cells for cells in inner):
        return []
    keys = inner[0].keys()
    are_numbered = all(map(str.isdecimal, keys))
    if are_numbered or (len(keys) >= len(inner) and not all(map(str.isdecimal, value))):
        if any(cells.keys() != keys for cells in inner):
            return []
        return [{name: cells[key] for name, cells in value.items()} for key in keys]
    names_of_rows = [{*cells} for cells in inner]  # an API leaves out empty cells
    shared, all_names = set.intersection(*names_of_rows), set.union(*names_of_rows)
    return inner if 2 * len(shared) >= len(all_names) else []


def json_reason(error: Exception) -> str:
    """Why a line is not JSON; the position in it is a column, as the line is known."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg.removesuffix(' starting at')} at column {error.colno:,}"
    return str(error)


def json_lines(path: Path, encoding: str) -> Iterator[Record]:
    """The records of a file with a JSON value per line; empty lines are left out."""
    for number, text, fault in nonempty_lines(str(path), encoding):
        value = None
        try:
            value = None if fault else json.loads(text)
        except (ValueError, RecursionError) as error:
            fault = UnusableInput("incomplete_row", f"not valid JSON: {json_reason(error)}")
        yield Record(number, value, fault, f"line {number}")
