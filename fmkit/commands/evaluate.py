"""`fmkit eval`: evaluate a finished run on a split of its data, or on other data."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fmkit.commands import launch
from fmkit.commands.output import json_output, result_tables
from fmkit.config import compatibility, saved_config
from fmkit.config.registry import task_entry
from fmkit.config.schema.commands import EvalConfig
from fmkit.config.schema.task import SelfSupervisedConfig
from fmkit.core import console, registry
from fmkit.core.errors import ConfigError, DataError, causes, join_names, plural
from fmkit.core.modalities import modality_entry
from fmkit.evaluation import write
from fmkit.store import run_dir, run_index
from fmkit.store.run_reader import RunReader

if TYPE_CHECKING:
    from fmkit.config.schema.data import DataConfig
    from fmkit.core.types import DataSpec
    from fmkit.data.dataset import Dataset
    from fmkit.data.examples import Examples
    from fmkit.evaluation.record import Recorded

_SPLITTING = {"val_fraction", "test_fraction", "split_seed", "limit", "shots"}
"""Keys of data that decide which examples are in a split."""
_NUMBERED = re.compile(r"(.*:)?(row-)?\d{6,}")
"""Ids of rows and lines by their numbers in a file."""
_ROWS = 200  # of a table, that are looked at for its columns
_UNUSED = {"batch_size", "augment", "augment_views", "flip", "refit"}
"""Keys of data that do not change what an evaluation comes to."""


def evaluate(arguments: Sequence[str]) -> dict[str, Any] | None:
    """Evaluate a run; the figures, as `eval/<split>.json` has them."""
    return launch.run_command("eval", arguments, evaluate_run, inherited=("data",))


def evaluate_run(config: EvalConfig) -> dict[str, Any]:
    """Evaluate a run, write `eval/<split>.json` and `.parquet` into its folder, print a table.

    The run's own figures stay: those of other data, of data that has changed since, or of data that
    is read by other settings, are written beside them, under a name with a fingerprint.
    """
    run = launch.open_run(config.run, config.runs_dir)
    task, objective = saved_config.task_of(
        saved_config.section(run.config(), "task"), config.objective
    )
    compatibility.resolve_labels(config.data, task.name)
    data, split, suffix = _data(config, run, task.name, objective)
    spec = run.spec(objective)
    # Before TensorFlow is imported: an unknown class or column is reported at once.
    sliced = _sliced_columns(config, task.name, data.examples.take(data.splits[split]))
    corruptions = _corruptions(config, task.name, spec.modality)
    if config.by_document and task.name != "causal_lm":
        raise ConfigError(
            f"by_document: task={task.name} has no perplexity of whole documents.",
            "It is for task=causal_lm, which predicts each token from those before it.",
        )
    ignores_classes = isinstance(task, SelfSupervisedConfig)
    data, labels, outputs = _as_learned(config, data, split, spec, ignores_classes)
    entry = modality_entry(spec.modality)
    if config.runtime.verbose:
        counted = plural(len(data.splits[split]), entry.noun, entry.plural)
        console.info(f"eval: {split}, {counted}, with run {run.id}")
    trained = launch.load_run(run, config.runtime, config.objective)
    from fmkit.evaluation import load_run, record

    if config.calibrated:
        temperature = record.temperature(run, trained.task, objective)
        trained = dataclasses.replace(trained, temperature=temperature)
    is_own_validation = split == "val" and not suffix
    is_fitted = bool(run.validation(objective).get("out_of_fold"))
    if is_own_validation and (is_fitted or run_dir.is_refitted(run.json(run_dir.STATUS))):
        raise ConfigError(
            f"split=val: the final model of run {run.id} was trained on its validation examples, "
            "too (data.refit).",
            f"{run_dir.EVALUATION}/val.json has the figures "
            f"{'out of fold' if is_fitted else 'from before that'}. Take split=test, or other "
            "data.",
        )
    validation = None if is_own_validation else load_run.validation(trained, objective)
    result, inputs = _evaluate(config, trained, data, split, labels, outputs, spec, validation)
    parts = [split, objective, suffix, "calibrated" if config.calibrated else None]
    goals = {"precision": config.min_precision, "recall": config.min_recall}
    more = _more(config, trained, data, split, result, inputs, sliced, corruptions)
    recorded = record.record(
        run.folder, trained.task, "-".join(filter(None, parts)), result, split, objective,
        trained.temperature, goals, more,
    )  # fmt: skip
    _show(config, run, split, recorded, goals)
    return recorded.metrics


def _show(
    config: EvalConfig, run: RunReader, split: str, recorded: Recorded,
    goals: dict[str, float | None],
) -> None:  # fmt: skip
    """Show an evaluation as it was written."""
    metrics, path = recorded.metrics, recorded.path
    root = getattr(config.data, "root", None)
    label = run_index.data_label(config.data.name, root) or ""
    json_output.show(
        "evaluation",
        {
            **{"run": run.folder.absolute(), "data": config.data.name, "data_root": root},
            **{"split": split, "metrics": metrics},
            **{"file": path, "table": path.with_suffix(".parquet")},
            "curves": {name: path.with_suffix("") / f"{name}.csv" for name in recorded.tables},
        },
        lambda: result_tables.evaluation(metrics, label, split, path, recorded.tables, goals),
    )


def _sliced_columns(
    config: EvalConfig, task: str, examples: Examples
) -> tuple[Sequence[str], dict[str, list[str]]] | None:
    """The ids of the examples, and the columns that they are sliced by; None: by none.

    Raises:
        ConfigError: the task is not evaluated by example, or there is no such column.
    """
    if not config.slices and not config.slices_file:
        return None
    entry = task_entry(task).evaluator
    if entry is None or not entry.scores:
        raise ConfigError(
            f"slices: task={task} has no metrics of single examples.",
            "Slices are for classification, multi_label, regression, token_classification and "
            "question_answering.",
        )
    from fmkit.evaluation.slices import metadata

    columns = metadata.columns_of(config.data, examples, config.slices, config.slices_file)
    return examples.ids, columns


def _corruptions(config: EvalConfig, task: str, modality: str) -> list[str]:
    """The names of the corruptions to evaluate."""
    if not config.corruptions:
        return []
    entry = task_entry(task).evaluator
    if entry is None or not entry.predict_outputs:
        raise ConfigError(
            f"corruptions: task={task} has no single prediction for each example.",
            "Corruptions are for classification, multi_label and regression.",
        )
    from fmkit.evaluation.robustness import corruptions

    return corruptions.names_of(config.corruptions, modality)


def _more(
    config: EvalConfig, trained: Any, data: Dataset, split: str, result: Any, inputs: Any,
    sliced: tuple[Sequence[str], dict[str, list[str]]] | None, corruptions: list[str],
) -> Any:  # fmt: skip
    """Figures and tables of documents, slices and corruptions."""
    from fmkit.evaluation import evaluator
    from fmkit.evaluation.diagnostics.results import Diagnostics
    from fmkit.evaluation.robustness import evaluate as robustness
    from fmkit.evaluation.slices import search as slices
    from fmkit.train import build_model

    metrics, columns = result
    seed, verbose = config.runtime.seed, config.runtime.verbose
    more = Diagnostics()
    if config.by_document:
        from fmkit.evaluation import documents

        texts = data.examples.take(data.splits[split])
        more.add(documents.diagnostics(trained, texts, config.bootstrap, seed, verbose))
    if sliced is not None:
        scores = registry.load(evaluator.evaluator_of(trained.task).scores)(columns)
        more.add(slices.diagnostics(scores, *sliced, config.bootstrap, seed))
    if corruptions:

        def open_loader(examples: Examples) -> Any:
            return build_model.open_loader(
                config.data, config.runtime, examples, trained.task, trained.backbone
            )

        more.add(robustness.diagnostics(inputs, metrics, corruptions, open_loader, verbose))
    return more


def _as_learned(
    config: EvalConfig, data: Dataset, split: str, spec: DataSpec, ignores_classes: bool
) -> tuple[Dataset, Any, np.ndarray | None]:
    """The data in the terms of the run, and its labels as positions in the run's classes.

    The third are the positions of the outputs that have targets, None: all. A class that the split
    lacks, and a number or label that the data has no column of, is a warning.

    Raises:
        DataError: the split has classes or labels that the run does not know.
    """
    from fmkit.data import dataset

    labels, absent, indices = data.examples.labels, [], data.splits[split]
    outputs = None
    if spec.classes and not ignores_classes:
        labels = dataset.match_classes(data.examples, spec.classes, indices)
        missing = np.setdiff1d(np.arange(len(spec.classes)), labels[indices])
        absent = [spec.classes[label] for label in missing]
    if spec.annotations:
        data, outputs = dataset.align_present_annotations(data, spec)
        absent = data.examples.annotations.absent(indices) if data.examples.annotations else []
    if absent:
        names = join_names([ascii(label) for label in absent], 10)
        console.warning(f"{split} has no example of {names}: the figures say nothing about that.")
    if outputs is not None:
        without = [ascii(name) for k, name in enumerate(spec.names) if k not in outputs]
        console.warning(
            f"the data has no {join_names(without, 10)}, which the run learned, too: evaluated is "
            f"{join_names([ascii(spec.names[k]) for k in outputs], 10)}."
        )
    data = dataset.with_grey_range(data, getattr(config.data, "grey_range", None), spec)
    return data, labels, outputs


def _evaluate(
    config: EvalConfig, trained: Any, data: Dataset, split: str, labels: Any,
    outputs: np.ndarray | None, spec: DataSpec, validation: dict[str, Any] | None,
) -> Any:  # fmt: skip
    """Metrics and columns of a split, with progress on stderr, and what they were made of."""
    from fmkit.evaluation import evaluator, reference_model
    from fmkit.evaluation.progress import Progress
    from fmkit.train import build_model, task_data

    parts, entry = (trained.task, trained.backbone), modality_entry(spec.modality)
    data = task_data.prepare_for_task(config.data, config.runtime, data, *parts)
    indices = data.splits[split]
    reference_model.set_reference(trained, config.data, config.runtime, data, {split: indices})
    loader = build_model.open_loader(config.data, config.runtime, data.examples, *parts)
    step, verbose = loader.ordered_batch_size, config.runtime.verbose
    with Progress("eval", entry.plural, len(indices), step, verbose) as progress:
        inputs = evaluator.EvaluationInputs(
            trained.model, loader, indices, data.examples, labels, spec.classes, trained.task,
            config.bootstrap, config.runtime.seed, validation, [progress], trained.inference,
            outputs, temperature=trained.temperature,
        )  # fmt: skip
        return evaluator.evaluate(inputs), inputs


def _data(
    config: EvalConfig, run: RunReader, task: str, objective: str | None
) -> tuple[Dataset, str, str]:
    """The data, the split to evaluate, and the end of the name that its figures get.

    The split of a run is the one on record, by the ids of its examples: a split that is made anew
    after a photo came or went may have examples that the run was trained on.
    """
    from fmkit.data import load

    recorded_config = saved_config.for_objective(run.config(), objective)
    trained_on = saved_config.section(recorded_config, "data")
    compatibility.resolve_labels(trained_on, task)
    seed = trained_on.split_seed if config.data.split_seed is None else config.data.split_seed
    differing = [
        field.name
        for field in dataclasses.fields(config.data)
        if getattr(config.data, field.name) != getattr(trained_on, field.name, None)
    ]
    is_new = not {"name", "root"}.isdisjoint(differing)
    split = config.split or ("all" if is_new else "test")
    recorded = None
    if not is_new and split != "all" and _SPLITTING.isdisjoint(differing):
        recorded = write.recorded_ids(run.folder, "-".join(filter(None, [split, objective])))
    read_config = _without_absent_columns(config.data)
    try:
        data = load.for_evaluation(
            read_config, config.runtime, seed or 0, split if recorded is None else "all"
        )
    except DataError as error:
        raise _with_trained_columns(error, config.data, trained_on) from None
    fingerprint = data.spec.fingerprint
    if is_new:
        return data, split, fingerprint[:8]
    has_changed = fingerprint != run.data(objective).get("fingerprint")
    if has_changed and split != "all":
        recorded = _own_split(data, split, recorded, run.data(objective))
    if recorded is not None:
        data = _recorded_split(data, split, recorded, has_changed)
    elif has_changed and split != "all":
        console.warning(
            "the data has changed since the run was trained, and its splits may have changed, too."
        )
    if has_changed:
        return data, split, fingerprint[:8]
    settings = {name: getattr(config.data, name) for name in differing if name not in _UNUSED}
    return data, split, hashlib.sha256(repr(settings).encode()).hexdigest()[:8] if settings else ""


def _with_trained_columns(error: DataError, data: DataConfig, trained_on: DataConfig) -> DataError:
    """The error with a hint for each column that a table lacks and the run was trained on."""
    from fmkit.data.formats.delimited import ColumnError

    lacks = [cause.missing for cause in causes(error) if isinstance(cause, ColumnError)]
    missing = {name for names in lacks for name in names}
    keys = {
        key: value
        for key, value in vars(data).items()
        if key.endswith("_column") and value in missing and value == getattr(trained_on, key, None)
    }
    if not keys:
        return error
    names = " and ".join(f"{str(value)!r} (data.{key})" for key, value in keys.items())
    settings = " ".join(f"data.{key}=NAME" for key in keys)
    noun = "column" if len(keys) == 1 else "columns"
    return DataError(
        error.message,
        f"The run was trained on a table with {names}. Name this table's {noun}: {settings}",
    )


def _without_absent_columns(data: DataConfig) -> DataConfig:
    """The same config without those of `data.label_columns` that a table lacks, unless it lacks
    all: what it has can be judged."""
    from fmkit.data.findings import UnusableInput
    from fmkit.data.formats import tables

    columns, path = getattr(data, "label_columns", None), Path(str(getattr(data, "root", "")))
    if not columns or not path.is_file():
        return data
    options = {name: getattr(data, name) for name in ("encoding", "quotes") if hasattr(data, name)}
    try:
        rows = itertools.islice(tables.records(path, **options, list_key="data"), _ROWS)
        present = {name for row in rows if isinstance(row.value, dict) for name in row.value}
    except (UnusableInput, ConfigError):  # reported where it is read
        return data
    columns_there = [name for name in columns if name in present]
    changes: dict[str, Any] = {"label_columns": columns_there or columns}
    return dataclasses.replace(data, **changes)


def _own_split(
    data: Dataset, split: str, recorded: set[str] | None, learned: dict[str, Any]
) -> set[str] | None:
    """The ids of a split on record in data that has changed.

    Rows and lines are known by their numbers. Where they may have moved, the data's own splits
    count, if it names some.

    Args:
        learned: what the run recorded of its data.

    Raises:
        DataError: it cannot be known which rows are of the split.
    """
    ids = data.examples.ids
    if not any(map(_NUMBERED.fullmatch, ids if recorded is None else recorded)):
        return recorded
    count = sum(learned.get("counts", {}).values())
    first = data.examples.take(np.arange(min(count, len(ids))))
    if first.fingerprint == learned.get("fingerprint"):  # rows were added at the end
        return recorded
    if data.examples.splits is not None and (data.examples.splits == split).any():
        return {name for name, own in zip(ids, data.examples.splits, strict=True) if own == split}
    raise DataError(
        f"the data has changed since the run was trained, and its rows are known by their numbers: "
        f"some may have moved, so that those of {split} cannot be told from those of training.",
        "Restore it as it was (rows at its end may be new), or evaluate all of it, what the run "
        "was trained on included: split=all",
    )


def _recorded_split(data: Dataset, split: str, recorded: set[str], has_changed: bool) -> Dataset:
    """The data with one split: the examples on record that it still has.

    Raises:
        DataError: it has none of them.
    """
    ids = data.examples.ids
    indices = np.array([index for index, name in enumerate(ids) if name in recorded], np.int64)
    if not len(indices):
        raise DataError(
            f"none of the {plural(len(recorded), 'example')} of {split} on record is still there.",
            "split=all evaluates what the data has now.",
        )
    if has_changed:
        gone = len(recorded) - len(indices)
        lost = f", of which {gone} {'is' if gone == 1 else 'are'} gone" if gone else ""
        console.warning(
            "the data has changed since the run was trained: evaluated are the "
            f"{plural(len(recorded), 'example')} of {split} on record{lost}."
        )
    return dataclasses.replace(data, splits={split: indices})
