"""Questions on texts with answers that stand there, as SQuAD has them: see `question_files`.

An example is a question with its text; texts of many questions are kept once. Articles, by their
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
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding
from fmkit.data.sources import squad_files
from fmkit.data.sources.listing import SPLIT_NAMES
from fmkit.data.sources.paths import existing_path
from fmkit.data.sources.squad_files import Entry, Keys

_SPLITS = 3
"""Fewest articles that can be shared out among splits; of fewer the texts are."""

_DIVIDED = ("", "train")
"""The splits that are shared out: one without a name, and training, which may have to give some to
validation."""


@dataclass
class _Questions:
    """What was read so far."""

    ids: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    contexts: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    spans: list[tuple[Span, ...]] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    known: dict[str, int] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)

    def find(self, kind: str, where: str, why: str) -> None:
        """Note what is wrong with an entry."""
        self.findings.append(Finding(kind, where, why))


def list_examples(config: SquadData) -> Examples:
    """The questions of a file, or of the files of a folder by their splits.

    What is wrong with single ones is in the examples' findings.

    Raises:
        ConfigError: no root was given.
        DataError: a file cannot be read, or is none of such a file; or there is none.
    """
    found = _Questions()
    keys = Keys(config.text_column, config.pair_column, config.encoding)
    files = _files(config, found)
    for path, split in files:
        for number, entry in enumerate(squad_files.read(path, keys)):
            _add(found, entry, split, number, path.name if len(files) > 1 else "")
    if not found.ids and not found.findings:
        raise DataError(f"{display_path(Path(config.root))} has no questions.")
    is_named = bool(files[0][1])
    return Examples(
        ids=tuple(found.ids),
        labels=np.zeros(len(found.ids), np.int32),
        classes=(),
        content=Texts(tuple(found.questions), tuple(found.contexts)),
        splits=np.array(found.splits, dtype=str) if is_named else None,
        groups=_groups(found, is_named),
        findings=tuple(found.findings),
        annotations=AnswerSpans(tuple(found.spans)),
    )


def _files(config: SquadData, found: _Questions) -> list[tuple[Path, str]]:
    """Files, each with its split; empty where the fractions decide."""
    if not config.root or not Path(config.root).expanduser().is_dir():
        return [(existing_path(config.root, "file"), "")]
    root = existing_path(config.root, "folder")
    files, others = [], []
    for path in sorted(root.iterdir()):
        if path.name.startswith(".") or not path.is_file():
            continue
        word = re.split(r"[^a-z]", path.name.lower())[0]
        if path.suffix.lower() in squad_files.ENDINGS and word in SPLIT_NAMES:
            files.append((path, SPLIT_NAMES[word]))
        elif path.suffix.lower() in squad_files.ENDINGS:
            others.append(path.name)
    if not files:
        has = f"; it has {join_names(others, 5)}" if others else ""
        raise DataError(
            f"{display_path(root)} has no file that is named after a split and ends in "
            f"{', '.join(squad_files.ENDINGS)}{has}.",
            "Call them train*.json and dev*.json, or name one file in data.root.",
        )
    if others:
        why = f"{join_names(others, 5)} of {display_path(root)}: their names begin with no split's."
        found.findings.append(Finding("unsupported", "", why, count=len(others)))
    return files


def _add(found: _Questions, entry: Entry, split: str, number: int, file: str) -> None:
    """Take one entry over, or note all that is wrong with it."""
    name = entry.name
    if file and not entry.has_id:  # rows of two files have the same numbers
        name = f"{file}:{name}"
    where = name if not file or not entry.has_id else f"{name} ({file})"
    problems = [entry.fault] if entry.fault else _problems(entry)
    if problems:
        found.find("incomplete_row", where, ", ".join(problems))
        return
    spans = _spans(found, entry, where)
    if spans is None:
        return
    context = found.shared.setdefault(entry.context, entry.context)
    before = found.known.get(name)
    if before is not None:
        same = found.questions[before] == entry.question and found.contexts[before] == context
        if same and found.spans[before] == spans:
            found.find("repeated_rows", where, "the same id, question, text and answers")
        else:
            found.find("conflicting_rows", where, "another question has this id")
        return
    found.known[name] = len(found.ids)
    found.ids.append(name)
    found.questions.append(entry.question)
    found.contexts.append(context)
    found.titles.append(entry.title)
    found.spans.append(spans)
    found.splits.append(split)


def _problems(entry: Entry) -> list[str]:
    """All that is wrong with one question."""
    problems = []
    for what, text in (("question", entry.question), ("context", entry.context)):
        if wrong := squad_files.wrong_text(text):
            problems.append(f"the {what} {wrong}")
    if entry.is_impossible and entry.answers:
        problems.append("is_impossible is true, and there are answers")
    if not entry.is_impossible and not entry.answers:
        problems.append("it has no answer, and is_impossible is not true")
    if any(not text.strip() for text, _ in entry.answers):
        problems.append("an answer is empty")
    return problems


def _spans(found: _Questions, entry: Entry, where: str) -> tuple[Span, ...] | None:
    """Where the answers stand; None where none does, which is noted."""
    spans, moved, lost = [], [], []
    for text, offset in entry.answers:
        located = locate(entry.context, text, offset)
        if located.span is None:
            lost.append(f"{text[:40]!r} does not stand at {offset:,}")
            continue
        spans.append(located.span)
        if located.moved:
            moved.append(f"{text[:40]!r} at {offset:,}: {located.moved}")
    if entry.answers and not spans:
        found.find("lost_answer", where, join_names(lost, 2))
        return None
    told = [*moved, *(f"{each}: left out" for each in lost)]
    if told:
        found.find("moved_answer", where, join_names(list(dict.fromkeys(told)), 2))
    return tuple(spans)


def _groups(found: _Questions, is_named: bool) -> np.ndarray:
    """What may not be in two splits: articles, or texts where there are too few of them."""
    names = found.titles
    divided = {name for name, split in zip(names, found.splits, strict=True) if split in _DIVIDED}
    if not all(names) or len(divided) < _SPLITS:
        number = {context: place for place, context in enumerate(found.shared)}
        names = [f"text-{number[each]:06d}" for each in found.contexts]
    if is_named:  # whoever named the splits may have called two articles the same
        names = [f"{split}/{name}" for split, name in zip(found.splits, names, strict=True)]
    return np.array(names, dtype=str)
