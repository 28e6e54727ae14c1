"""The section of a report about labels: those that are likely wrong, and the hardest examples.

It needs outputs out of fold, which a run with a cross-validated head has anyway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from fmkit.data.examples import Examples
from fmkit.evaluation.label_quality import suspects, tables
from fmkit.report import html
from fmkit.report.gallery import gallery
from fmkit.report.record import RunRecord, finite, mapping
from fmkit.report.samples import MOST, Sample
from fmkit.store import out_of_fold

_GALLERIES = {
    "likely": ("Labels that are likely wrong", "Another class is confidently the right one for "
               "heads that have not seen the example (confident learning). Look before you "
               "change the given one."),
    "hardest": ("Hardest examples", "Those of the others with the highest loss out of fold."),
}  # fmt: skip


def judge(
    record: RunRecord, examples: Examples, splits: Mapping[str, np.ndarray] | None = None
) -> dict[str, Any] | None:
    """What a run's outputs out of fold say of its labels, for `samples.json`; writes the tables.

    None where the run has no such outputs, or the data is not as it was.

    Args:
        record: of the run.
        examples: the data set that it was trained on.
        splits: by name, positions in it, where they are known.
    """
    arrays = out_of_fold.read(record.folder, record.status)
    same = record.data.get("fingerprint") == examples.fingerprint
    if arrays is None or not same or suspects.kind_of(examples) not in suspects.COVERED:
        return None
    names = examples.classes or (examples.annotations.names if examples.annotations else ())
    learned = record.data.get("classes") or record.data.get("names")
    if list(names) != learned:
        return None
    positions, outputs = arrays
    chosen = examples.take(positions)
    judged = suspects.find(chosen, outputs)
    split_of = tables.split_names(len(examples), splits or {})
    names_of_splits = [split_of[k] for k in positions.tolist()]
    tables.write(record.folder, judged, chosen, names_of_splits)
    return {
        **judged.summary,
        "likely": tables.rows(judged, judged.likely()[:MOST], names_of_splits),
        "hardest": tables.rows(judged, judged.hardest(MOST), names_of_splits),
    }


def section(shown: Mapping[str, Any], content: Mapping[str, Mapping[str, str]]) -> Markup | None:
    """Both galleries.

    Args:
        shown: as `judge` made it.
        content: a picture or texts by the example's id.
    """
    if not any(shown.get(kind) for kind in _GALLERIES):
        return None
    likely, count = finite(shown.get("likely_wrong")), finite(shown.get("examples"))
    estimate = finite(shown.get("estimated_wrong"))
    facts = html.pairs([
        ("examples judged", None if count is None else html.number(int(count))),
        ("likely wrong", None if likely is None else html.number(int(likely))),
        ("wrong altogether, estimated", None if estimate is None else html.number(round(estimate))),
        ("table", html.code(tables.ERRORS) if likely else None),
    ])  # fmt: skip
    parts: list[Any] = [facts]
    for kind, (title, about) in _GALLERIES.items():
        rows = [mapping(row) for row in shown.get(kind) or ()]
        if rows:
            parts += [
                html.element("h3", title),
                html.note(about),
                gallery(_items(rows, content), truth="given"),
            ]
    return html.join(part for part in parts if part)


def _items(
    rows: Sequence[Mapping[str, Any]], content: Mapping[str, Mapping[str, str]]
) -> list[tuple[Sample, Mapping[str, str]]]:
    return [
        (
            Sample(
                str(row.get("example")), str(row.get("label")), str(row.get("suggested")),
                _remark(row),
            ),
            mapping(content.get(str(row.get("example")))),
        )
        for row in rows
    ]  # fmt: skip


def _remark(row: Mapping[str, Any]) -> str:
    probability, loss = finite(row.get("probability")), finite(row.get("loss"))
    if row.get("suggested") != row.get("label") and probability is not None:
        return f"{100 * probability:.1f}%"
    return "" if loss is None else f"loss {loss:.3g}"
