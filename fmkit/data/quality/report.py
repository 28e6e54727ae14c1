"""The data report: what is in a data set and what is wrong with it, as in `data_report.json`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fmkit.config.schema.data import DataConfig
from fmkit.core.version import VERSION
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
from fmkit.data.quality.inspect import Inspection, skipped
from fmkit.data.quality.target_checks import QUANTILES, examples_by_target, target_report
from fmkit.data.stratify import hash_ranks

MAX_ITEMS = 10_000
"""Findings of a kind that the report lists; the rest is only counted."""

_SAMPLES, _MAX_CLASSES, _SAMPLE_WIDTH = 3, 100, 200
"""Texts of a class, classes that have any, and characters of a text."""


def report(
    config: DataConfig, inspected: Inspection, moved: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The whole report.

    Args:
        moved: new path by old path of the files that were moved to the quarantine.
    """
    usable, splits = inspected.usable, inspected.splits
    omitted = [] if config.on_bad == "error" else skipped(inspected.findings)
    left_out = [name for finding in omitted for name in finding.examples or (finding.where,)]
    return {
        **_heading(config, inspected.findings),
        "modality": inspected.examples.content.modality,
        "examples": len(inspected.examples),
        "usable": len(usable),
        **{"files_read": 0, "seconds": 0.0, "formats": {}, "modes": {}},
        **inspected.scan.report,
        **target_report(usable, splits or {"all": np.arange(len(usable))}),
        "splits": {name: len(indices) for name, indices in splits.items()},
        "sizes": sizes(inspected),
        "samples": samples(usable),
        "findings": _findings(inspected.findings),
        "left_out": list(dict.fromkeys(left_out)),
        "quarantined": {printable(old): printable(new) for old, new in (moved or {}).items()},
    }


def failed_report(config: DataConfig, finding: Finding) -> dict[str, Any]:
    """The report of a data set that cannot be listed."""
    return {**_heading(config, [finding]), "examples": 0, "findings": _findings([finding])}


def sizes(inspected: Inspection) -> dict[str, list[int]]:
    """Quantiles of the sizes of usable examples: width and height, or characters and words."""
    if not len(inspected.usable_indices):
        return {}
    columns = {**inspected.scan.size_columns, **inspected.examples.content.size_columns()}
    return {
        name: np.percentile(values[inspected.usable_indices], QUANTILES).astype(int).tolist()
        for name, values in columns.items()
    }


def samples(examples: Examples) -> dict[str, list[dict[str, str]]]:
    """Some texts of each class or tag, chosen by the hash of their ids; none where there are none.

    The hash makes the choice the same on every machine, whatever the order of the listing.
    """
    content, ids = examples.content, examples.ids
    if not len(examples) or not content.excerpt(0):
        return {}
    ranks = hash_ranks(ids, "sample")
    return {
        name: [
            {
                "id": one_line(ids[index]),
                **{key: one_line(text) for key, text in content.excerpt(index).items()},
            }
            for index in indices[np.argsort(ranks[indices], kind="stable")][:_SAMPLES].tolist()
        ]
        for name, indices in list(examples_by_target(examples).items())[:_MAX_CLASSES]
    }


def one_line(text: str) -> str:
    """The beginning of a text, with characters that cannot be printed as Python writes them."""
    cut = text if len(text) <= _SAMPLE_WIDTH else f"{text[: _SAMPLE_WIDTH - 4]} ..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


def _heading(config: DataConfig, findings: Sequence[Finding]) -> dict[str, Any]:
    counts = dict.fromkeys((ERROR, WARNING, NOTE), 0)
    for finding in findings:
        counts[finding.about.severity] += finding.count
    return {
        "schema": 1,
        "fmkit": VERSION,
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
            "count": count(group),
            "items": [{"where": item.where, "why": item.why} for item in group[:MAX_ITEMS]],
        }
        for kind, group in group_by_kind(findings).items()
    ]
