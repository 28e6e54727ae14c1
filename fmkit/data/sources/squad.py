"""Question answering as in SQuAD: answers that are parts of a text (see `squad_files.py`).

An example is a question with its text; texts of many questions are stored once. Articles, by their
titles, stay in one split; where there are no titles, texts do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fmkit.config.schema.data import SquadData
from fmkit.core.errors import DataError, join_names
from fmkit.core.files import display_path
from fmkit.data.content.answer_spans import AnswerSpans, Span, locate
from fmkit.data.content.texts import Texts
from fmkit.data.examples import Examples, without_classes
from fmkit.data.findings import Finding
from fmkit.data.formats.json_records import ENDINGS
from fmkit.data.sources.listing import SPLIT_NAMES
from fmkit.data.sources.paths import existing_path
from fmkit.data.sources.squad_files import Entry, Keys, read_entries, text_problem

_LEAST_ARTICLES = 3
"""Fewest articles that can be divided among splits; of fewer the texts are divided."""

_DIVIDED = ("", "train")
"""The splits that may be divided: one without a name, and training, which may have to give some
examples to validation."""


@dataclass
class _Questions:
    """What was read so far.

    Attributes:
        index_of: position of each id.
        contexts_once: each different text, as the one object that its questions share.
    """

    ids: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    contexts: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    spans: list[tuple[Span, ...]] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    index_of: dict[str, int] = field(default_factory=dict)
    contexts_once: dict[str, str] = field(default_factory=dict)

    def find(self, kind: str, where: str, why: str) -> None:
        """Add a finding about an entry."""
        self.findings.append(Finding(kind, where, why))


def list_examples(config: SquadData) -> Examples:
    """The questions of a file, or of the files of a folder by their splits.

    Problems of single ones are in the examples' findings.

    Raises:
        ConfigError: no root was given.
        DataError: a file cannot be read or is not one of questions; or there is none.
    """
    read = _Questions()
    keys = Keys(config.text_column, config.pair_column, config.encoding)
    files = _files(config, read)
    for path, split in files:
        for entry in read_entries(path, keys):
            _add(read, entry, split, path.name if len(files) > 1 else "")
    if not read.ids and not read.findings:
        raise DataError(f"{display_path(Path(config.root))} has no questions.")
    has_splits = bool(files[0][1])
    return without_classes(
        read.ids,
        Texts(tuple(read.questions), tuple(read.contexts)),
        AnswerSpans(tuple(read.spans)),
        splits=np.array(read.splits, dtype=str) if has_splits else None,
        groups=_groups(read, has_splits),
        findings=read.findings,
    )


def _files(config: SquadData, read: _Questions) -> list[tuple[Path, str]]:
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
        read.findings.append(Finding("unsupported", "", why, count=len(others)))
    return files


def _add(read: _Questions, entry: Entry, split: str, file: str) -> None:
    """Add one entry, or a finding with all that is wrong with it."""
    name = entry.name
    if file and not entry.has_id:  # records of two files have the same numbers
        name = f"{file}:{name}"
    where = name if not file or not entry.has_id else f"{name} ({file})"
    problems = [entry.fault] if entry.fault else _problems(entry)
    if problems:
        read.find("incomplete_row", where, ", ".join(problems))
        return
    spans = _spans(read, entry, where)
    if spans is None:
        return
    context = read.contexts_once.setdefault(entry.context, entry.context)
    earlier = read.index_of.get(name)
    if earlier is not None:
        question = (read.questions[earlier], read.contexts[earlier], read.spans[earlier])
        if question == (entry.question, context, spans):
            read.find("repeated_rows", where, "the same id, question, text and answers")
        else:
            read.find("conflicting_rows", where, "another question has this id")
        return
    read.index_of[name] = len(read.ids)
    read.ids.append(name)
    read.questions.append(entry.question)
    read.contexts.append(context)
    read.titles.append(entry.title)
    read.spans.append(spans)
    read.splits.append(split)


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


def _spans(read: _Questions, entry: Entry, where: str) -> tuple[Span, ...] | None:
    """The spans of the answers; None where no answer is in the text, with a finding."""
    spans, moved, lost = [], [], []
    for text, offset in entry.answers:
        located = locate(entry.context, text, offset)
        if located.span is None:
            lost.append(f"{text[:40]!r} is not in the text at {offset:,}")
            continue
        spans.append(located.span)
        if located.moved:
            moved.append(f"{text[:40]!r} at {offset:,}: {located.moved}")
    if entry.answers and not spans:
        read.find("lost_answer", where, join_names(lost, 2))
        return None
    problems = [*moved, *(f"{problem}: left out" for problem in lost)]
    if problems:
        read.find("moved_answer", where, join_names(list(dict.fromkeys(problems)), 2))
    return tuple(spans)


def _groups(read: _Questions, has_splits: bool) -> np.ndarray:
    """The group of each question: its article, or its text where there are too few articles."""
    names, splits = read.titles, read.splits
    divided = {name for name, split in zip(names, splits, strict=True) if split in _DIVIDED}
    if not all(names) or len(divided) < _LEAST_ARTICLES:
        number = {context: index for index, context in enumerate(read.contexts_once)}
        names = [f"text-{number[context]:06d}" for context in read.contexts]
    if has_splits:  # two articles of different named splits may have one title
        names = [f"{split}/{name}" for split, name in zip(splits, names, strict=True)]
    return np.array(names, dtype=str)
