"""The section of a report about labels: those that are likely wrong, and the hardest examples.

The former need outputs out of fold, which a run with a cross-validated head has anyway. A run that
trains by gradients has counted which of its training examples it forgot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from fmkit.core.errors import plural
from fmkit.data.examples import Examples
from fmkit.evaluation.label_quality import forgetting, suspects, tables
from fmkit.report import html
from fmkit.report.gallery import gallery
from fmkit.report.record import RunRecord, finite, mapping
from fmkit.report.samples import MOST, Sample
from fmkit.store import forgetting as store
from fmkit.store import out_of_fold

_GALLERIES = {
    "likely": ("Labels that are likely wrong", "Another class is confidently the right one for "
               "heads that have not seen the example (confident learning). Look before you "
               "change the given one."),
    "hardest": ("Hardest examples", "Those of the others with the highest loss out of fold."),
    "forgotten": ("Hardest while training", "Training examples that were never answered right, or "
                  "went from right to wrong between epochs, the most often forgotten first. Some "
                  "may be wrong labels."),
}  # fmt: skip


def judge(
    record: RunRecord, examples: Examples, splits: Mapping[str, np.ndarray] | None = None
) -> dict[str, Any] | None:
    """What a run says of its labels, for `samples.json`; writes the tables.

    By its outputs out of fold, and by what it forgot while training. None where the run has
    neither, or the data is not as it was.

    Args:
        record: of the run.
        examples: the data set that it was trained on.
        splits: by name, positions in it, where they are known.
    """
    if record.data.get("fingerprint") != examples.fingerprint:
        return None
    names = examples.classes or (examples.annotations.names if examples.annotations else ())
    if list(names) != (record.data.get("classes") or record.data.get("names")):
        return None
    judged = {**_judge_out_of_fold(record, examples, splits or {}), **_forgotten(record, examples)}
    return judged or None


def _judge_out_of_fold(
    record: RunRecord, examples: Examples, splits: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    arrays = out_of_fold.read(record.folder, record.status)
    if arrays is None or suspects.kind_of(examples) not in suspects.COVERED:
        return {}
    positions, outputs = arrays
    chosen = examples.take(positions)
    judged = suspects.find(chosen, outputs)
    split_of = tables.split_names(len(examples), splits)
    names_of_splits = [split_of[k] for k in positions.tolist()]
    tables.write(record.folder, judged, chosen, names_of_splits)
    return {
        **judged.summary,
        "likely": tables.rows(judged, judged.likely()[:MOST], names_of_splits),
        "hardest": tables.rows(judged, judged.hardest(MOST), names_of_splits),
    }


def _forgotten(record: RunRecord, examples: Examples) -> dict[str, Any]:
    read = store.read(record.folder)
    if read is None or not examples.classes:
        return {}
    positions, counts = read
    chosen = forgetting.hardest(counts)[:MOST]
    by_column = forgetting.rows(examples.take(positions), chosen, counts)
    values = zip(*by_column.values(), strict=True)
    return {
        "forgetting": forgetting.summary(counts),
        "forgotten": [dict(zip(by_column, row, strict=True)) for row in values],
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
    counted = {key: finite(value) for key, value in mapping(shown.get("forgetting")).items()}
    estimate = finite(shown.get("estimated_wrong"))
    facts = html.pairs([
        ("examples judged", None if count is None else html.number(int(count))),
        ("likely wrong", None if likely is None else html.number(int(likely))),
        ("wrong altogether, estimated", None if estimate is None else html.number(round(estimate))),
        ("table", html.code(tables.ERRORS) if likely else None),
        ("never right while training", _of(counted, "never_right")),
        ("right, and wrong again later", _of(counted, "forgotten")),
        ("table of training examples", html.code(forgetting.ALL) if counted else None),
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


def _of(counted: Mapping[str, float | None], key: str) -> str | None:
    part, total = counted.get(key), counted.get("counted")
    return None if part is None or not total else f"{int(part):,} of {int(total):,}"


def _items(
    rows: Sequence[Mapping[str, Any]], content: Mapping[str, Mapping[str, str]]
) -> list[tuple[Sample, Mapping[str, str]]]:
    return [
        (
            Sample(
                str(row.get("example")), str(row.get("label")),
                str(row.get("suggested", row.get("label"))), _remark(row),
            ),
            mapping(content.get(str(row.get("example")))),
        )
        for row in rows
    ]  # fmt: skip


def _remark(row: Mapping[str, Any]) -> str:
    if "forgotten" in row:
        return _history(row)
    probability, loss = finite(row.get("probability")), finite(row.get("loss"))
    if row.get("suggested") != row.get("label") and probability is not None:
        return f"{100 * probability:.1f}%"
    return "" if loss is None else f"loss {loss:.3g}"


def _history(row: Mapping[str, Any]) -> str:
    """What training did with an example, in a phrase."""
    epochs, times = (int(finite(row.get(key)) or 0) for key in ("epochs", "forgotten"))
    if not finite(row.get("learned")):
        return f"never right in {plural(epochs, 'epoch')}"
    return f"forgotten {plural(times, 'time')} in {plural(epochs, 'epoch')}, last {row.get('last')}"
