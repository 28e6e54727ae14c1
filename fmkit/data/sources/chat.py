"""Conversations in files: a JSON object per line, a JSON list, or a parquet file with a row each.

How an object says what was said stands in `turns`, and which files are which split in
`object_files`. Ids are paths from the root with the line's number from 1, `chats.jsonl:000012`; of
a list or a table it is the entry's.

All conversations are held in memory, as the texts of a table are.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fmkit.config.schema.data import ChatData
from fmkit.core.types import Message
from fmkit.data.content.texts import Conversations
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding, UnusableInput, printable
from fmkit.data.formats import chat_messages
from fmkit.data.formats.json_records import rows
from fmkit.data.formats.text_files import line_id
from fmkit.data.sources.json_files import ObjectFile, list_files


@dataclass
class _Found:
    """Rows that can be used, and what is wrong with the others."""

    ids: list[str] = field(default_factory=list)
    conversations: list[tuple[Message, ...]] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def list_examples(config: ChatData) -> Examples:
    """The conversations at `config.root`, in the order of files and lines.

    What is wrong with single ones is in the examples' findings.

    Raises:
        DataError: nothing is there to read, or some files name a split and others do not.
    """
    files, findings = list_files(config.root, "conversations", config.outside_links)
    found = _Found(findings=findings)
    for each in files:
        _read(found, each, config.encoding)
    return Examples(
        ids=tuple(found.ids),
        labels=np.zeros(len(found.ids), np.int32),
        classes=(),
        content=Conversations(tuple(found.conversations)),
        splits=np.array(found.splits, str) if any(each.split for each in files) else None,
        findings=tuple(found.findings),
    )


def _read(found: _Found, file: ObjectFile, encoding: str) -> None:
    """Add what a file holds."""
    shown, before = printable(file.name), len(found.ids) + len(found.findings)
    try:
        for row in rows(file.path, encoding):
            where = line_id(shown, row.number)
            said = row.fault or chat_messages.messages(row.value)
            if isinstance(said, str):
                found.findings.append(Finding(row.kind, where, said))
                continue
            found.ids.append(where)
            found.conversations.append(said)
            found.splits.append(file.split)
    except UnusableInput as error:
        found.findings.append(Finding(error.kind, shown, error.why, path=str(file.path)))
        return
    if before == len(found.ids) + len(found.findings):
        found.findings.append(Finding("empty_file", shown, "", path=str(file.path)))
