"""The model card: Markdown with the metadata that Hugging Face's hub reads, beside the page.

The header follows https://huggingface.co/docs/hub/model-cards and its `model-index`. Names from
outside are escaped, so that none becomes markup.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from fmkit.core import files, sanitize
from fmkit.core.errors import plural
from fmkit.core.version import VERSION
from fmkit.report import background, html, results
from fmkit.report.record import RunRecord, finite
from fmkit.store import run_dir

_MARK = "<!-- made by fmkit report -->"
"""A card without this line was written by somebody, and stays."""

_PIPELINES = {
    ("classification", "image"): "image-classification",
    ("classification", "text"): "text-classification",
    ("multi_label", "image"): "image-classification",
    ("multi_label", "text"): "text-classification",
    ("token_classification", "text"): "token-classification",
    ("question_answering", "text"): "question-answering",
    ("causal_lm", "text"): "text-generation",
    ("instruction", "text"): "text-generation",
    ("dpo", "text"): "text-generation",
    ("masked_lm", "text"): "fill-mask",
}
"""Pipeline tags of the hub by task and modality."""
_TYPES = {"accuracy": "accuracy", "macro_f1": "f1", "micro_f1": "f1", "f1": "f1",
          "precision": "precision", "recall": "recall", "mae": "mae", "rmse": "rmse",
          "exact_match": "exact_match"}  # fmt: skip
"""Metric types of the hub; others are named as here."""
_MOST_CLASSES = 20
_FEW = 30  # examples of a class about which a figure says little


def is_ours(path: Path) -> bool:
    """Whether a card was made by this module, so that it may be replaced."""
    try:
        return _MARK in path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def write(record: RunRecord, plots: Sequence[str]) -> Path | None:
    """Write the card into a run's folder; None where somebody has written one, which stays.

    Args:
        plots: names of the PNGs in the run's folder of plots.
    """
    path = record.folder / run_dir.MODEL_CARD
    if path.exists() and not is_ours(path):
        return None
    files.write_text(path, render(record, plots))
    return path


def render(record: RunRecord, plots: Sequence[str]) -> str:
    """The card.

    Args:
        plots: names of the PNGs in the run's folder of plots.
    """
    sections = [
        f"# {escape(record.title)}",
        _MARK,
        _about(record),
        _use(record),
        _results(record),
        _plots(plots),
        _data(record),
        _limits(record),
        f"## Make it again\n\n```sh\n{_code(background.command_line(record))}\n```",
        f"Made by fmkit {VERSION}. `{run_dir.REPORT}` beside this file has more.",
    ]
    header = yaml.safe_dump(metadata(record), sort_keys=False, allow_unicode=True, width=100)
    return f"---\n{header}---\n\n" + "\n\n".join(part for part in sections if part) + "\n"


def escape(value: Any) -> str:
    """A text as Markdown that shows it literally."""
    line = html.shorten(sanitize.escape_invisible(str(value)))
    return re.sub(r"([\\`*_{}\[\]()#+!|~$-])", r"\\\1", line).replace("&", "&amp;").replace(
        "<", "&lt;").replace(">", "&gt;")  # fmt: skip


def _code(words: str) -> str:
    """Text in a fence, which no line of it ends."""
    return sanitize.escape_invisible(words, keep="\n").replace("```", "`` `")


def metadata(record: RunRecord) -> dict[str, Any]:
    """The header: library, pipeline, tags, and the results as a model index."""
    summary, modality = record.summary, str(record.data.get("modality", ""))
    pipeline = _PIPELINES.get((summary.task or "", modality))
    header: dict[str, Any] = {"library_name": "keras"}
    if pipeline:
        header["pipeline_tag"] = pipeline
    header["tags"] = [
        tag for tag in ("fmkit", "keras", "tensorflow", summary.task, modality) if tag
    ]
    metrics = [
        {"type": _TYPES.get(name, name), "name": title, "value": round(float(value), 6)}
        for name, title in results.titles(record).items()
        if (value := finite(record.metrics.get(name))) is not None
    ]
    if metrics:
        label = sanitize.escape_invisible(summary.data_label or "data")
        header["metrics"] = list(dict.fromkeys(row["type"] for row in metrics))
        header["model-index"] = [{
            "name": sanitize.escape_invisible(record.title),
            "results": [{
                "task": {"type": pipeline or summary.task or "other"},
                "dataset": {"name": label, "type": summary.data or "other", "split": record.split},
                "metrics": metrics,
            }],
        }]  # fmt: skip
    return header


def _about(record: RunRecord) -> str:
    summary, parameters = record.summary, finite(record.status.get("parameters"))
    size = f", {parameters:,.0f} parameters" if parameters else ""
    start = record.environment.get("weights")
    weights = start.get("weights") if isinstance(start, dict) else None
    origin = f", from weights `{_code(str(weights))}`" if weights else ""
    return (
        f"A model for {escape(summary.task or 'a task')}: {escape(summary.model or '?')}{size}"
        f"{origin}, trained on {escape(summary.data_label or '?')} by "
        f"`fmkit {_code(summary.command or 'finetune')}`."
    )


def _use(record: RunRecord) -> str:
    if not (record.folder / run_dir.MODEL).exists():
        return ""
    lines = ["## Use", "", "```sh", "fmkit predict run=FOLDER input=PATH", "```"]
    if record.data.get("modality") == "image":
        lines += ["", "```python", "import keras", "",
                  f'model = keras.saving.load_model("{run_dir.MODEL}")',
                  "outputs = model.predict(images)  # RGB, (N, H, W, 3), 0 to 255",
                  "```"]  # fmt: skip
    return "\n".join(lines)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _results(record: RunRecord) -> str:
    if not record.metrics:
        return ""
    rows = [
        [escape(title), results.format_metric(record, name, record.metrics[name]),
         results.interval(record, record.metrics, name) or html.NOTHING]
        for name, title in results.titles(record).items()
        if finite(record.metrics.get(name)) is not None
    ]  # fmt: skip
    count = finite(record.metrics.get("n"))
    examples = f", {plural(int(count), 'example')}" if count else ""
    parts = [f"## Results\n\nOn the split `{_code(record.split)}`{examples}:",
             _table(["metric", "value", "95% interval"], rows)]  # fmt: skip
    for key, (noun, columns) in record.evaluator.breakdowns.items():
        by_name = record.metrics.get(key)
        if isinstance(by_name, dict) and by_name:
            some = list(by_name.items())[:_MOST_CLASSES]
            cells = [
                [escape(name), *(results.format_metric(record, metric, row.get(metric))
                                 for metric in columns)]
                for name, row in some
            ]  # fmt: skip
            more = len(by_name) - len(some)
            parts.append(_table([noun, *columns.values()], cells))
            parts += [f"{more:,} more are in `{run_dir.EVALUATION}/`."] if more > 0 else []
    return "\n\n".join(parts)


def _plots(plots: Sequence[str]) -> str:
    shown = [name for name in plots if not name.startswith("curve_")] + [
        name for name in plots if name.startswith("curve_") and "loss" in name
    ]
    lines = [
        f"![{name.removesuffix('.png').replace('_', ' ')}]({run_dir.PLOTS}/{name})"
        for name in shown
    ]
    return "\n\n".join(lines)


def _data(record: RunRecord) -> str:
    counts = record.data.get("counts")
    if not isinstance(counts, dict) or not counts:
        return ""
    splits = ", ".join(f"{html.number(count)} {escape(split)}" for split, count in counts.items())
    fingerprint = str(record.data.get("fingerprint") or "")[:16]
    label = escape(record.summary.data_label or "?")
    return f"## Data\n\n{label}: {splits}. Fingerprint `{_code(fingerprint)}`."


def _limits(record: RunRecord) -> str:
    """What the figures themselves say about how far to trust the model."""
    lines = []
    count = finite(record.metrics.get("n"))
    if count is not None and count < 300:
        lines.append(f"The figures are of {plural(int(count), 'example')}: the intervals are wide.")
    error = finite(record.metrics.get("expected_calibration_error"))
    if error is not None:
        lines.append(
            f"Probabilities are off by {error:.3f} on average (expected calibration error)."
        )
    per_class = record.metrics.get("per_class")
    if isinstance(per_class, dict):
        few = [name for name, row in per_class.items() if (finite(row.get("support")) or 0) < _FEW]
        if few:
            names = ", ".join(map(escape, few[:5]))
            more = f" and {len(few) - 5} more" if len(few) > 5 else ""
            lines.append(f"Fewer than {_FEW} examples tell about {names}{more}.")
    lines.append(
        "It was judged on data of the same origin as it was trained on. "
        "Other data need a test of their own."
    )
    size = record.folder / run_dir.MODEL
    if size.exists():
        lines.append(f"The model file has {files.format_bytes(size.stat().st_size)}.")
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)
