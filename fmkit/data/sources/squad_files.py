"""Files of questions about texts: SQuAD's JSON, or records as Hugging Face has them.

    {"data": [{"title": ..., "paragraphs": [{"context": ..., "qas": [{"id": ..., "question": ...,
        "answers": [{"text": ..., "answer_start": ...}], "is_impossible": ...}]}]}]}

Rajpurkar et al. 2016 and 2018, arXiv:1606.05250 and arXiv:1806.03822. A record has `id`,
`question`, `context`, perhaps `title`, and `answers` with lists under `text` and `answer_start`; it
is a line of a `.jsonl`, an element of a list in a `.json`, or a row of a parquet table.

Plausible answers of SQuAD 2.0, to questions that have none, are not read. Only the form is checked
here: an entry that lacks something gets a fault, and the others are read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fmkit.core.errors import DataError, join_names, received
from fmkit.data.findings import UnusableInput
from fmkit.data.formats.json_records import ENDINGS, JSON_LINES, records
from fmkit.data.formats.tables import PARQUET, ParquetTable, check_columns
from fmkit.data.formats.text_encoding import text_problem
from fmkit.data.formats.text_files import as_data_error
from fmkit.data.sources.table_rows import row_id


@dataclass(frozen=True)
class Keys:
    """Keys of a question and its text, and the encoding of JSON with its config key."""

    question: str = "question"
    context: str = "context"
    encoding: str = "utf-8"
    encoding_key: str = "data.encoding"


@dataclass(frozen=True)
class Entry:
    """A question, or what is wrong where one should be.

    Attributes:
        name: its id; where it has none, the number of its record or its path in the JSON.
        question: the question.
        context: the text that it is about.
        title: of the article that the text is from; empty where there is none.
        answers: text and offset of each.
        is_impossible: whether the text has no answer; None where the file does not say.
        has_id: whether `name` is an id of the file.
        fault: what is wrong with its form; its other attributes do not count then.
    """

    name: str
    question: str = ""
    context: str = ""
    title: str = ""
    answers: tuple[tuple[str, int], ...] = ()
    is_impossible: bool | None = None
    has_id: bool = True
    fault: str = ""


def read_entries(path: Path, keys: Keys) -> Iterator[Entry]:
    """The entries of a file, in their order.

    Raises:
        DataError: the file cannot be read, or is not one of questions.
    """
    suffix = path.suffix.lower()
    if suffix not in ENDINGS:
        raise DataError(received("The file's extension", suffix, ENDINGS))
    hint = (
        'Expected {"data": [...]} as SQuAD has it, a list of records, or a record per line, each '
        "with a question, a context and answers."
    )
    try:
        if suffix in PARQUET:
            hint = "data.text_column and data.pair_column name the columns."
            check_columns([keys.question, keys.context], ParquetTable(str(path)).names)
        yield from _entries(path, keys)
    except UnusableInput as error:
        if error.kind == "empty_file":
            raise DataError(f"{path} has no questions.", hint) from None
        raise as_data_error(path, error, keys.encoding, hint, keys.encoding_key) from None


def _entries(path: Path, keys: Keys) -> Iterator[Entry]:
    is_lines = path.suffix.lower() in JSON_LINES
    columns = (keys.question, keys.context, "id", "title", "answers", "is_impossible")
    rows = records(path, keys.encoding, "data", keys.question, columns)
    for index, record in enumerate(rows):
        if record.fault is not None:
            name = f"line {record.number}" if is_lines else row_id(index)
            yield Entry(name, fault=record.fault.why)
        elif isinstance(record.value, Mapping) and "paragraphs" in record.value:
            yield from _article(record.value, f"data[{index}]")
        else:
            yield _record(record.value, row_id(index), keys)


def _article(article: Mapping[str, Any], where: str) -> Iterator[Entry]:
    paragraphs, title = article["paragraphs"], article.get("title")
    title = title if isinstance(title, str) else ""
    if not isinstance(paragraphs, list):
        yield Entry(where, fault="it has no list of paragraphs")
        return
    for index, paragraph in enumerate(paragraphs):
        cells = paragraph if isinstance(paragraph, dict) else {}
        context, questions = cells.get("context"), cells.get("qas")
        name = f"{where}.paragraphs[{index}]"
        if not isinstance(context, str):
            yield Entry(name, fault="it has no text under 'context'")
        elif not isinstance(questions, list):
            yield Entry(name, fault="it has no list under 'qas'")
        else:
            for number, question in enumerate(questions):
                yield _entry(question, context, title, f"{name}.qas[{number}]", Keys())


def _record(row: Any, name: str, keys: Keys) -> Entry:
    if not isinstance(row, Mapping):
        return Entry(name, fault="it is not an object with keys")
    context, title = row.get(keys.context), row.get("title")
    if not isinstance(context, str):
        names = join_names(sorted(map(str, row)), 8)
        return Entry(name, fault=f"it has no text under {keys.context!r}; its keys are {names}")
    entry = _entry(row, context, title if isinstance(title, str) else "", name, keys)
    if entry.is_impossible is None and "answers" in row:  # as squad_v2 on the Hugging Face hub
        return replace(entry, is_impossible=not entry.answers)
    return entry


def _entry(row: Any, context: str, title: str, where: str, keys: Keys) -> Entry:
    if not isinstance(row, Mapping):
        return Entry(where, fault="it is not an object with keys")
    name, has_id = where, False
    own = row.get("id")
    if isinstance(own, str | int) and not isinstance(own, bool) and str(own).strip():
        name, has_id = str(own).strip(), True
    if problem := text_problem(name):
        return Entry(where, fault=f"its id {problem}")
    question, impossible = row.get(keys.question), row.get("is_impossible")
    try:
        if not isinstance(question, str):
            raise ValueError(f"it has no text under {keys.question!r}")
        if impossible is not None and not isinstance(impossible, bool):
            raise ValueError(received("is_impossible", impossible, "true or false").rstrip("."))
        answers = _answers(row.get("answers"))
    except ValueError as error:
        return Entry(name, has_id=has_id, fault=str(error))
    return Entry(name, question, context, title, answers, impossible, has_id)


def _answers(answers: Any) -> tuple[tuple[str, int], ...]:
    """Text and offset of each answer.

    Raises:
        ValueError: they have another form.
    """
    if answers is None:
        return ()
    if isinstance(answers, Mapping):
        texts, starts = answers.get("text"), answers.get("answer_start")
        if isinstance(texts, str):
            texts, starts = [texts], [starts]
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            raise ValueError("answers have no lists of one length under 'text' and 'answer_start'")
        pairs = list(zip(texts, starts, strict=True))
    elif isinstance(answers, list):
        if not all(isinstance(answer, Mapping) for answer in answers):
            raise ValueError("answers are not a list of objects")
        pairs = [(answer.get("text"), answer.get("answer_start")) for answer in answers]
    else:
        raise ValueError("answers are neither a list nor an object")
    for text, start in pairs:
        if not isinstance(text, str):
            raise ValueError("an answer has no text")
        is_number = isinstance(start, int | float) and not isinstance(start, bool)
        if not is_number or not math.isfinite(start) or start != int(start):
            raise ValueError(f"answer {text[:40]!r} has no whole number under 'answer_start'")
    return tuple((text, int(start)) for text, start in pairs)
