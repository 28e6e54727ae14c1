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
    _require_labels(run)
    output = _output(config, run)
    inputs = (_read_texts if _reads_text(run) else _read_photos)(config, run)
    trained = launch.load_run(run, config.runtime)
    columns, errors = _predict(run, trained, inputs, config.batch_size)
    write.write_table(output, columns)
    for message in errors[:10]:
        console.warning(message)
    _require_readable(run, inputs, errors, f"The reasons: {output}")
    result_tables.predictions(columns, len(errors), output)
    return columns


def predict_values(run: RunReader, trained: Any, values: Any, batch_size: int) -> dict[str, Any]:
    """Columns of predictions for values in memory, or for what a path holds; nothing is written.

    Args:
        run: the run.
        trained: its model, from `launch.load_run`.
        values: for a model of photos: their paths, or one path; for a model of texts: a text,
            several texts or pairs of texts, or a `Path`.
        batch_size: inputs per step.

    Raises:
        ConfigError: the run predicts nothing.
        DataError: none of the inputs could be read.
    """
    from fmkit.data import predict_inputs

    _require_labels(run)
    is_text = _reads_text(run)
    if isinstance(values, Path) or (isinstance(values, str) and not is_text):
        config = PredictConfig(str(run.folder), str(values))
        inputs = (_read_texts if is_text else _read_photos)(config, run)
    elif is_text:
        trained_on = saved_config.section(run.config(), "data")
        has_pairs = getattr(trained_on, "pair_column", None) is not None
        inputs = predict_inputs.from_values([values] if isinstance(values, str) else values,
                                            has_pairs)  # fmt: skip
    else:
        inputs = [str(Path(path).absolute()) for path in values]
        if not inputs:
            raise DataError("inputs: received an empty list. Expected paths of photos.")
    columns, errors = _predict(run, trained, inputs, batch_size)
    _require_readable(run, inputs, errors, errors[0] if errors else "")
    return columns


def _reads_text(run: RunReader) -> bool:
    return run.spec().modality == "text"


def _require_labels(run: RunReader) -> None:
    """Refuse a run without labels; a damaged one is refused before TensorFlow is imported."""
    spec = run.spec()
    if _reads_text(run) and not (spec.classes or spec.annotations):
        raise ConfigError(
            f"run {run.id} was not trained on labels, so it predicts none.",
            "To generate text: fmkit generate run=RUN prompt=TEXT. To train a classifier from it: "
            "fmkit finetune init=RUN data=...",
        )


def _require_readable(run: RunReader, inputs: Any, errors: list[str], hint: str) -> None:
    total = len(inputs.ids if _reads_text(run) else inputs)
    if len(errors) == total:
        entry = MODALITIES[run.spec().modality]
        noun = entry.noun if total == 1 else entry.plural
        raise DataError(f"none of {total} {noun} could be read.", hint)


def _read_photos(config: PredictConfig, run: RunReader) -> Any:
    from fmkit.data import predict_inputs

    return predict_inputs.list_photos(Path(config.input), config.path_column)


def _read_texts(config: PredictConfig, run: RunReader) -> Any:
    trained_on = saved_config.section(run.config(), "data")
    task, _ = saved_config.task_of(saved_config.section(run.config(), "task"), None)
    read = task_entry(task.name).read_inputs or MODALITIES["text"].read_inputs
    return registry.load(read)(config, trained_on)


def _predict(
    run: RunReader, trained: Any, inputs: Any, batch_size: int
) -> tuple[dict[str, Any], list[str]]:
    """Columns of predictions, and a message for each input that could not be read."""
    from fmkit.evaluation import predict

    if not _reads_text(run):
        resize = saved_config.section(run.config(), "data").resize
        return predict.predict_files(trained, inputs, resize, batch_size)
    columns = predict.predict_texts(trained, inputs, batch_size)
    reasons = zip(inputs.ids, inputs.errors, strict=True)
    return columns, [f"{name}: {why}" for name, why in reasons if why]


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
