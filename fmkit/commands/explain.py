"""`fmkit explain`: what the predictions of a finished run are based on."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.commands import launch, predict
from fmkit.commands.output import json_output, result_tables
from fmkit.config import saved_config
from fmkit.config.registry import Evaluator, task_entry
from fmkit.config.schema.commands import ExplainConfig, PredictConfig
from fmkit.core import console, files, machine, registry
from fmkit.core.errors import ConfigError, DataError, plural, received
from fmkit.core.modalities import modality_entry
from fmkit.explain import methods
from fmkit.store import run_dir
from fmkit.store.run_reader import RunReader

_OF_A_SPLIT = 16
"""Examples of a split that are explained by default."""
_FILE = "explanations.json"
_READING = ("path_column", "image_root", "text_column", "pair_column")
"""Keys that say how inputs are read, as those of `fmkit predict`."""


def explain(arguments: Sequence[str]) -> dict[str, Any] | None:
    """Explain predictions; what `explanations.json` has.

    Args:
        arguments: settings and flags; other words are inputs.
    """
    content: dict[str, Any] | None = predict.with_inputs(
        "explain", arguments, explain_inputs, "the model to explain"
    )
    return content


def explain_inputs(config: ExplainConfig) -> dict[str, Any]:
    """Explain predictions, write pictures and `explanations.json`, and print a table.

    Raises:
        ConfigError: the run, its task or its model cannot be explained so.
        DataError: none of the inputs could be read.
    """
    run = launch.open_run(config.run, config.runs_dir)
    target = _check(config, run)
    folder = _output(config, run)
    ids, inputs, truths = _inputs(config, run)
    entry = modality_entry(run.spec().modality)
    trained = launch.load_run(run, config.runtime)
    name = methods.choose(config.method, trained)
    method = methods.METHODS[run.spec().modality][name]
    if config.runtime.verbose:
        counted = plural(len(ids), entry.noun, entry.plural)
        console.info(f"explain: {counted} by {method.title}, with run {run.id}")
    folder.mkdir(parents=True, exist_ok=True)
    request = methods.Request(trained, inputs, ids, truths, target, config, name, folder)
    result = registry.load(method.explain)(request)
    content = {
        "schema": 1, "run": str(run.folder.absolute()), "time": machine.local_time(),
        "method": name, "title": method.title, "source": method.source,
        "modality": run.spec().modality, "split": _split(config), "target": config.target,
        "explanations": result.rows, "check": result.check, "notes": result.notes,
    }  # fmt: skip
    files.write_json(folder / _FILE, content)
    errors = [str(row["error"]) for row in result.rows if "error" in row]
    for message in errors[:10]:
        console.warning(message)
    if len(errors) == len(ids):
        counted = plural(len(ids), entry.noun, entry.plural)
        raise DataError(f"none of {counted} could be read.", errors[0])
    json_output.show(
        "explanations",
        {"folder": folder, "file": folder / _FILE, **content},
        lambda: result_tables.explanations(result, entry.noun, entry.plural, folder),
    )
    return content


def _check(config: ExplainConfig, run: RunReader) -> int | None:
    """Refuse what cannot be explained before TensorFlow is imported; the target's position."""
    if config.input is not None and config.split is not None:
        raise ConfigError(
            "input and split were both named: name one of them.",
            "input= explains new files, split=test examples of the run's data.",
        )
    spec = run.spec()
    _evaluator(run)
    if problem := methods.wrong_modality(config.method, spec.modality):
        raise ConfigError(f"method={config.method}: {problem}")
    method = methods.METHODS[spec.modality].get(config.method)  # None: `auto`
    if config.check and method is not None and not method.compute:
        raise ConfigError(
            f"check=true: method={config.method} gives no scores that could be checked.",
            "It is for methods that score the parts of an input, such as method=occlusion.",
        )
    if config.target is None:
        return None
    return methods.target_position(config.target, spec.classes or spec.names)


def _evaluator(run: RunReader) -> Evaluator:
    """How the run's task is evaluated.

    Raises:
        ConfigError: it has no prediction for each example that could be explained.
    """
    task, _ = saved_config.task_of(saved_config.section(run.config(), "task"), None)
    evaluator = task_entry(task.name).evaluator
    if evaluator is None or not evaluator.predict_outputs:
        raise ConfigError(
            f"run {run.id}: task={task.name} has no single prediction for each example.",
            "Explained are classification, multi_label and regression.",
        )
    return evaluator


def _split(config: ExplainConfig) -> str | None:
    return None if config.input is not None else config.split or "test"


def _inputs(config: ExplainConfig, run: RunReader) -> tuple[list[str], Any, list[str]]:
    """Names, inputs, and of a split what would be right."""
    split = _split(config)
    if split is not None:
        return _of_split(config, run, split)
    reading = {key: getattr(config, key) for key in _READING}
    inputs = predict.read_inputs(PredictConfig(config.run, config.input or "", **reading), run)
    ids = list(getattr(inputs, "ids", ())) or list(inputs.names)
    if config.limit is not None and config.limit < len(ids):
        inputs, ids = _first(inputs, config.limit), ids[: config.limit]
    return ids, inputs, []


def _first(inputs: Any, count: int) -> Any:
    """The first inputs, `PhotoInputs` or `TextInputs`."""
    parts: dict[str, Any] = {}
    for field in dataclasses.fields(inputs):
        value = getattr(inputs, field.name)
        if isinstance(value, Mapping):
            parts[field.name] = {name: column[:count] for name, column in value.items()}
        elif isinstance(value, tuple):
            parts[field.name] = value[:count]
        elif value is not None:
            parts[field.name] = value.take(np.arange(count))
    return dataclasses.replace(inputs, **parts)


def _of_split(
    config: ExplainConfig, run: RunReader, split: str
) -> tuple[list[str], Any, list[str]]:
    """Examples of a split of the run's data, mistakes first, those that it was surest of ahead.

    Where the run has no predictions of the split on record, they are in their order.
    """
    from fmkit.evaluation import run_data

    task_evaluator = _evaluator(run)
    with console.announce_slow("reading the examples"):
        read = run_data.read_own_split(run, config.runtime, split)
    examples = read.data.examples.take(read.data.splits[read.split])
    rows, truths = _by_mistake(run, split, task_evaluator, list(examples.ids))
    rows = rows[: config.limit or _OF_A_SPLIT]
    chosen = examples.take(np.array(rows, np.int64))
    inputs = registry.load(modality_entry(run.spec().modality).examples_to_inputs)(chosen)
    return list(chosen.ids), inputs, [truths[row] for row in rows] if truths else []


def _by_mistake(
    run: RunReader, split: str, evaluator: Evaluator, ids: Sequence[str]
) -> tuple[list[int], list[str]]:
    """Positions of examples, mistakes first, and what would be right for each; see `_of_split`."""
    from fmkit.evaluation import write

    columns = write.recorded_columns(run.folder, split) if evaluator.scores else None
    if columns is None:
        return list(range(len(ids))), []
    scores = registry.load(evaluator.scores)(columns)
    sureness = np.asarray(columns.get("confidence", np.zeros(len(scores.ids))), np.float64)
    # Of right answers those that it was least sure of.
    order = np.lexsort((np.where(scores.errors > 0, -sureness, sureness), -scores.errors))
    positions = {name: number for number, name in enumerate(ids)}
    known = [row for row in order if scores.ids[row] in positions]
    truths = [""] * len(ids)
    for row in known:
        truths[positions[scores.ids[row]]] = str(scores.labels[row])
    return [positions[scores.ids[row]] for row in known], truths


def _output(config: ExplainConfig, run: RunReader) -> Path:
    """A folder for the results that is not there yet, or empty."""
    if config.output is None:
        return run.folder / run_dir.EXPLANATIONS / run_dir.new_name()
    folder = Path(config.output).expanduser()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            received("output", files.display_path(folder), "a folder that is new or empty")
        )
    if reason := files.why_not_writable(folder / _FILE):
        raise ConfigError(f"output={files.display_path(folder)} cannot be written: {reason}.")
    return folder
