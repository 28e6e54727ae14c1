"""Rows that are objects with keys, out of JSON lines, a JSON list, or a parquet table.

A row that cannot be read costs itself alone, where that can be told.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmkit.data import sniff
from fmkit.data.encodings import BadEncoding, decoded, decoded_part, refuse_other
from fmkit.data.regular import NotAFile, opened

ENDINGS = (".jsonl", ".ndjson", ".json", ".parquet", ".pq")
"""How the names of such files end."""

_AT_ONCE = 1024  # rows of a parquet table


class BadFile(Exception):
    """A file of which no row can be read.

    Attributes:
        kind: of the finding.
        why: the reason.
    """

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind, self.why = kind, why


@dataclass(frozen=True)
class ObjectRow:
    """A row of a file.

    Attributes:
        number: its line, or of a table or a list its place, from 1.
        value: what it holds; None where it cannot be read.
        fault: why it cannot be read; empty where it can.
    """

    number: int
    value: Any
    fault: str = ""


def rows(path: Path) -> Iterator[ObjectRow]:
    """The rows of a file in their order; lines that are empty are left out.

    Raises:
        BadFile: it cannot be read as a whole.
    """
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            yield from _parquet(path)
            return
        with opened(str(path)) as stream:
            content = stream.read()
        if not content.strip():
            raise BadFile("empty_file", "white space only" if content else "")
        refuse_other(content, "utf-8")
        begin = content.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
        is_list = path.suffix.lower() == ".json" and begin == b"["
        yield from _list(content) if is_list else _lines(content)
    except NotAFile as error:
        raise BadFile("special_file", sniff.file_type(error.mode)) from None
    except BadEncoding as error:
        raise BadFile("bad_encoding", str(error)) from None
    except OSError as error:
        raise BadFile("unreadable", str(error.strerror or error)) from None


def _lines(content: bytes) -> Iterator[ObjectRow]:
    offset = 0
    for number, line in enumerate(content.split(b"\n"), start=1):
        try:
            text = decoded_part(line, "utf-8", offset)
            if text.strip():
                yield ObjectRow(number, json.loads(text))
        except BadEncoding as error:
            yield ObjectRow(number, None, str(error))
        except (ValueError, RecursionError) as error:
            yield ObjectRow(number, None, f"it is no JSON: {error}")
        offset += len(line) + 1


def _list(content: bytes) -> Iterator[ObjectRow]:
    try:
        found = json.loads(decoded(content))
    except (ValueError, RecursionError) as error:
        raise BadFile("not_text", f"it is no JSON: {error}") from None
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
        raise BadFile("damaged", f"no parquet: {str(error).splitlines()[0]}") from None
