"""What is done with a finished run: judge it, predict with it, let it write."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fmkit.commands import plugins, result_tables
from fmkit.config import compatibility, saved_config
from fmkit.config.schema.commands import EvalConfig, GenerateConfig, PredictConfig
from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import SelfSupervisedConfig
from fmkit.core import console, files, machine, registry, signals
from fmkit.core.errors import ConfigError, DataError
from fmkit.core.types import Message
from fmkit.evaluation import write
from fmkit.store import run_dir, run_index
from fmkit.store.run_reader import RunReader


def evaluate(config: EvalConfig) -> None:
    """Judge a finished run on a split of its data, or on other data."""
    from fmkit.data import dataset, load

    run = RunReader(run_index.trained(config.run, Path(config.runs_dir)))
    run.warn_if_unfinished()
    plugins.require(run, ("model", "task"), plugins.names())
    task, objective = saved_config.task_of(
        saved_config.section(run.config(), "task"), config.objective
    )
    before = saved_config.section(saved_config.for_objective(run.config(), objective), "data")
    place = [getattr(each, "root", None) for each in (before, config.data)]
    is_new = before.name != config.data.name or place[0] != place[1]
    seed = before.split_seed if config.data.split_seed is None else config.data.split_seed
    split = config.split or ("all" if is_new else "test")
    compatibility.resolve_labels(config.data, task.name)
    data = load.for_evaluation(config.data, config.runtime, seed or 0, split)
    name = "-".join(filter(None, [split, objective, data.spec.fingerprint[:8] if is_new else ""]))
    known = run.data(objective).get("fingerprint")
    if not is_new and split != "all" and data.spec.fingerprint != known:
        console.warning("the data has changed since the run was trained; its splits may have, too.")
    classes, learned = data.examples.labels, run.spec(objective)
    if learned.classes and not isinstance(task, SelfSupervisedConfig):  # before TensorFlow, too
        classes = dataset.match_classes(data.examples, learned.classes)
    if learned.annotations:
        data = dataset.align_annotations(data, learned)
    with console.redirect_stderr(run.folder / run_dir.LOG):
        with machine.gc_paused_imports():
            from fmkit.evaluation import evaluator, load_run, reference_model

        trained = load_run.load(run, config.runtime, config.objective)
    data = load_run.prepare_for_task(config.data, config.runtime, data, trained)
    asked = {split: data.splits[split]}
    reference_model.set_reference(trained, config.data, config.runtime, data, asked)
    loader = load_run.open_data(config.data, config.runtime, data, trained)
    found, columns = evaluator.evaluate(
        evaluator.EvaluationInputs(
            trained.learner, loader, data.splits[split], data.examples, classes,
            trained.classes, trained.task, config.bootstrap, config.runtime.seed,
            None if split == "val" and not is_new else load_run.validation(trained, objective),
        )
    )  # fmt: skip
    beside = evaluator.extra_files(trained.task, columns)
    path = write.write_evaluation(run.folder, name, found, columns, beside)
    result_tables.evaluation(found, config.data.name, split, path)


def predict(config: PredictConfig) -> None:
    """Write a table of predictions for new photos or texts.

    Raises:
        DataError: none could be read; the table says why for each.
    """
    run = RunReader(run_index.trained(config.run, Path(config.runs_dir)))
    run.warn_if_unfinished()
    plugins.require(run, ("model", "task"), plugins.names())
    is_text = run.data().get("modality") == "text"
    spec = run.spec()  # a damaged run is told before TensorFlow is imported
    if is_text and not (spec.classes or spec.annotations):
        raise ConfigError(
            f"run {run.id} knows no classes, so it predicts none.",
            "A model that goes on with a text: fmkit generate run=RUN prompt=TEXT. One that "
            "classifies: fmkit finetune init=RUN data=...",
        )
    output = _output(config, run)
    columns, errors, total = (_predict_texts if is_text else _predict_photos)(config, run)
    write.write_table(output, columns)
    for each in errors[:10]:
        console.warning(each)
    if len(errors) == total:
        noun = "texts" if is_text else "photos"
        raise DataError(f"none of {total} {noun} could be read.", f"The reasons: {output}")
    result_tables.predictions(columns, len(errors), output)


_Predicted = tuple[dict[str, Any], list[str], int]
"""Columns of predictions, a message for each photo or text that could not be read, and how many
photos or texts there are."""


def _predict_photos(config: PredictConfig, run: RunReader) -> _Predicted:
    """Predictions for photos."""
    from fmkit.data import predict_inputs

    paths = predict_inputs.list_photos(Path(config.input), config.path_column)
    with console.redirect_stderr(run.folder / run_dir.LOG):
        with machine.gc_paused_imports():
            from fmkit.evaluation import load_run, predict

        trained = load_run.load(run, config.runtime)
    resize = saved_config.section(run.config(), "data").resize
    return *predict.predict_files(trained, paths, resize, config.batch_size), len(paths)


def _predict_texts(config: PredictConfig, run: RunReader) -> _Predicted:
    """Predictions for texts."""
    from fmkit.data import predict_inputs

    before = saved_config.section(run.config(), "data")
    read = registry.load(
        predict_inputs.READERS.get(run.spec().annotations, predict_inputs.READERS[""])
    )
    found = read(config, before)
    with console.redirect_stderr(run.folder / run_dir.LOG):
        with machine.gc_paused_imports():
            from fmkit.evaluation import load_run, predict

        trained = load_run.load(run, config.runtime)
    columns = predict.predict_texts(trained, found, config.batch_size)
    rows = zip(found.ids, found.errors, strict=True)
    return columns, [f"{name}: {why}" for name, why in rows if why], len(found.ids)


def generate(config: GenerateConfig) -> None:
    """Write a text to stdout as a causal language model goes on with it, or answers it.

    Raises:
        ConfigError: there is no such model, or the prompt cannot be read.
    """
    if (config.run is None) == (config.model is None):
        came = "neither was named" if config.run is None else "both were named"
        raise ConfigError(
            f"run and model: {came}.",
            "A finished run: fmkit generate run=RUN prompt=TEXT. A model as it was pretrained: "
            "fmkit generate model=smollm2 prompt=TEXT",
        )
    prompt = _prompt(config)
    writer, model = _pretrained(config) if config.run is None else _trained(config)
    from fmkit.evaluation import generate as writing
    from fmkit.models.tokenizers import chat_template

    sampling = writing.Sampling(
        config.temperature, config.top_k, config.top_p, config.max_tokens, config.seed
    )
    template = getattr(writer.task, "chat", None)
    if config.chat is not None:
        template = chat_template.of(model, writer.tokenizer) if config.chat else None
    if template is None:
        if config.system is not None:
            raise ConfigError(
                f"system: {writer.what} was not trained on conversations.",
                "Add chat=true to write the prompt as one, or leave system out.",
            )
        pieces = writing.generate_text(writer, prompt, sampling)
    else:
        pieces = writing.generate_reply(writer, template, _messages(config, prompt), sampling)
    for piece in pieces:
        signals.raise_if_stopped()
        console.write_stdout(piece)
    console.write_stdout("\n")


def _trained(config: GenerateConfig) -> tuple[Any, ModelConfig]:
    """The model of a finished run, and its config."""
    run = RunReader(run_index.trained(str(config.run), Path(config.runs_dir)))
    run.warn_if_unfinished()
    plugins.require(run, ("model", "task"), plugins.names())
    if run.data().get("modality") != "text":
        raise ConfigError(f"run {run.id} reads photos, so it writes no text.")
    with console.redirect_stderr(run.folder / run_dir.LOG):
        with machine.gc_paused_imports():
            from fmkit.evaluation import generate as writing
            from fmkit.evaluation import load_run

        found = load_run.load(run, config.runtime)
    model = saved_config.section(run.config(), "model")
    return writing.TextGenerator(f"run {run.id}", found.task, found.backbone), model


def _pretrained(config: GenerateConfig) -> tuple[Any, ModelConfig]:
    """A model as it was pretrained, and its config."""
    model: Any = config.model
    with console.redirect_stderr(Path(os.devnull)):
        with machine.gc_paused_imports():
            from fmkit.evaluation import generate as writing
            from fmkit.evaluation import load_run

        backbone, task = load_run.pretrained(model, config.runtime)
    return writing.TextGenerator(f"model {model.name}", task, backbone), model


def _messages(config: GenerateConfig, prompt: str) -> list[Message]:
    """The prompt as a user's message, after the system's where there is one.

    Raises:
        ConfigError: there is no prompt.
    """
    if not prompt.strip():
        raise ConfigError(
            "prompt is missing: it is what the user says.", "Say prompt=TEXT, or input=FILE."
        )
    system = [] if config.system is None else [Message("system", config.system)]
    return [*system, Message("user", prompt)]


def _prompt(config: GenerateConfig) -> str:
    """How the text begins.

    Raises:
        ConfigError: it was said twice.
        DataError: its file cannot be read.
    """
    if config.input is None:
        return config.prompt or ""
    if config.prompt is not None:
        raise ConfigError("prompt and input were both named: one of them is the prompt.")
    try:
        return Path(config.input).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise DataError(f"input: {config.input} cannot be read as UTF-8: {error}.") from error


def _output(config: PredictConfig, run: RunReader) -> Path:
    """The table to write, in a place that can be written."""
    output = run.folder / run_dir.PREDICTIONS / f"{run_dir.new_name()}.csv"
    if config.output is not None:
        output = Path(config.output).expanduser()
    if output.suffix not in (".csv", ".parquet"):
        raise ConfigError(
            f"output: received {config.output!r}. Expected a name in .csv or .parquet."
        )
    wrong = files.why_not_writable(output)
    if wrong:
        raise ConfigError(
            f"output: {output} cannot be written: {wrong}.",
            "Name a file in a folder that you may write: output=FILE",
        )
    if output.exists() and not config.overwrite:
        raise ConfigError(
            f"output: {output} is there already.", "Name another file, or add overwrite=true."
        )
    return output
