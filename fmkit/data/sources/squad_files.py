"""Files of questions on texts: SQuAD's JSON, or rows as Hugging Face has them.

    {"data": [{"title": ..., "paragraphs": [{"context": ..., "qas": [{"id": ..., "question": ...,
        "answers": [{"text": ..., "answer_start": ...}], "is_impossible": ...}]}]}]}

Rajpurkar et al. 2016 and 2018, arXiv:1606.05250 and arXiv:1806.03822. A row has `id`, `question`,
`context`, perhaps `title`, and `answers` with lists under `text` and `answer_start`; it is a line
of a `.jsonl`, an element of a list in a `.json`, or a row of a parquet table.

Plausible answers of SQuAD 2.0, to questions that have none, are not read.

Nothing is judged here but the shape: what an entry lacks is told, and the others are read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmkit.core.errors import DataError, join_names, received
from fmkit.core.safe_io import RefusedFile, open_regular
from fmkit.data.formats.text_encoding import BadEncoding, binary_reason, decode, lines

LINES = (".jsonl", ".ndjson")
PARQUET = (".parquet", ".pq")
ENDINGS = (".json", *LINES, *PARQUET)
"""How the names of such files end."""


@dataclass(frozen=True)
class Keys:
    """How a question and its text are called, and the encoding of files of text."""

    question: str = "question"
    context: str = "context"
    encoding: str = "utf-8"


@dataclass(frozen=True)
class Entry:
    """A question, or what is wrong with the place where one should be.

    Attributes:
        name: its id; where it has none, a row's number or its place in the file.
        has_id: whether that is an id.
        title: of the article that the text is of; empty where there is none.
        answers: text and offset of each.
        is_impossible: whether the text has no answer; None where that is not said.
        fault: what is wrong with its shape; nothing else of it counts then.
    """

    name: str
    question: str = ""
    context: str = ""
    title: str = ""
    answers: tuple[tuple[str, int], ...] = ()
    is_impossible: bool | None = None
    has_id: bool = True
    fault: str = ""


def read(path: Path, keys: Keys) -> Iterator[Entry]:
    """The entries of a file, in their order.

    Raises:
        DataError: the file cannot be read, or is none of such a file.
    """
    suffix = path.suffix.lower()
    if suffix in PARQUET:
        return _from_parquet(path, keys)
    if suffix not in ENDINGS:
        raise DataError(received("The file's extension", suffix, ENDINGS))
    text = _text(path, keys.encoding)
    if suffix in LINES:
        return _from_lines(text, keys)
    return _from_json(path, text, keys)


def wrong_text(text: str) -> str:
    """Why a question or a text cannot be read; empty when it can."""
    if not text.strip():
        return "is empty"
    try:
        text.encode()
    except UnicodeEncodeError as error:  # as a JSON escape by itself, such as "\\ud83d"
        return f"is no text: character {error.start:,} is half of one"
    wrong = binary_reason(text)
    return f"is no text: {wrong}" if wrong else ""


def _text(path: Path, encoding: str) -> str:
    try:
        with open_regular(path) as stream:
            text = decode(stream.read(), encoding)
    except RefusedFile:
        raise DataError(f"{path} is not a regular file.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    except BadEncoding as error:
        hint = f"Perhaps it is {error.likely}." if error.likely else "Save it as UTF-8."
        raise DataError(f"{path} is not {encoding}: {error.reason}.", hint) from None
    if not text.strip():
        raise DataError(f"{path} is empty.")
    return text


_SHAPES = (
    'Expected {"data": [...]} as SQuAD has it, a list of rows, or a row a line, each with a '
    "question, a context and answers."
)


def _from_json(path: Path, text: str, keys: Keys) -> Iterator[Entry]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.lstrip().startswith("{"):  # a row a line, by its name
            return _from_lines(text, keys)
        where = f"line {error.lineno:,}, column {error.colno:,}"
        raise DataError(f"{path} is no JSON: {error.msg} at {where}.", _SHAPES) from None
    except (RecursionError, ValueError) as error:  # ValueError: a number of thousands of digits
        raise DataError(f"{path} is no JSON that can be read: {error}.", _SHAPES) from None
    rows = content.get("data") if isinstance(content, dict) else content
    if isinstance(content, dict) and rows is None and keys.question in content:
        rows = [content]  # a single row
    if not isinstance(rows, list):
        came = (
            f"keys {join_names(sorted(map(str, content)), 5)}" if isinstance(content, dict) else ""
        )
        shown = came or f"a {type(content).__name__}"
        raise DataError(f"{path} has {shown}: no questions are found there.", _SHAPES)
    if not rows:
        raise DataError(f"{path} has no questions.", _SHAPES)
    if any(isinstance(each, dict) and "paragraphs" in each for each in rows):
        return _from_articles(rows)
    return (_row(each, number, keys) for number, each in enumerate(rows))


def _from_lines(text: str, keys: Keys) -> Iterator[Entry]:
    row = 0
    for number, line in enumerate(lines(text), start=1):
        if line.isspace():
            continue
        try:
            yield _row(json.loads(line), row, keys)
        except (ValueError, RecursionError) as error:
            yield Entry(f"line {number}", fault=f"it is no JSON: {error}")
        row += 1


def _from_articles(articles: list[Any]) -> Iterator[Entry]:
    for number, article in enumerate(articles):
        place = f"data[{number}]"
        paragraphs = article.get("paragraphs") if isinstance(article, dict) else None
        if not isinstance(paragraphs, list):
            yield Entry(place, fault="it has no list of paragraphs")
            continue
        title = article.get("title")
        for below, paragraph in enumerate(paragraphs):
            yield from _from_paragraph(
                paragraph, f"{place}.paragraphs[{below}]", title if isinstance(title, str) else ""
            )


def _from_paragraph(paragraph: Any, place: str, title: str) -> Iterator[Entry]:
    found = paragraph if isinstance(paragraph, dict) else {}
    context, questions = found.get("context"), found.get("qas")
    if not isinstance(context, str):
        yield Entry(place, fault="it has no text under 'context'")
        return
    if not isinstance(questions, list):
        yield Entry(place, fault="it has no list under 'qas'")
        return
    for number, each in enumerate(questions):
        yield _entry(each, context, title, f"{place}.qas[{number}]", Keys())


def _row(row: Any, number: int, keys: Keys) -> Entry:
    name = f"row-{number:06d}"
    if not isinstance(row, Mapping):
        return Entry(name, fault="it is no object with keys")
    context, title = row.get(keys.context), row.get("title")
    if not isinstance(context, str):
        there = join_names(sorted(map(str, row)), 8)
        return Entry(name, fault=f"it has no text under {keys.context!r}; its keys are {there}")
    return _entry(row, context, title if isinstance(title, str) else "", name, keys)


def _entry(found: Any, context: str, title: str, place: str, keys: Keys) -> Entry:
    if not isinstance(found, Mapping):
        return Entry(place, fault="it is no object with keys")
    name, has_id = place, False
    own = found.get("id")
    if isinstance(own, str | int) and not isinstance(own, bool) and str(own).strip():
        name, has_id = str(own).strip(), True
    if wrong_text(name):
        return Entry(place, fault=f"its id {wrong_text(name)}")
    question, impossible = found.get(keys.question), found.get("is_impossible")
    if not isinstance(question, str):
        return Entry(name, has_id=has_id, fault=f"it has no text under {keys.question!r}")
    if impossible is not None and not isinstance(impossible, bool):
        told = received("is_impossible", impossible, "true or false")
        return Entry(name, has_id=has_id, fault=told.rstrip("."))
    try:
        answers = _answers(found.get("answers"))
    except ValueError as error:
        return Entry(name, has_id=has_id, fault=str(error))
    is_row = place.startswith("row-")
    if impossible is None and is_row and "answers" in found:  # so squad_v2 has it
        impossible = not answers
    return Entry(name, question, context, title, answers, impossible, has_id)


def _answers(found: Any) -> tuple[tuple[str, int], ...]:
    """Text and offset of each answer.

    Raises:
        ValueError: they are of another shape.
    """
    if found is None:
        return ()
    if isinstance(found, Mapping):
        texts, starts = found.get("text"), found.get("answer_start")
        if isinstance(texts, str):
            texts, starts = [texts], [starts]
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            raise ValueError("answers have no lists of one length under 'text' and 'answer_start'")
        pairs = list(zip(texts, starts, strict=True))
    elif isinstance(found, list):
        if not all(isinstance(each, Mapping) for each in found):
            raise ValueError("answers are no list of objects")
        pairs = [(each.get("text"), each.get("answer_start")) for each in found]
    else:
        raise ValueError("answers are neither a list nor an object")
    for text, start in pairs:
        if not isinstance(text, str):
            raise ValueError("an answer has no text")
        is_number = isinstance(start, int | float) and not isinstance(start, bool)
        if not is_number or not math.isfinite(start) or start != int(start):
            raise ValueError(f"answer {text[:40]!r} has no whole number under 'answer_start'")
    return tuple((text, int(start)) for text, start in pairs)


_PARTS = ("id", "title", "answers", "is_impossible")


def _from_parquet(path: Path, keys: Keys) -> Iterator[Entry]:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    number = 0
    try:
        file = parquet.ParquetFile(path)
        there = list(file.schema_arrow.names)
        missing = [each for each in (keys.question, keys.context) if each not in there]
        if missing:
            told = received(f"Column of {path.name}", missing[0], there[:20])
            raise DataError(told, "data.text_column and data.pair_column name the two.")
        wanted = [keys.question, keys.context, *(each for each in _PARTS if each in there)]
        for batch in file.iter_batches(columns=list(dict.fromkeys(wanted))):
            for row in batch.to_pylist():
                yield _row(row, number, keys)
                number += 1
    except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no readable parquet file: {error}") from None
    if not number:
        raise DataError(f"{path} has no rows.")
