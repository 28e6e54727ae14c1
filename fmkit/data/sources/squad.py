"""Question answering as in SQuAD: answers that are parts of a text (see `squad_files.py`).

An example is a question with its text; texts of many questions are stored once. Articles, by their
titles, stay in one split; where there are no titles, texts do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fmkit.config.schema.data import SquadData
from fmkit.core.errors import DataError, join_names
from fmkit.core.files import display_path
from fmkit.data.content.answer_spans import AnswerSpans, Span, locate
from fmkit.data.content.texts import Texts
from fmkit.data.examples import Examples, without_classes
from fmkit.data.findings import Finding
from fmkit.data.formats.json_records import ENDINGS
from fmkit.data.formats.text_encoding import text_problem
from fmkit.data.sources.listing import SPLIT_NAMES
from fmkit.data.sources.paths import existing_path
from fmkit.data.sources.squad_files import Entry, Keys, read_entries

_LEAST_ARTICLES = 3
"""Fewest articles that can be divided among splits; of fewer the texts are divided."""

_DIVIDED = ("", "train")
"""The splits that may be divided: one without a name, and training, which may have to give some
examples to validation."""


class _Question(NamedTuple):
    """A question with its text, the title of that, and the accepted answers in it."""

    question: str
    context: str
    title: str
    spans: tuple[Span, ...]
    split: str


@dataclass
class _Questions:
    """The questions so far.

    Attributes:
        by_id: in the order of the files.
        contexts: each different text, as the one object that its questions share.
        findings: problems.
    """

    by_id: dict[str, _Question] = field(default_factory=dict)
    contexts: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def list_examples(config: SquadData) -> Examples:
    """The questions of a file, or of the files of a folder by their splits.

    Problems of single ones are in the examples' findings.

    Raises:
        ConfigError: no root was given.
        DataError: a file cannot be read or is not one of questions; or there is none.
    """
    read = _Questions()
    keys = Keys(config.text_column, config.pair_column, config.encoding)
    files = _files(config, read.findings)
    for path, split in files:
        for entry in read_entries(path, keys):
            _add(read, entry, split, path.name if len(files) > 1 else "")
    if not read.by_id and not read.findings:
        raise DataError(f"{display_path(Path(config.root))} has no questions.")
    has_splits = bool(files[0][1])
    rows = read.by_id.values()
    return without_classes(
        list(read.by_id),
        Texts(tuple(row.question for row in rows), tuple(row.context for row in rows)),
        AnswerSpans(tuple(row.spans for row in rows)),
        splits=np.array([row.split for row in rows], dtype=str) if has_splits else None,
        groups=_groups(read, has_splits),
        findings=read.findings,
    )


def _files(config: SquadData, findings: list[Finding]) -> list[tuple[Path, str]]:
    """Files, each with its split; empty where the fractions decide."""
    if not config.root or not Path(config.root).expanduser().is_dir():
        return [(existing_path(config.root, "file"), "")]
    root = existing_path(config.root, "folder")
    files, others = [], []
    for path in sorted(root.iterdir()):
        if path.name.startswith(".") or not path.is_file():
            continue
        word = re.split(r"[^a-z]", path.name.lower())[0]
        if path.suffix.lower() in ENDINGS and word in SPLIT_NAMES:
            files.append((path, SPLIT_NAMES[word]))
        elif path.suffix.lower() in ENDINGS:
            others.append(path.name)
    if not files:
        has = f"; it has {join_names(others, 5)}" if others else ""
        raise DataError(
            f"{display_path(root)} has no file that is named after a split and ends in "
            f"{', '.join(ENDINGS)}{has}.",
            "Call them train*.json and dev*.json, or name one file in data.root.",
        )
    if others:
        names = f"{join_names(others, 5)} of {display_path(root)}"
        why = f"{names}: not named after a split."
        findings.append(Finding("unsupported", "", why, count=len(others)))
    return files


def _add(read: _Questions, entry: Entry, split: str, file: str) -> None:
    """Add one entry, or a finding with all that is wrong with it."""
    name = entry.name
    if file and not entry.has_id:  # records of two files have the same numbers
        name = f"{file}:{name}"
    where = name if not file or not entry.has_id else f"{name} ({file})"
    if problems := [entry.fault] if entry.fault else _problems(entry):
        read.findings.append(Finding("incomplete_row", where, ", ".join(problems)))
        return
    spans, finding = _spans(entry, where)
    read.findings += [finding] if finding else []
    if entry.answers and not spans:
        return
    context = read.contexts.setdefault(entry.context, entry.context)
    row = _Question(entry.question, context, entry.title, spans, split)
    earlier = read.by_id.setdefault(name, row)
    if earlier is row:
        return
    if (earlier.question, earlier.context, earlier.spans) == (row.question, context, spans):
        why = "the same id, question, text and answers"
        read.findings.append(Finding("repeated_rows", where, why))
    else:
        read.findings.append(Finding("conflicting_rows", where, "another question has this id"))


def _problems(entry: Entry) -> list[str]:
    """All that is wrong with one question."""
    problems = []
    for part, text in (("question", entry.question), ("context", entry.context)):
        if problem := text_problem(text):
            problems.append(f"the {part} {problem}")
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


def _groups(read: _Questions, has_splits: bool) -> np.ndarray:
    """The group of each question: its article, or its text where there are too few articles."""
    rows = read.by_id.values()
    names = [row.title for row in rows]
    divided = {row.title for row in rows if row.split in _DIVIDED}
    if not all(names) or len(divided) < _LEAST_ARTICLES:
        number = {context: index for index, context in enumerate(read.contexts)}
        names = [f"text-{number[row.context]:06d}" for row in rows]
    if has_splits:  # two articles of different named splits may have one title
        names = [f"{row.split}/{name}" for row, name in zip(rows, names, strict=True)]
    return np.array(names, dtype=str)
