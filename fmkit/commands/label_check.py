"""`fmkit check label_errors=true`: what the features of a pretrained model say of a data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fmkit.commands import launch
from fmkit.commands.output.result_tables import new_table, print_table
from fmkit.commands.training import early_checks
from fmkit.config import registry
from fmkit.config.schema.commands import CheckConfig
from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import TaskConfig
from fmkit.core import console, machine
from fmkit.core.console import escape_markup, stdout
from fmkit.core.errors import ConfigError, plural
from fmkit.core.modalities import modality_entry

if TYPE_CHECKING:
    from fmkit.data.dataset import Dataset
    from fmkit.data.findings import Finding
    from fmkit.evaluation.label_quality.suspects import Suspects

TASKS = {"classes": "classification", "sets": "multi_label", "numbers": "regression"}
"""By the kind of labels that are covered, the task that learns them."""

SHOWN = 20
"""Rows of a table on the screen."""

_HARDEST = 100
"""Hardest examples that the report lists."""


def default_model(config: CheckConfig) -> ModelConfig:
    """The model whose features are used: the user's, or the usual one for such data.

    Raises:
        ConfigError: the labels are not covered, or there is no usual model for such data.
        ArtifactError: the package that the model comes in is not installed.
    """
    entry = registry.source_entry(config.data.name)
    labels = ("classes",) if entry.labels is None else entry.labels  # a plugin may not say
    if not set(labels) & set(TASKS) or (config.task and config.task.name not in TASKS.values()):
        what = f"data={config.data.name}"
        if config.task and config.task.name not in TASKS.values():
            what = f"task={config.task.name}"
        raise ConfigError(
            f"label_errors=true covers classes, sets of labels and numbers; {what} has none of "
            "these.",
            "Leave it out: tags of words, answers and documents are not covered.",
        )
    name = modality_entry(entry.modality).feature_model if entry.modality else ""
    model = config.model
    if model is None and not name:
        raise ConfigError(
            f"label_errors=true needs a model for data={config.data.name}.", "Add model=NAME."
        )
    if model is None:
        model = registry.config_class("model", name)(name=name)
        if name != "efficientnet_lite0":
            model.weights = "pretrained"
    early_checks.require_model(model, [config.data])
    return model


def examine(
    config: CheckConfig, model: ModelConfig, data: Dataset, known: Iterable[Finding], folder: Path
) -> tuple[list[Finding], dict[str, Any]]:
    """Find likely label errors, hard examples and near duplicates across splits; write the tables.

    Args:
        data: what can be used of the data set.
        known: findings so far: copies among them are not reported again.
        folder: for the tables.

    Returns:
        Findings, and what the report has of it.
    """
    with console.announce_slow("loading TensorFlow"), machine.gc_paused_imports():
        launch.import_keras()
    from fmkit.evaluation.label_quality import out_of_fold, similar_examples, suspects, tables
    from fmkit.evaluation.progress import Progress

    kind = suspects.kind_of(data.examples)
    task = config.task or _task(kind)
    total = sum(map(len, data.splits.values()))
    plural_noun = modality_entry(data.spec.modality).plural
    with Progress("features", plural_noun, total, verbose=config.runtime.verbose) as progress:
        done = _BatchCount(progress, config.data.batch_size)
        backbone = out_of_fold.features(data, config.data, model, task, config.runtime, done)
    positions = np.sort(np.concatenate([*data.splits.values()]))
    with console.announce_slow(
        "cross-validating a linear head on the features", config.runtime.verbose
    ):
        result = out_of_fold.cross_validate(backbone, positions)
    split_of = tables.split_names(len(data.examples), data.splits)
    examples, splits = data.examples.take(positions), [split_of[k] for k in positions]
    judged = suspects.find(examples, result.outputs)
    errors, scores = tables.write(folder, judged, examples, splits)
    pairs = similar_examples.near_duplicates(backbone.values, data.splits)
    record = {
        "model": model.name,
        **judged.summary,
        "out_of_fold": result.record["out_of_fold"],
        "folds": result.record["folds"],
        "errors": tables.rows(judged, judged.likely(), splits),
        "hardest": tables.rows(judged, judged.hardest(_HARDEST), splits),
        "table": str(errors),
        "scores": str(scores),
    }
    return [*_errors(judged), *_leaks(data.examples.ids, pairs, known)], record


def print_record(record: Mapping[str, Any]) -> None:
    """The likely errors, the worst first, and the hardest of the other examples, as tables."""
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in record["out_of_fold"].items())
    estimate = record["estimated_wrong"]
    about = "" if estimate is None else f"; all together an estimated {estimate:,.0f} are wrong"
    count = plural(record["likely_wrong"], "label is", "labels are")
    stdout.print(
        f"\n{count} likely wrong, of {record['examples']:,}{about} "
        f"({escape_markup(record['model'])}, {record['folds']} folds, out of fold {metrics})"
    )
    _print_rows(record["errors"], record["likely_wrong"], "suggested", "probability", "score")
    if record["hardest"]:
        stdout.print("\nhardest of the others, by their loss out of fold")
        _print_rows(record["hardest"][: SHOWN // 2], 0, "loss")
    stdout.print(f"likely errors: {escape_markup(str(record['table']))}")
    stdout.print(f"all scores: {escape_markup(str(record['scores']))}")


def _print_rows(rows: Sequence[Mapping[str, Any]], total: int, *columns: str) -> None:
    if not rows:
        return
    table = new_table("example", "label", *columns, "rank", "split")
    names = ("example", "label", *columns, "rank", "split")
    for row in rows[:SHOWN]:
        table.add_row(*(escape_markup(_cell(row[name])) for name in names))
    print_table(table)
    if total > SHOWN:
        stdout.print(f"and {total - SHOWN:,} more")


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return "" if value is None else str(value)


def _task(kind: str) -> TaskConfig:
    """The task that learns labels of a kind."""
    if kind not in TASKS:
        raise ConfigError(
            f"label_errors=true covers classes, sets of labels and numbers; this data has "
            f"{kind or 'no labels'}.",
            "Leave it out.",
        )
    task: TaskConfig = registry.config_class("task", TASKS[kind])()
    return task


def _errors(judged: Suspects) -> list[Finding]:
    from fmkit.data.findings import Finding

    findings = []
    for k in judged.likely().tolist():
        probability = judged.probabilities[k]
        share = "" if np.isnan(probability) else f" ({probability:.0%})"
        why = f"{judged.given[k]!r}, likely {judged.suggested[k]!r}{share}"
        findings.append(Finding("label_error", judged.ids[k], why, (judged.ids[k],)))
    return findings


def _leaks(ids: Sequence[str], pairs: Sequence[Any], known: Iterable[Finding]) -> list[Finding]:
    """Near duplicates that no other check has found."""
    from fmkit.data.findings import Finding

    copies = [set(f.examples) for f in known if f.kind in ("leak", "near_leak")]
    findings = []
    for pair in pairs:
        names = ids[pair.first], ids[pair.second]
        if any(copy.issuperset(names) for copy in copies):
            continue
        where, why = f"{names[0]} ({pair.splits[0]})", f"{names[1]} ({pair.splits[1]})"
        similarity = f"like {why}, similarity {pair.similarity:.3f}"
        findings.append(Finding("feature_leak", where, similarity, names, count=2))
    return findings


class _BatchCount:
    """Advances a progress bar by the batches of each split in turn."""

    def __init__(self, progress: Any, batch_size: int) -> None:
        self._progress, self._batch_size, self._last = progress, batch_size, -1

    def __call__(self, done: int, steps: int) -> None:
        if done != self._last:
            self._progress.advance(self._batch_size)
        self._last = done
