"""Records: objects out of JSON lines, a JSON list, or the rows of a parquet table.

A record that cannot be read costs only itself, where the others can be separated from it.
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fmkit.core.errors import join_names
from fmkit.data.findings import UnusableInput
from fmkit.data.formats.tables import PARQUET, ParquetTable
from fmkit.data.formats.text_files import nonempty_lines, read_text

JSON_LINES = (".jsonl", ".ndjson")
ENDINGS = (*JSON_LINES, ".json", *PARQUET)
"""How the names of files of records end."""


class Record(NamedTuple):
    """A record by its line, or in a table or a list its position, from 1; no value with a fault."""

    number: int
    value: Any
    fault: UnusableInput | None = None


def records(
    path: Path,
    encoding: str = "utf-8",
    list_key: str = "",
    record_key: str = "",
    columns: Sequence[str] | None = None,
) -> Iterator[Record]:
    """The records of a file in their order; empty lines are left out.

    Args:
        encoding: of JSON.
        list_key: a `.json` file that is one object has its records under this key.
        record_key: a `.json` file that is one object with this key is a single record.
        columns: of a parquet table, those to read where it has them; None: all.

    Raises:
        UnusableInput: the file as a whole cannot be read, or has no records.
    """
    suffix, is_empty = path.suffix.lower(), True
    values: Iterator[Record]
    if suffix in PARQUET:
        table = ParquetTable(str(path))
        names = None if columns is None else [name for name in table.names if name in columns]
        values = map(Record, itertools.count(1), table.rows(names))
    elif suffix == ".json":
        values = _json_file(path, encoding, list_key, record_key)
    else:
        values = _json_lines(path, encoding)
    for record in values:
        is_empty = False
        yield record
    if is_empty:
        raise UnusableInput("empty_file", "")


def _json_file(path: Path, encoding: str, list_key: str, record_key: str) -> Iterator[Record]:
    """The records of a `.json`: of a list, of a list under a key, or JSON lines by another name."""
    text = read_text(str(path), encoding)
    is_one_line = "\n" not in text.strip()
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if text.lstrip().startswith("{") and not is_one_line:
            yield from _json_lines(path, encoding)
            return
        where = f"line {error.lineno:,}, column {error.colno:,}"
        raise UnusableInput("not_text", f"not valid JSON: {error.msg} at {where}") from None
    except (RecursionError, ValueError) as error:  # ValueError: a number of thousands of digits
        raise UnusableInput("not_text", f"JSON that cannot be read: {error}") from None
    if isinstance(value, dict):
        is_record = record_key in value if record_key else is_one_line
        value = value.get(list_key, [value] if is_record else value)
    if not isinstance(value, list):
        shown = f"a {type(value).__name__}"
        if isinstance(value, dict):
            shown = f"an object with the keys {join_names(sorted(map(str, value)), 5)}"
        alternative = f", a list under {list_key!r}" if list_key else ""
        raise UnusableInput(
            "not_text",
            f"the JSON is {shown}; expected a list of objects{alternative}, or one per line",
        )
    yield from map(Record, itertools.count(1), value)


def _json_lines(path: Path, encoding: str) -> Iterator[Record]:
    for number, text, fault in nonempty_lines(str(path), encoding):
        value = None
        try:
            value = None if fault else json.loads(text)
        except (ValueError, RecursionError) as error:
            fault = UnusableInput("incomplete_row", f"not valid JSON: {error}")
        yield Record(number, value, fault)
