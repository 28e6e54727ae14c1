"""`fmkit predict`: predict new photos or texts with a finished run."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fmkit.commands import launch, typed_settings
from fmkit.commands.output import json_output, result_tables
from fmkit.config import saved_config
from fmkit.config.registry import task_entry
from fmkit.config.schema.commands import PredictConfig
from fmkit.core import console, files, machine, registry
from fmkit.core.errors import ConfigError, DataError, plural
from fmkit.core.modalities import ModalityEntry, modality_entry
from fmkit.evaluation import write
from fmkit.evaluation.feature_distribution import OOD_SCORE
from fmkit.store import run_dir
from fmkit.store.run_reader import RunReader

_SHOWN = 10
"""Predictions in the object of `--json`, and warnings; the table has all."""
_RECORD = "record.jsonl"
"""In the run's predictions/: a row for each table, with what computed it."""


def predict(arguments: Sequence[str]) -> dict[str, Any] | None:
    """Write a table of predictions; its columns by name.

    Args:
        arguments: settings and flags; other words are inputs.
    """
    columns: dict[str, Any] | None = with_inputs(
        "predict", arguments, predict_inputs, "the model that predicts"
    )
    return columns


def with_inputs(
    command: str, arguments: Sequence[str], job: Callable[[Any], Any], what: str
) -> Any:
    """Run a command whose words may be inputs, and settings and flags.

    Args:
        command: its name.
        job: called with the config; its `input` is the list of words, where there are any.
        what: the run is to the command.
    """
    line = launch.parse_line(command, arguments)
    if not line.paths:
        return launch.run_command(command, [*line.flags, *line.words], job)
    if line.value("input") is not None:
        raise ConfigError(
            f"{line.paths[0]!r} and input= both name what to {command}.",
            "Give all of it without input=.",
        )
    typed_settings.require_run(line, what)
    # The config gets a word that Hydra reads; a text may be of any kind.
    return launch.run_command(
        command,
        [*line.flags, *line.words, "input=-"],
        lambda config: job(dataclasses.replace(config, input=line.paths)),
        typed=[*line.words, *line.paths],
    )


def predict_inputs(config: PredictConfig) -> dict[str, Any]:
    """Predict, write the table and print its first rows.

    Raises:
        ConfigError: the run predicts nothing, or the output cannot be written.
        DataError: none of the inputs could be read; the table has the reason for each.
    """
    run = launch.open_run(config.run, config.runs_dir)
    _require_predictions(run)
    output = _output(config, run)
    if config.runtime.verbose:
        console.info(f"predict: with run {run.id}")
    inputs = read_inputs(config, run)
    if config.runtime.verbose:
        console.info(f"predict: {_counted(run, len(inputs))}")
    trained = launch.load_run(run, config.runtime)
    if config.calibrated:
        trained = with_temperature(run, trained)
    trained = with_ood_scores(trained, config.ood, config.runtime, len(inputs))
    columns, errors = registry.load(_modality(run).predict)(trained, inputs, config.batch_size)
    write.write_table(output, columns)  # before an error is raised: it has the reason per input
    count, engine = len(next(iter(columns.values()))), trained.inference.record
    _record(run, {"table": str(output), "rows": count, "errors": len(errors), "engine": engine})
    if config.runtime.verbose and engine["parity"]:
        console.info(f"predict: computed by {engine['name']} ({engine['reason']})")
    for message in errors[:_SHOWN]:
        console.warning(message)
    if len(errors) > _SHOWN:
        console.warning(f"... and {len(errors) - _SHOWN:,} more, in the column `error`")
    _require_readable(run, inputs, errors, f"The reasons: {output}")
    facts = _ood_summary(run, trained, columns)
    first = {name: list(values[:_SHOWN]) for name, values in columns.items()}
    json_output.show(
        "predictions",
        {
            **{
                "run": run.folder.absolute(),
                "table": output,
                "rows": count,
            },
            **{"columns": list(columns), "first": first, "errors": errors, "engine": engine},
            **facts,
        },
        lambda: result_tables.predictions(columns, _modality(run).noun, len(errors), output),
    )
    return columns


def with_temperature(run: RunReader, trained: Any) -> Any:
    """A run's model, from `launch.load_run`, with the temperature that suits its probabilities.

    Raises:
        ConfigError: it gives no probabilities, or there is no validation to fit a temperature on.
    """
    from fmkit.evaluation import record

    return dataclasses.replace(trained, temperature=record.temperature(run, trained.task))


def with_ood_scores(trained: Any, setting: str, runtime: Any, count: int = 0) -> Any:
    """A run's model, from `launch.load_run`, that scores how unlike the training data inputs are.

    Raises:
        ConfigError: `true`, and the run cannot have scores.
        ArtifactError: `true`, and what it keeps for them is damaged.
    """
    from fmkit.evaluation import out_of_distribution

    return out_of_distribution.with_scores(trained, setting, runtime, count)


def _ood_summary(run: RunReader, trained: Any, columns: dict[str, Any]) -> dict[str, Any]:
    """How many inputs are unlike the training data, for JSON; a warning where they are many."""
    if trained.distribution is None:
        return {}
    from fmkit.evaluation import out_of_distribution

    summary = out_of_distribution.summary(columns[OOD_SCORE], trained.distribution)
    entry = _modality(run)
    if text := out_of_distribution.sentence(summary, entry.noun, entry.plural):
        console.warning(text)
    return {"out_of_distribution": summary}


def predict_values(run: RunReader, trained: Any, values: Any, batch_size: int) -> dict[str, Any]:
    """Columns of predictions for values in memory, or for what a path holds; nothing is written.

    Args:
        trained: the run's model, from `launch.load_run`.
        values: a `Path`, or what the modality's `values_to_inputs` takes.

    Raises:
        ConfigError: the run predicts nothing.
        DataError: none of the inputs could be read.
    """
    _require_predictions(run)
    if isinstance(values, Path):
        inputs = read_inputs(PredictConfig(str(run.folder), str(values)), run)
    else:
        convert = registry.load(_modality(run).values_to_inputs)
        inputs = convert(values, saved_config.section(run.config(), "data"))
    columns, errors = registry.load(_modality(run).predict)(trained, inputs, batch_size)
    _require_readable(run, inputs, errors, errors[0] if errors else "")
    return dict(columns)


def _record(run: RunReader, row: dict[str, Any]) -> None:
    """Add a prediction to the run's list of them; a run in a read-only folder has none."""
    path = run.folder / run_dir.PREDICTIONS / _RECORD
    with contextlib.suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        files.append_json_line(path, {"time": machine.local_time(), **row})


def _modality(run: RunReader) -> ModalityEntry:
    return modality_entry(run.spec().modality)


def _require_predictions(run: RunReader) -> None:
    """Refuse a run that predicts nothing, and a damaged one, before TensorFlow is imported."""
    spec = run.spec()
    if not (spec.classes or spec.annotations or _modality(run).predicts_features):
        raise ConfigError(
            f"run {run.id} was not trained on labels, so it predicts none.",
            "To generate text: fmkit generate run=RUN prompt=TEXT. To train a classifier from it: "
            "fmkit finetune init=RUN data=...",
        )


def _require_readable(run: RunReader, inputs: Any, errors: list[str], hint: str) -> None:
    if len(errors) == len(inputs):
        raise DataError(f"none of {_counted(run, len(inputs))} could be read.", hint)


def _counted(run: RunReader, count: int) -> str:
    return plural(count, _modality(run).noun, _modality(run).plural)


def read_inputs(config: PredictConfig, run: RunReader) -> Any:
    """What the command names, by the reader of the run's task or modality.

    Raises:
        ConfigError: the run's modality has none.
        DataError: there is nothing that can be read.
    """
    task, _ = saved_config.task_of(saved_config.section(run.config(), "task"), None)
    entry = _modality(run)
    read = task_entry(task.name).read_inputs or entry.read_inputs
    if not read:
        raise ConfigError(f"run {run.id}: fmkit predict does not read {entry.plural}.")
    return registry.load(read)(config, saved_config.section(run.config(), "data"))


def _output(config: PredictConfig, run: RunReader) -> Path:
    """The table to write, at a path that can be written."""
    output = run.folder / run_dir.PREDICTIONS / f"{run_dir.new_name()}.csv"
    if config.output is not None:
        output = Path(config.output).expanduser()
    if output.suffix not in (".csv", ".parquet"):
        raise ConfigError(
            f"output: received {config.output!r}. Expected a name in .csv or .parquet."
        )
    problem = files.why_not_writable(output)
    if problem:
        raise ConfigError(
            f"output: {output} cannot be written: {problem}.",
            "Name a file in a folder that you may write: output=FILE",
        )
    if output.exists() and not config.overwrite:
        raise ConfigError(
            f"output: {output} exists already.", "Name another file, or add overwrite=true."
        )
    return output
