"""What a data set looks like and what is wrong with it, as `data_report.json` has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import fmkit
from fmkit.config.schema.data import DataConfig
from fmkit.core import files
from fmkit.data.content.images import ImageArray, ImageFiles
from fmkit.data.content.preferences import Preferences
from fmkit.data.content.texts import Conversations, Texts
from fmkit.data.content.word_sequences import Sentences
from fmkit.data.examples import Examples
from fmkit.data.findings import (
    ERROR,
    FINDING_KINDS,
    NOTE,
    WARNING,
    Finding,
    count,
    group_by_kind,
    printable,
)
from fmkit.data.quality import target_checks
from fmkit.data.quality.inspect import Inspection, skipped
from fmkit.data.stratify import hash_ranks
from fmkit.data.targets import LabelSets, Numbers

QUANTILES = (0, 5, 25, 50, 75, 95, 100)
"""Percentiles that the report gives of sizes."""

MAX_ITEMS = 10_000
"""Findings of a kind that the report lists; beyond it only counts."""


def report(
    config: DataConfig, inspected: Inspection, moved: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The whole report.

    Args:
        config: the data set.
        inspected: what was found.
        moved: new path by old path of what was put into quarantine.
    """
    scanned, usable = inspected.scan, inspected.usable
    tags, entities = target_checks.counts(usable, inspected.splits)
    return {
        **_heading(config, inspected.findings),
        "modality": inspected.examples.content.modality,
        "examples": len(inspected.examples),
        "usable": len(usable),
        "files_read": scanned.read if scanned else 0,
        "seconds": round(scanned.seconds, 3) if scanned else 0.0,
        "classes": class_counts(inspected),
        **targets(inspected),
        "annotations": _annotations(usable),
        "tags": tags,
        "entities": entities,
        "splits": {name: len(those) for name, those in inspected.splits.items()},
        "formats": scanned.counted(scanned.formats) if scanned else {},
        "modes": scanned.counted(scanned.modes) if scanned else {},
        "sizes": sizes(inspected),
        "samples": texts(usable),
        "findings": _findings(inspected.findings),
        "left_out": _left_out(config, inspected),
        "quarantined": {printable(old): printable(new) for old, new in (moved or {}).items()},
    }


def failed_report(config: DataConfig, found: Finding) -> dict[str, Any]:
    """The report of a data set that cannot be listed."""
    return {**_heading(config, [found]), "examples": 0, "findings": _findings([found])}


def write(path: Path, content: dict[str, Any]) -> None:
    """Write a report."""
    files.write_json(path, content)


def _annotations(usable: Examples) -> dict[str, Any]:
    """What the examples have where that is not one class each: its kind, and counts of it."""
    found = usable.annotations
    if found is None:
        return {}
    return {"kind": found.kind, "counts": getattr(found, "summary", dict)()}


def class_counts(inspected: Inspection) -> dict[str, dict[str, int]]:
    """Usable examples by class and split; `all` where there are no splits."""
    usable = inspected.usable
    parts = inspected.splits or {"all": np.arange(len(usable))}
    counts = {
        split: np.bincount(usable.labels[members], minlength=len(usable.classes))
        for split, members in parts.items()
    }
    return {
        name: {split: int(each[label]) for split, each in counts.items()}
        for label, name in enumerate(usable.classes)
    }


def targets(inspected: Inspection) -> dict[str, Any]:
    """What is to be learned where that is not a class; `all` where there are no splits.

    Of sets of labels `labels`, the usable examples by label and split; of numbers `numbers`, by
    name and split mean, deviation and quantiles.
    """
    usable = inspected.usable
    known, parts = usable.annotations, inspected.splits or {"all": np.arange(len(usable))}
    if isinstance(known, LabelSets):
        counts = {split: known.counts(members) for split, members in parts.items()}
        return {
            "labels": {
                name: {split: each[name] for split, each in counts.items()} for name in known.names
            }
        }
    if isinstance(known, Numbers):
        return {
            "numbers": {
                name: {
                    split: _spread(known.values[members, k])
                    for split, members in parts.items()
                    if len(members)
                }
                for k, name in enumerate(known.names)
            }
        }
    return {}


def _spread(values: np.ndarray) -> dict[str, Any]:
    """Mean, standard deviation and quantiles of numbers."""
    return {
        "mean": float(values.mean()),
        "deviation": float(values.std()),
        "quantiles": [float(each) for each in np.percentile(values, QUANTILES)],
    }


def sizes(inspected: Inspection) -> dict[str, list[int]]:
    """Quantiles of what is usable: width, height and, of files, bytes; characters and words."""
    content = inspected.examples.content
    if isinstance(content, ImageArray):
        height, width = content.pixels.shape[1:3]
        return {"width": [width] * len(QUANTILES), "height": [height] * len(QUANTILES)}
    if not len(inspected.good):
        return {}
    columns: dict[str, np.ndarray] = {}
    if isinstance(content, ImageFiles) and inspected.scan is not None:
        scanned = inspected.scan
        columns = {"width": scanned.widths, "height": scanned.heights, "bytes": content.sizes}
    elif isinstance(content, Texts):
        pairs = {} if content.pairs is None else {"pair_": content.pairs}
        columns = _lengths({"": content.texts, **pairs})
    elif isinstance(content, Preferences):
        columns = content.size_columns()
    elif isinstance(content, Sentences):
        columns["words"] = np.array([len(each) for each in content.words], np.int64)
        columns["characters"] = np.array([len(content.text(e)) for e in range(len(content.words))])
    elif isinstance(content, Conversations):
        columns = _turns(content)
    return {
        name: [int(each) for each in np.percentile(values[inspected.good], QUANTILES)]
        for name, values in columns.items()
    }


def _lengths(parts: Mapping[str, Sequence[str]]) -> dict[str, np.ndarray]:
    """Characters and words of each text, (N,), by what is before these two words."""
    columns = {}
    for prefix, texts in parts.items():
        columns[f"{prefix}characters"] = np.array([len(each) for each in texts], np.int64)
        columns[f"{prefix}words"] = np.array([len(each.split()) for each in texts], np.int64)
    return columns


def _turns(content: Conversations) -> dict[str, np.ndarray]:
    """Messages, characters and words of each conversation, and characters of its answers, (N,)."""
    talks = content.conversations
    answers = [[each.content for each in talk if each.role == "assistant"] for talk in talks]
    whole = [[each.content for each in talk] for talk in talks]
    return {
        "messages": np.array([len(each) for each in talks], np.int64),
        "characters": np.array([sum(map(len, each)) for each in whole], np.int64),
        "words": np.array([sum(len(e.split()) for e in each) for each in whole], np.int64),
        "answer_characters": np.array([sum(map(len, each)) for each in answers], np.int64),
    }


def _heading(config: DataConfig, findings: Sequence[Finding]) -> dict[str, Any]:
    counts = {
        severity: count([each for each in findings if each.about.severity == severity])
        for severity in (ERROR, WARNING, NOTE)
    }
    return {
        "schema": 1,
        "fmkit": fmkit.__version__,
        "data": config.name,
        "root": printable(str(getattr(config, "root", ""))),
        "on_bad": config.on_bad,
        "ok": not counts[ERROR],
        "errors": counts[ERROR],
        "warnings": counts[WARNING],
        "notes": counts[NOTE],
    }


def _findings(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [
        {
            "kind": kind,
            "severity": FINDING_KINDS[kind].severity,
            "title": FINDING_KINDS[kind].title,
            "advice": FINDING_KINDS[kind].advice,
            "count": count(those),
            "items": [{"where": each.where, "why": each.why} for each in those[:MAX_ITEMS]],
        }
        for kind, those in group_by_kind(findings).items()
    ]


def _left_out(config: DataConfig, inspected: Inspection) -> list[str]:
    """Names of what is left out, where `data.on_bad` leaves anything out."""
    if config.on_bad == "error":
        return []
    names = [
        name for each in skipped(inspected.findings) for name in (each.examples or (each.where,))
    ]
    return list(dict.fromkeys(names))


EACH, MAX_CLASSES, WIDTH = 3, 100, 200
"""Texts of a class, classes that have any, and characters of a text."""


def texts(examples: Examples) -> dict[str, list[dict[str, Any]]]:
    """By class, texts that are chosen by the hash of their ids; none of what is no text.

    Of sentences with tags, by type of entity or else by tag.
    """
    content = examples.content
    if isinstance(content, Sentences):
        return _sentences(examples, content)
    if not isinstance(content, Texts) or not examples.classes:
        return {}
    order = np.argsort(hash_ranks(examples.ids, "sample"), kind="stable")
    chosen: dict[str, list[dict[str, Any]]] = {}
    for label in np.unique(examples.labels)[:MAX_CLASSES]:
        places = order[examples.labels[order] == label][:EACH]
        chosen[examples.classes[label]] = [_shown(examples.ids[e], content, e) for e in places]
    return chosen


def _sentences(examples: Examples, content: Sentences) -> dict[str, list[dict[str, Any]]]:
    place = np.empty(len(examples), np.int64)
    place[np.argsort(hash_ranks(examples.ids, "sample"), kind="stable")] = np.arange(len(examples))
    chosen: dict[str, list[dict[str, Any]]] = {}
    for name, those in list(target_checks.sentences_with(examples).items())[:MAX_CLASSES]:
        first = those[np.argsort(place[those])][:EACH].tolist()
        chosen[name] = [
            {"id": one_line(examples.ids[each]), "text": one_line(content.text(each))}
            for each in first
        ]
    return chosen


def _shown(name: str, content: Texts, index: int) -> dict[str, str]:
    row = {"id": one_line(name), "text": one_line(content.texts[index])}
    if content.pairs is not None:
        row["pair"] = one_line(content.pairs[index])
    return row


def one_line(text: str) -> str:
    """The beginning of a text in printable characters; others as Python writes them."""
    cut = text if len(text) <= WIDTH else f"{text[: WIDTH - 4]} ..."
    return "".join(e if e.isprintable() else e.encode("unicode_escape").decode() for e in cut)
