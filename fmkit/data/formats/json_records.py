"""Rows that are objects with keys, out of JSON lines, a JSON list, or a parquet table.

A row that cannot be read costs itself alone, where that can be told.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmkit.core.safe_io import RefusedFile, open_regular
from fmkit.data.findings import UnusableInput
from fmkit.data.formats import file_type
from fmkit.data.formats.text_encoding import BadEncoding, decode
from fmkit.data.formats.text_files import numbered_lines

ENDINGS = (".jsonl", ".ndjson", ".json", ".parquet", ".pq")
"""How the names of such files end."""

_AT_ONCE = 1024  # rows of a parquet table


@dataclass(frozen=True)
class ObjectRow:
    """A row of a file.

    Attributes:
        number: its line, or of a table or a list its place, from 1.
        value: what it holds; None where it cannot be read.
        fault: why it cannot be read; empty where it can.
        kind: of the finding that tells it.
    """

    number: int
    value: Any
    fault: str = ""
    kind: str = "incomplete_row"


def rows(path: Path, encoding: str = "utf-8") -> Iterator[ObjectRow]:
    """The rows of a file in their order; lines that are empty are left out.

    Args:
        path: the file.
        encoding: of JSON.

    Raises:
        Unusable: it cannot be read as a whole.
    """
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            yield from _parquet(path)
            return
        with open_regular(path) as stream:
            content = stream.read()
        if not content.strip():
            raise UnusableInput("empty_file", "white space only" if content else "")
        if path.suffix.lower() == ".json":
            text = decode(content, encoding)
            if text.lstrip().startswith("[") or _is_one_object(text):
                yield from _list(text)
                return
        yield from _lines(content, encoding)
    except RefusedFile as error:
        raise UnusableInput("special_file", file_type.file_type(error.mode)) from None
    except BadEncoding as error:
        raise UnusableInput("bad_encoding", str(error)) from None
    except OSError as error:
        raise UnusableInput("unreadable", str(error.strerror or error)) from None


def _is_one_object(text: str) -> bool:
    """Whether a text is one JSON object over several lines, which is no list."""
    if "\n" not in text.strip() or not text.lstrip().startswith("{"):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _lines(content: bytes, encoding: str) -> Iterator[ObjectRow]:
    for number, line, wrong in numbered_lines(content, encoding):
        if wrong is not None:
            yield ObjectRow(number, None, wrong[1], wrong[0])
            continue
        try:
            yield ObjectRow(number, json.loads(line))
        except (ValueError, RecursionError) as error:
            yield ObjectRow(number, None, f"no JSON: {error}")


def _list(text: str) -> Iterator[ObjectRow]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnusableInput("not_text", f"no JSON: {error}") from None
    if not isinstance(found, list):
        why = "one JSON object; expected a list of objects, or an object per line"
        raise UnusableInput("not_text", why)
    for number, each in enumerate(found, start=1):
        yield ObjectRow(number, each)


def _parquet(path: Path) -> Iterator[ObjectRow]:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_AT_ONCE):
                for each in batch.to_pylist():
                    number += 1
                    yield ObjectRow(number, each)
    except (arrow.ArrowException, UnicodeDecodeError) as error:
        raise UnusableInput("not_text", f"no parquet: {str(error).splitlines()[0]}") from None
