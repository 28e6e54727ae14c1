"""`fmkit eval`: evaluate a finished run on a split of its data, or on other data."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fmkit.commands import launch
from fmkit.commands.output import json_output, result_tables
from fmkit.config import compatibility, saved_config
from fmkit.config.registry import task_entry
from fmkit.config.schema.commands import EvalConfig
from fmkit.config.schema.task import SelfSupervisedConfig
from fmkit.core import console, registry
from fmkit.core.errors import ConfigError, join_names, plural
from fmkit.core.modalities import modality_entry
from fmkit.evaluation import run_data
from fmkit.store import run_dir, run_index
from fmkit.store.run_reader import RunReader

if TYPE_CHECKING:
    from fmkit.core.types import DataSpec
    from fmkit.data.dataset import Dataset
    from fmkit.data.examples import Examples
    from fmkit.evaluation.record import Recorded


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
    read = run_data.read_split(run, config.data, config.runtime, config.split, task.name, objective)
    data, split, suffix = read.data, read.split, read.suffix
    spec = run.spec(objective)
    # Before TensorFlow is imported: an unknown class or column is reported at once.
    columns, has_clusters = _without_clusters(config, task.name)
    sliced = _sliced_columns(config, columns, task.name, data.examples.take(data.splits[split]))
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
    trained = _with_features(config, trained, objective, has_clusters, len(data.splits[split]))
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
    more = _more(config, trained, data, split, result, inputs, sliced, has_clusters, corruptions)
    recorded = record.record(
        run.folder, trained.task, "-".join(filter(None, parts)), result, split, objective,
        trained.temperature, goals, more,
    )  # fmt: skip
    _show(config, run, split, recorded, goals)
    return recorded.metrics


def _with_features(
    config: EvalConfig, trained: Any, objective: str | None, has_clusters: bool, count: int
) -> Any:
    """A run whose network gives features beside its outputs, where scores or clusters need them."""
    from fmkit.evaluation import features, out_of_distribution

    if objective is None:
        trained = out_of_distribution.with_scores(trained, config.ood, config.runtime, count)
    if has_clusters and trained.distribution is None:
        extractor = features.FeatureExtractor(trained, outputs_too=True)
        trained = dataclasses.replace(trained, inference=extractor.inference)
    return trained


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
    config: EvalConfig, names: list[str] | None, task: str, examples: Examples
) -> tuple[Sequence[str], dict[str, list[str]]] | None:
    """The ids of the examples, and the columns that they are sliced by; None: by none.

    Raises:
        ConfigError: the task is not evaluated by example, or there is no such column.
    """
    if not names and (not config.slices_file or names is not None):
        return None
    entry = task_entry(task).evaluator
    if entry is None or not entry.scores:
        raise ConfigError(
            f"slices: task={task} has no metrics of single examples.",
            "Slices are for classification, multi_label, regression, token_classification and "
            "question_answering.",
        )
    from fmkit.evaluation.slices import metadata

    columns = metadata.columns_of(config.data, examples, names, config.slices_file)
    return examples.ids, columns


def _without_clusters(config: EvalConfig, task: str) -> tuple[list[str] | None, bool]:
    """The columns to slice by, and whether to slice by clusters of features, too.

    Raises:
        ConfigError: the task has no features of single examples.
    """
    from fmkit.evaluation.slices import clusters

    names, has_clusters = clusters.without(config.slices)
    entry = task_entry(task).evaluator
    if has_clusters and (entry is None or not entry.predict_outputs or not entry.scores):
        raise ConfigError(
            f"slices: task={task} has no single vector of features for an example.",
            "Clusters are for classification, multi_label and regression.",
        )
    return names, has_clusters


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
    sliced: tuple[Sequence[str], dict[str, list[str]]] | None, has_clusters: bool,
    corruptions: list[str],
) -> Any:  # fmt: skip
    """Figures and tables of documents, slices and corruptions."""
    from fmkit.evaluation import evaluator, out_of_distribution
    from fmkit.evaluation.diagnostics.results import Diagnostics
    from fmkit.evaluation.robustness import evaluate as robustness
    from fmkit.evaluation.slices import clusters
    from fmkit.evaluation.slices import search as slices
    from fmkit.train import build_model

    metrics, columns = result
    entry = modality_entry(trained.spec.modality)
    vectors = trained.inference.others[-1] if has_clusters else np.zeros(0)  # of this pass
    out_of_distribution.add(metrics, columns, trained, entry.noun, entry.plural)
    seed, verbose = config.runtime.seed, config.runtime.verbose
    more = Diagnostics()
    if config.by_document:
        from fmkit.evaluation import documents

        texts = data.examples.take(data.splits[split])
        more.add(documents.diagnostics(trained, texts, config.bootstrap, seed, verbose))
    if sliced is not None or has_clusters:
        scores = registry.load(evaluator.evaluator_of(trained.task).scores)(columns)
    if sliced is not None:
        more.add(slices.diagnostics(scores, *sliced, config.bootstrap, seed))
    if has_clusters:
        content: Any = data.examples.take(inputs.indices).content
        text_list = getattr(content, "texts", None)
        more.add(clusters.diagnostics(scores, vectors, text_list, config.bootstrap, seed))
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
