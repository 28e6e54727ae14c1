"""Preferences in files: a row per pair of answers, in one file or in files named by their splits.

Ids are the file's name and the row's number from 1, as editors count lines: `train.jsonl:000012`.
The pairs of one prompt stay together where a split has to be made; whoever has named the splits may
have one prompt in two of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fmkit.config.data_schema import PreferencesData
from fmkit.data.examples import Examples
from fmkit.data.findings import Finding, Unusable, printable
from fmkit.data.object_files import ObjectFile, list_files
from fmkit.data.object_rows import rows
from fmkit.data.preferences import BadPair, Pair, Preferences, pair_of
from fmkit.data.stratify import limited


@dataclass
class _Found:
    """Pairs that can be used, and what is wrong with the others."""

    ids: list[str] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def list_examples(config: PreferencesData) -> Examples:
    """The pairs of the file or folder `config.root`, by file and row.

    What is wrong with single rows and files is in the examples' findings.

    Raises:
        DataError: nothing is there to read, or only some files are named by their splits.
    """
    files, findings = list_files(config.root, "preferences", config.outside_links)
    found = _Found(findings=findings)
    names = (config.prompt_column, config.chosen_column, config.rejected_column)
    for each in files:
        _read(found, each, names)
    content = Preferences(tuple(found.pairs))
    is_named = any(each.split for each in files)
    examples = Examples(
        ids=tuple(found.ids),
        labels=np.zeros(len(found.ids), np.int32),
        classes=(),
        content=content,
        splits=np.array(found.splits, dtype=str) if is_named else None,
        groups=_groups(found, content) if found.ids else None,
        findings=tuple(found.findings),
    )
    return limited(examples, config.limit) if found.ids else examples


def _read(found: _Found, file: ObjectFile, names: tuple[str, str, str]) -> None:
    """Take the rows of a file over, or note what is wrong with them."""
    where = printable(file.name)
    try:
        for row in rows(file.path):
            key = f"{where}:{row.number:06d}"
            fault = row.fault
            if not fault:
                try:
                    pair = pair_of(row.value, names)
                except BadPair as error:
                    fault = str(error)
            if fault:
                found.findings.append(Finding(row.kind, key, fault))
                continue
            found.ids.append(key)
            found.pairs.append(pair)
            found.splits.append(file.split)
    except Unusable as error:
        found.findings.append(Finding(error.kind, where, error.why, path=str(file.path)))


def _groups(found: _Found, content: Preferences) -> np.ndarray:
    """What may not be in two splits: pairs of one prompt, within a split that has a name."""
    prompts = zip(found.splits, content.prompts(), strict=True)
    return np.array([f"{split}/{prompt}" for split, prompt in prompts], dtype=str)
