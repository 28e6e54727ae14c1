"""Question answering as in SQuAD: answers that are parts of a text, in SQuAD's JSON or in records.

    {"data": [{"title": ..., "paragraphs": [{"context": ..., "qas": [{"id": ..., "question": ...,
        "answers": [{"text": ..., "answer_start": ...}], "is_impossible": ...}]}]}]}

Rajpurkar et al. 2016 and 2018, arXiv:1606.05250 and arXiv:1806.03822. A record has `id`,
`question`, `context`, perhaps `title`, and `answers` with lists under `text` and `answer_start`; it
is a line of a `.jsonl`, an element of a list in a `.json`, or a row of a table, which may also have
one answer as `answer_text` (or `answer`) and `answer_start`. Plausible answers of SQuAD 2.0, to
questions that have none, are not questions.

An example is a question with its text; texts of many questions are stored once. Articles, by their
titles, stay in one split; where there are no titles, texts do.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.config.schema.data import SquadData
from fmkit.core.errors import DataError, join_names, received
from fmkit.core.files import display_path, is_ignored, matching_paths
from fmkit.data.content.answer_spans import AnswerSpans, Span, locate
from fmkit.data.content.texts import Texts
from fmkit.data.examples import Examples, without_classes
from fmkit.data.findings import Finding, UnusableInput
from fmkit.data.formats.cells import parse_cell
from fmkit.data.formats.delimited import ColumnError
from fmkit.data.formats.json_records import JSON_LINES
from fmkit.data.formats.tables import ENDINGS, SHOWN_ENDINGS, records
from fmkit.data.formats.text_files import as_data_error, file_ending, text_problem
from fmkit.data.sources.paths import existing_path
from fmkit.data.sources.table_rows import row_id
from fmkit.data.split_names import split_of

_LEAST_ARTICLES = 3
"""Fewest articles that can be divided among splits; of fewer the texts are divided."""
_DIVIDED = ("", "train")
"""The splits that may be divided: an unnamed one, and training, to make one for validation."""


_TEXT_COLUMNS = ("answer_text", "answer")
"""Columns of an answer's text where a row has one answer and `answer_start`."""
_TRUTH = {"true": True, "1": True, "false": False, "0": False, "": None}


@dataclass(frozen=True)
class Keys:
    """Keys of a question and its text, and the encoding of JSON with its config key."""

    question: str = "question"
    context: str = "context"
    encoding: str = "utf-8"
    encoding_key: str = "data.encoding"
    sheet: str | None = None  # of a workbook


@dataclass(frozen=True)
class Entry:
    """A question, or what is wrong where one should be.

    Attributes:
        name: its id; where it has none, the number of its record or its path in the JSON.
        context: the text that it is about.
        title: of the article that the text is from; empty where there is none.
        answers: text and offset of each.
        is_impossible: whether the text has no answer; None where the file does not say.
        has_id: whether `name` is an id of the file.
        fault: what is wrong with its form; its other attributes do not count then.
        spans: of the answers in the context, once they have been located.
        cells: all keys of its record; empty in SQuAD's own JSON.
        split: of its file.
    """

    name: str
    question: str = ""
    context: str = ""
    title: str = ""
    answers: tuple[tuple[str, int], ...] = ()
    is_impossible: bool | None = None
    has_id: bool = True
    fault: str = ""
    spans: tuple[Span, ...] = ()
    split: str = ""
    cells: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class _Questions:
    """The questions so far by id, their different texts, and problems.

    A key of `contexts` is its value, too: the one object that all questions of a text share.
    """

    by_id: dict[str, Entry] = field(default_factory=dict)
    contexts: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def list_examples(config: SquadData) -> Examples:
    """The questions of a file, or of the files of a folder by their splits."""
    questions = _Questions()
    keys = Keys(config.text_column, config.pair_column, config.encoding, sheet=config.sheet)
    files = _files(config, questions.findings)
    for path, split in files:
        for entry in read_entries(path, keys):
            _add(questions, entry, split, path.name if len(files) > 1 else "")
    if not questions.by_id and not questions.findings:
        raise DataError(f"{display_path(Path(config.root))} has no questions.")
    has_splits = bool(files[0][1])
    rows = questions.by_id.values()
    groups = [row.title for row in rows]
    articles = {row.title for row in rows if row.split in _DIVIDED}
    if not all(groups) or len(articles) < _LEAST_ARTICLES:
        number = {context: index for index, context in enumerate(questions.contexts)}
        groups = [f"text-{number[row.context]:06d}" for row in rows]
    if has_splits:  # two articles of different named splits may have one title
        groups = [f"{row.split}/{group}" for row, group in zip(rows, groups, strict=True)]
    return without_classes(
        list(questions.by_id),
        Texts(tuple(row.question for row in rows), tuple(row.context for row in rows)),
        AnswerSpans(tuple(row.spans for row in rows)),
        splits=np.array([row.split for row in rows], dtype=str) if has_splits else None,
        groups=np.array(groups, dtype=str),
        findings=questions.findings,
    )


def _files(config: SquadData, findings: list[Finding]) -> list[tuple[Path, str]]:
    """Files, each with its split; empty where the fractions decide."""
    paths = [Path(path) for path in matching_paths(config.root)] if config.root else []
    if len(paths) < 2:
        if not paths or not paths[0].is_dir():
            return [(existing_path(config.root, "file"), "")]
        paths = sorted(paths[0].iterdir())
    paths = [
        path
        for path in paths
        if path.name.lower().endswith(ENDINGS) and not is_ignored(path.name) and path.is_file()
    ]
    files = [(path, split) for path in paths if (split := split_of(path.name))]
    others = [path.name for path in paths if not split_of(path.name)]
    if not files:
        contents = f"; it has {join_names(others, 5)}" if others else ""
        raise DataError(
            f"{display_path(config.root)} has no file that is named after a split and ends in "
            f"{SHOWN_ENDINGS}{contents}.",
            "Call them train*.json and dev*.json, or name one file in data.root.",
        )
    if others:
        where = display_path(config.root)
        why = f"{join_names(others, 5)} of {where}: left out, not named after a split."
        findings.append(Finding("unsupported", "", why, count=len(others)))
    return files


def _add(questions: _Questions, entry: Entry, split: str, file: str) -> None:
    """Add one entry, or a finding with all that is wrong with it."""
    name = entry.name
    if file and not entry.has_id:  # records of two files have the same numbers
        name = f"{file}:{name}"
    where = name if not file or not entry.has_id else f"{name} ({file})"
    if problems := [entry.fault] if entry.fault else _problems(entry):
        questions.findings.append(Finding("incomplete_row", where, ", ".join(problems)))
        return
    spans, finding = _spans(entry, where)
    questions.findings += [finding] if finding else []
    if entry.answers and not spans:
        return
    context = questions.contexts.setdefault(entry.context, entry.context)
    entry = replace(entry, context=context, spans=spans, split=split)
    earlier = questions.by_id.setdefault(name, entry)
    if earlier is entry:
        return
    if (earlier.question, earlier.context, earlier.spans) == (entry.question, context, spans):
        kind, why = "repeated_rows", "the same id, question, text and answers"
    else:
        kind, why = "conflicting_rows", "another question has this id"
    questions.findings.append(Finding(kind, where, why))


def _problems(entry: Entry) -> list[str]:
    """All that is wrong with one question."""
    texts = {"question": entry.question, "context": entry.context}
    reasons = {part: text_problem(text) for part, text in texts.items()}
    problems = [f"the {part} {reason}" for part, reason in reasons.items() if reason]
    if entry.is_impossible and entry.answers:
        problems.append("is_impossible is true, and there are answers")
    if not entry.is_impossible and not entry.answers:
        problems.append("it has no answer, and is_impossible is not true")
    if any(not text.strip() for text, _ in entry.answers):
        problems.append("an answer is empty")
    return problems


def _spans(entry: Entry, where: str) -> tuple[tuple[Span, ...], Finding | None]:
    """The spans of the answers, and a finding where some are not at their offset."""
    spans, moved, lost = [], [], []
    for text, offset in entry.answers:
        span, why = locate(entry.context, text, offset)
        if span is None:
            lost.append(f"{text[:40]!r} is not in the text at {offset:,}")
            continue
        spans.append(span)
        if why:
            moved.append(f"{text[:40]!r} at {offset:,}: {why}")
    if lost and not spans:
        return (), Finding("lost_answer", where, join_names(lost, 2))
    problems = list(dict.fromkeys([*moved, *(f"{problem}: left out" for problem in lost)]))
    finding = Finding("moved_answer", where, join_names(problems, 2)) if problems else None
    return tuple(spans), finding


def read_entries(path: Path, keys: Keys) -> Iterator[Entry]:
    """The entries of a file in their order; one that lacks something has a fault.

    Raises:
        DataError: the file cannot be read, or is not one of questions.
    """
    if not path.name.lower().endswith(ENDINGS):
        raise DataError(received("The file's extension", path.suffix.lower(), SHOWN_ENDINGS))
    hint = (
        'Expected {"data": [...]} as SQuAD has it, a list of records, or a record per line, each '
        "with a question, a context and answers."
    )
    names = ("id", "title", "answers", *_TEXT_COLUMNS, "answer_start", "is_impossible")
    columns = (keys.question, keys.context, *names)
    is_table = file_ending(path.name) not in (*JSON_LINES, ".json")  # whose records may be articles
    try:
        rows = records(
            path,
            keys.encoding,
            list_key="data",
            record_key=keys.question,
            columns=columns,
            required=columns[:2] if is_table else (),
            sheet=keys.sheet,
        )
        for index, record in enumerate(rows):
            if record.fault is not None or not isinstance(record.value, Mapping):
                fault = record.fault.why if record.fault else "it is not an object with keys"
                yield Entry(record.place or row_id(index), fault=fault)
            elif "paragraphs" in record.value:
                yield from _article(record.value, f"data[{index}]")
            else:
                yield replace(_record(record.value, row_id(index), keys), cells=record.value)
    except UnusableInput as error:
        if isinstance(error, ColumnError):
            prefix = keys.encoding_key.removesuffix("encoding")
            hint = f"{prefix}text_column and {prefix}pair_column name the columns."
        if error.kind == "empty_file":
            raise DataError(f"{path} has no questions.", hint) from None
        raise as_data_error(path, error, keys.encoding, hint, keys.encoding_key) from None


def _article(article: Mapping[str, Any], where: str) -> Iterator[Entry]:
    paragraphs = article["paragraphs"]
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
            title = article.get("title")
            for number, question in enumerate(questions):
                yield _entry(question, context, title, f"{name}.qas[{number}]", Keys())


def _record(row: Mapping[str, Any], name: str, keys: Keys) -> Entry:
    context = row.get(keys.context)
    if not isinstance(context, str):
        names = join_names(sorted(map(str, row)), 8)
        return Entry(name, fault=f"it has no text under {keys.context!r}; its keys are {names}")
    if "answers" not in row and "answer_start" in row:
        row = {**row, "answers": _answer_in_columns(row)}
    entry = _entry(row, context, row.get("title"), name, keys)
    if entry.is_impossible is None and "answers" in row:  # as squad_v2 on the Hugging Face hub
        return replace(entry, is_impossible=not entry.answers)
    return entry


def _entry(row: Any, context: str, title: Any, where: str, keys: Keys) -> Entry:
    if not isinstance(row, Mapping):
        return Entry(where, fault="it is not an object with keys")
    name, has_id = where, False
    number = row.get("id")
    if isinstance(number, str | int) and not isinstance(number, bool) and str(number).strip():
        name, has_id = str(number).strip(), True
    if problem := text_problem(name):
        return Entry(where, fault=f"its id {problem}")
    question, impossible = row.get(keys.question), row.get("is_impossible")
    impossible = _TRUTH.get(str(impossible).strip().lower(), impossible)  # a CSV has only texts
    try:
        if not isinstance(question, str):
            raise ValueError(f"it has no text under {keys.question!r}")
        if impossible is not None and not isinstance(impossible, bool):
            raise ValueError(received("is_impossible", impossible, "true or false").rstrip("."))
        answers = _answers(row.get("answers"))
    except ValueError as error:
        return Entry(name, has_id=has_id, fault=str(error))
    title = title if isinstance(title, str) else ""
    return Entry(name, question, context, title, answers, impossible, has_id)


def _answer_in_columns(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The answer of a row with a column for its text and one for its offset; None: it has none."""
    text = next((row[key] for key in _TEXT_COLUMNS if row.get(key)), "")
    start = row["answer_start"]
    if isinstance(start, str) and start.strip().isdecimal():
        start = int(start)
    return {"text": text, "answer_start": start} if text else None


def _answers(answers: Any) -> tuple[tuple[str, int], ...]:
    """Text and offset of each answer; a ValueError where they have another form."""
    answers = parse_cell(answers)
    if answers is None or answers == "":
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
