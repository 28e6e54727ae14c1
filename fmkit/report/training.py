"""The sections of a report about training: phases, what was frozen, the feature cache."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from fmkit.core import files
from fmkit.core.errors import plural
from fmkit.report import html
from fmkit.report.html import Cell
from fmkit.report.record import RunRecord, finite, mapping
from fmkit.store import run_dir

_PROOFS = {
    "held": "the hashes of all that was frozen are the same before and after",
    "broken": "something frozen has changed",
    "pending": "the phase did not end, so that nothing was compared",
    "skipped": "the phase did not run",
}


_SOLVED = ("solver", "scaling", "strength")


def duration(seconds: Any) -> str:
    """Seconds as `3.2 s` or `4 min 05 s`."""
    value = finite(seconds)
    if value is None:
        return html.NOTHING
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def phases(record: RunRecord) -> Markup | None:
    """A row per phase: what it trained, how long, and its best epoch."""
    settings = mapping(record.config.get("stage"))
    rows = []
    for phase in _mappings(record.status.get("phases")):
        name = str(phase.get("name"))
        setting = mapping(settings.get(name.removeprefix(run_dir.REFIT)))
        best = mapping(phase.get("best"))
        value = best.get("value")
        rows.append([
            html.name(name), str(setting.get("train", html.NOTHING)),
            str(setting.get("solver", html.NOTHING)), phase.get("epochs"),
            Cell(duration(phase.get("seconds")), finite(phase.get("seconds"))),
            best.get("epoch"),
            f"{best.get('monitor')} {value:.4f}" if finite(value) is not None else None,
            str(phase.get("skipped") or ""),
        ])  # fmt: skip
    columns = ["phase", "trains", "solver", "epochs", "time", "best epoch", "best value", "skipped"]
    if not any(row[-1] for row in rows):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    return html.table(columns, rows, "Phases", texts=(0, 1, 2, 7))


def freezing(record: RunRecord) -> Markup | None:
    """What each phase froze, with the proof by hashes of the weights before and after."""
    parts = []
    for phase in _mappings(record.json(run_dir.FREEZE).get("phases")):
        blocks = _mappings(phase.get("blocks"))
        if not blocks:
            continue
        proof = str(phase.get("proof"))
        total, trained = (
            sum(int(block.get(key) or 0) for block in blocks)
            for key in ("parameters", "trainable_parameters")
        )
        sentence = html.element(
            "p",
            html.element("strong", "Phase ", html.name(phase.get("phase"))),
            f": {trained:,} of {total:,} parameters trained, in "
            f"{sum(bool(block.get('trainable')) for block in blocks)} of "
            f"{plural(len(blocks), 'block')}. ",
            html.element("span", {"held": "Proved: ", "broken": "Broken: "}.get(proof, ""),
                         class_="good" if proof == "held" else "bad"),
            f"{_PROOFS.get(proof, proof)}.",
        )  # fmt: skip
        parts += [sentence, html.details("Blocks and hashes", _blocks(blocks))]
    return html.join(parts) if parts else None


def _blocks(blocks: Sequence[Mapping[str, Any]]) -> Markup | None:
    rows = [
        [
            html.name(block.get("block")), "trained" if block.get("trainable") else "frozen",
            block.get("parameters"), block.get("trainable_parameters"), str(block.get("batchnorm")),
            block.get("multiplier"), html.code(str(block.get("sha256_frozen") or "")[:12]),
            html.code(str(block.get("sha256_after") or "")[:12]),
        ]
        for block in blocks
    ]  # fmt: skip
    columns = ["block", "", "parameters", "trainable", "BatchNorm", "rate multiplier",
               "frozen part before", "after"]  # fmt: skip
    return html.table(columns, rows, texts=(0, 1, 4, 6, 7))


def feature_cache(record: RunRecord) -> Markup | None:
    """What was computed once instead of in every epoch, and about how much time that saved."""
    features = record.status.get("features")
    epochs = {str(phase.get("name")): phase.get("epochs")
              for phase in _mappings(record.status.get("phases"))}  # fmt: skip
    lines = []
    for phase, row in mapping(features).items():
        if not isinstance(row, dict):
            continue
        computed, read = (int(finite(row.get(key)) or 0) for key in ("computed", "read"))
        seconds, count = finite(row.get("seconds")) or 0.0, finite(epochs.get(phase)) or 0.0
        size = files.format_bytes(int(finite(row.get("bytes")) or 0))
        parts = [f"{computed:,} computed in {duration(seconds)}{_engine(row)}"] if computed else []
        parts += [f"{read:,} read from the cache"] if read else []
        text = f": {plural(computed + read, 'example')} ({size}): {', '.join(parts)}."
        if computed and seconds:
            saved = seconds / computed * (computed * max(count - 1, 0) + read * count)
            text += (
                f" Without the cache {plural(int(count), 'epoch')} would have run the frozen part "
                f"for about {duration(saved)} more."
            )
        lines.append(html.element("li", html.element("strong", "Phase ", html.name(phase)), text))
    return html.element("ul", *lines) if lines else None


def _engine(row: Mapping[str, Any]) -> str:
    return f" by {row['engine']}" if isinstance(row.get("engine"), str) else ""


def solvers(record: RunRecord) -> Markup | None:
    """What solved heads chose, as the status has it."""
    found = record.status.get("solvers")
    rows = [
        [html.name(phase), *(str(row.get(key, html.NOTHING)) for key in _SOLVED)]
        for phase, row in mapping(found).items()
        if isinstance(row, dict)
    ]  # fmt: skip
    return html.table(["phase", *_SOLVED], rows, "Solved heads", texts=(0, 1, 2, 3))
