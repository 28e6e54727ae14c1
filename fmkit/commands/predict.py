"""`fmkit predict`: predict new photos or texts with a finished run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fmkit.commands import launch, plugins, result_tables
from fmkit.config import command_line, saved_config
from fmkit.config.registry import MODALITIES, task_entry
from fmkit.config.schema.commands import PredictConfig
from fmkit.core import console, files, registry
from fmkit.core.errors import ConfigError, DataError
from fmkit.evaluation import write
from fmkit.store import run_dir, run_index
from fmkit.store.run_reader import RunReader


def predict(arguments: Sequence[str]) -> dict[str, Any] | None:
    """Write a table of predictions; its columns by name."""
    line = command_line.parse("predict", arguments)
    return launch.run_command(line, plugins.names(line.value("plugins")), predict_inputs)


def predict_inputs(config: PredictConfig) -> dict[str, Any]:
    """Predict, write the table and print its first rows.

    Raises:
        ConfigError: the run predicts nothing, or the output cannot be written.
        DataError: none of the inputs could be read; the table has the reason for each.
    """
    run = RunReader(run_index.trained(config.run, Path(config.runs_dir)))
    run.warn_if_unfinished()
    plugins.require(run, ("model", "task"), plugins.names())
    is_text = run.data().get("modality") == "text"
    spec = run.spec()  # a damaged run is refused before TensorFlow is imported
    if is_text and not (spec.classes or spec.annotations):
        raise ConfigError(
            f"run {run.id} was not trained on labels, so it predicts none.",
            "To generate text: fmkit generate run=RUN prompt=TEXT. To train a classifier from it: "
            "fmkit finetune init=RUN data=...",
        )
    output = _output(config, run)
    columns, errors, total = (_predict_texts if is_text else _predict_photos)(config, run)
    write.write_table(output, columns)
    for message in errors[:10]:
        console.warning(message)
    if len(errors) == total:
        noun = "text" if is_text else "photo"
        raise DataError(
            f"none of {total} {noun}{'' if total == 1 else 's'} could be read.",
            f"The reasons: {output}",
        )
    result_tables.predictions(columns, len(errors), output)
    return columns


_Predictions = tuple[dict[str, Any], list[str], int]
"""Columns, a message for each input that could not be read, and how many inputs there are."""


def _predict_photos(config: PredictConfig, run: RunReader) -> _Predictions:
    from fmkit.data import predict_inputs

    paths = predict_inputs.list_photos(Path(config.input), config.path_column)
    trained = launch.load_run(run, config.runtime)
    from fmkit.evaluation import predict

    resize = saved_config.section(run.config(), "data").resize
    return *predict.predict_files(trained, paths, resize, config.batch_size), len(paths)


def _predict_texts(config: PredictConfig, run: RunReader) -> _Predictions:
    trained_on = saved_config.section(run.config(), "data")
    task, _ = saved_config.task_of(saved_config.section(run.config(), "task"), None)
    read = task_entry(task.name).read_inputs or MODALITIES["text"].read_inputs
    inputs = registry.load(read)(config, trained_on)
    trained = launch.load_run(run, config.runtime)
    from fmkit.evaluation import predict

    columns = predict.predict_texts(trained, inputs, config.batch_size)
    reasons = zip(inputs.ids, inputs.errors, strict=True)
    return columns, [f"{name}: {why}" for name, why in reasons if why], len(inputs.ids)


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
