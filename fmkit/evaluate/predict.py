"""A finished run, loaded again, on new data; and the tables that it writes."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

from fmkit import files, lookup
from fmkit.config import recorded
from fmkit.config.data_schema import DataConfig
from fmkit.config.schema import ModelConfig, RuntimeConfig
from fmkit.config.task_schema import CausalLmConfig, TaskConfig
from fmkit.data.dataset import Dataset
from fmkit.data.examples import Examples
from fmkit.data.inputs import TextInputs
from fmkit.data.text_loader import TextLoader
from fmkit.errors import ConfigError, FmkitError
from fmkit.evaluate import judge
from fmkit.models import adapters
from fmkit.models.backbone import Backbone
from fmkit.spec import DataSpec
from fmkit.store import run as names
from fmkit.store.finished import FinishedRun
from fmkit.tasks import joint
from fmkit.train import ancestor, building, checkpoint, devices, reading
from fmkit.train.learner import Learner


@dataclass(frozen=True)
class Trained:
    """A finished run's model, ready to use."""

    run: FinishedRun
    learner: Learner
    task: Any
    spec: DataSpec
    backbone: Backbone

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the outputs; none where there are none."""
        return self.spec.classes


def load(run: FinishedRun, runtime: RuntimeConfig, objective: str | None = None) -> Trained:
    """Rebuild a run's model from its config and put its best weights in.

    Of a joint run it is the network of one objective, the primary one unless another is named.

    No object is deserialised: names are looked up in tables, and the weights are plain arrays.

    Raises:
        ArtifactError: the run is damaged or has no checkpoint.
    """
    devices.prepare(runtime)
    model, task_config, chosen, objective = examine(run, objective)
    spec = run.spec(objective)
    backbone, task, learner = building.build_model(model, task_config, spec)
    weights = checkpoint.read_weights(chosen)
    if objective is not None:
        weights = joint.weights_of(objective, weights)
    # The states of dropout count up over a network: those of an objective have other names here.
    paths = ancestor.learned(learner) if joint.is_joint(run.config()) else None
    checkpoint.assign(learner, weights, paths)
    adapters.merge(learner)
    return Trained(run, learner, task, spec, backbone)


def pretrained(model: ModelConfig, runtime: RuntimeConfig) -> tuple[Backbone, Any]:
    """A causal language model as it was pretrained, without a run: backbone and task.

    Raises:
        ConfigError: it reads images, or a token sees those after it.
        ArtifactError: its weights could not be loaded.
    """
    devices.prepare(runtime)
    backbone, task, _ = building.build_model(model, CausalLmConfig(), DataSpec("text", (), {}))
    return backbone, task


def examine(
    run: FinishedRun, objective: str | None = None
) -> tuple[ModelConfig, TaskConfig, checkpoint.Checkpoint, str | None]:
    """What a run says of its model, and its best checkpoint; all checked, and nothing built.

    Args:
        run: the run.
        objective: of a joint run; empty means its primary one.

    Returns:
        The model, the task, the checkpoint, and the objective where that is not the primary one.

    Raises:
        ArtifactError: the run is damaged, has no checkpoint, or contradicts itself.
        ConfigError: it has no such objective.
    """
    config = run.config()
    model, task = recorded.section(config, "model"), recorded.section(config, "task")
    task, objective = recorded.task_of(task, objective)
    model.weights = "none"  # the checkpoint has them all
    if run.data().get("modality") == "text":
        model.tokenizer = str(run.folder / names.TOKENIZER)
    if hasattr(task, "class_weights"):
        task.class_weights = "none"  # those of the training examples are not asked for
    chosen = ancestor.best_checkpoint(run)
    spec = run.spec(objective)
    ancestor.check_sizes(chosen, model, len(spec.classes or spec.names))
    return model, task, chosen, objective


def write_evaluation(
    folder: Path,
    name: str,
    figures: dict[str, Any],
    columns: dict[str, Any],
    beside: Mapping[str, Any] | None = None,
) -> Path:
    """Write `eval/<name>.json` and `.parquet` in a run folder; the JSON's path.

    Args:
        folder: the run's.
        name: of the evaluation.
        figures: for the JSON.
        columns: for the table.
        beside: by the end of their names, what goes into `eval/<name>.<end>.json`.
    """
    target = folder / names.EVALUATION
    target.mkdir(exist_ok=True)
    write_table(target / f"{name}.parquet", columns)
    for end, content in (beside or {}).items():
        files.write_json(target / f"{name}.{end}.json", content)
    files.write_json(target / f"{name}.json", figures)
    return target / f"{name}.json"


def write_table(path: Path, columns: dict[str, Any]) -> None:
    """Write columns as `.parquet`, or as CSV for any other suffix; whole or not at all.

    In CSV a text that a spreadsheet would take for a formula (`=`, `+`, `-`, `@` or a tab ahead)
    gets an apostrophe ahead, as OWASP advises against CSV injection. Numbers and parquet stay as
    they are.
    """
    import pandas as pd

    if path.suffix != ".parquet":
        columns = {_harmless(name): list(map(_harmless, each)) for name, each in columns.items()}
    frame = pd.DataFrame(columns)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    if path.suffix == ".parquet":
        frame.to_parquet(temporary, index=False)
    else:
        # The csv module of Python before 3.13 leaves a `\r` outside quotes, where it ends a row.
        texts = (cell for each in columns.values() for cell in each if isinstance(cell, str))
        has_returns = any("\r" in text for text in texts)
        quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if has_returns else csv.QUOTE_MINIMAL
        frame.to_csv(temporary, index=False, errors="backslashreplace", quoting=quoting)
    temporary.replace(path)


def _harmless(cell: Any) -> Any:
    """A cell of a CSV that no spreadsheet takes for a formula."""
    is_formula = isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{cell}" if is_formula else cell


def predict_files(
    trained: Trained, paths: list[str], resize: str, batch_size: int
) -> tuple[dict[str, Any], list[str]]:
    """Predictions for photos; one that cannot be read gets a row with its error.

    Of a task that shows features they are what is predicted, a column each.

    Args:
        trained: the model.
        paths: the photos.
        resize: how a photo becomes square, as in training.
        batch_size: photos per step.

    Returns:
        Columns for `write_table`, and a message for each photo that could not be read.
    """
    side = trained.backbone.image_size
    if side is None:
        raise ConfigError(f"run {trained.run.id} reads texts, and input= has photos.")
    shown = getattr(trained.task, "shown", None)
    network = trained.learner if shown is None else keras.Model(trained.learner.inputs[0], shown)
    width = (trained.learner.output if shown is None else shown).shape[-1]
    found = np.full((len(paths), width), np.nan)
    errors: list[str] = [""] * len(paths)
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(paths), batch_size):
            part = paths[start : start + batch_size]
            decoded = list(pool.map(lambda path: _decoded(path, side, resize), part))
            good = [each for each, image in enumerate(decoded) if not isinstance(image, str)]
            for each, image in enumerate(decoded):
                if isinstance(image, str):
                    errors[start + each] = image
            if good:
                images = np.stack([decoded[each] for each in good]).astype(np.float32)
                rows = np.array(good) + start
                found[rows] = _outputs(network, images, batch_size)
    columns: dict[str, Any] = {"path": paths}
    messages = [each for each in errors if each]
    if shown is not None:
        columns |= {f"feature_{each}": found[:, each] for each in range(width)}
        return (columns | {"error": errors} if messages else columns), messages
    return columns | _readable(found, trained, errors), messages


def _readable(found: np.ndarray, trained: Trained, errors: Sequence[str]) -> dict[str, Any]:
    """Columns of predictions of outputs (N, K); a row of NaN, which could not be read, has none.

    Raises:
        ConfigError: the task predicts nothing of an example.
    """
    read = ~np.isnan(found).any(axis=1)
    make = lookup.load(_predicts(trained, judge.of_task(trained.task).of_outputs))
    columns: dict[str, Any] = {}
    for key, values in make(np.where(read[:, None], found, 0.0), trained.spec).items():
        if isinstance(values, np.ndarray) and values.dtype.kind == "f":
            columns[key] = np.where(read, values, np.nan)
        else:
            columns[key] = [each if ok else None for each, ok in zip(values, read, strict=True)]
    if any(errors):
        columns["error"] = list(errors)
    return columns


def _predicts(trained: Trained, how: str) -> str:
    """The name of the function that makes predictions.

    Raises:
        ConfigError: there is none.
    """
    if not how:
        raise ConfigError(f"run {trained.run.id}: task={trained.task.name} predicts no labels.")
    return how


def predict_texts(trained: Trained, inputs: TextInputs, batch_size: int) -> dict[str, Any]:
    """Predictions for texts: columns for `write_table`, with the error of what cannot be read."""
    own = judge.of_task(trained.task).of_texts
    make = lookup.load(own) if own else _a_row_each
    columns: dict[str, Any] = make(trained, inputs, batch_size)
    return columns


def _a_row_each(trained: Trained, inputs: TextInputs, batch_size: int) -> dict[str, Any]:
    """A row a text, of a task whose outputs are a row of numbers for each."""
    tokenizer, most = trained.backbone.tokenizer, trained.backbone.max_length
    if tokenizer is None or most is None:
        raise ConfigError(f"run {trained.run.id} reads photos, and input= has texts.")
    good = np.flatnonzero([not why for why in inputs.errors])
    ids = tuple(inputs.ids[each] for each in good)
    labels, texts = np.zeros(len(good), np.int32), inputs.texts.take(good)
    examples = Examples(ids, labels, trained.classes, texts)
    data = Dataset(examples, {"all": np.arange(len(good))}, trained.spec)
    has_rows = trained.task.reads == "rows"
    if has_rows and len(good):
        data = reading.rows_of(data, trained.task, trained.backbone)
    loader = TextLoader(
        data.examples,
        data.examples.labels,
        tokenizer=tokenizer,
        max_length=most,
        prepare=trained.task.prepare,
        inputs=1 + len(trained.task.inputs),
        target_rank=getattr(trained.task, "target_rank", 1),
        batch_size=batch_size,
    )
    named = {"id": list(inputs.ids)}
    if has_rows:
        columns = _of_rows(trained, loader, data) if len(good) else {"prediction": []}
        return {**named, **_spread(columns, good, inputs.errors)}
    outputs = np.full((len(inputs.ids), trained.learner.output.shape[-1]), np.nan)
    if len(good):
        outputs[good] = trained.learner.predict(loader.ordered(data.splits["all"]), verbose=0)
    return {**named, **_readable(outputs, trained, inputs.errors)}


def _of_rows(trained: Trained, loader: TextLoader, data: Dataset) -> dict[str, Any]:
    """Columns of predictions of a task that makes rows of its own, with a row an example.

    Raises:
        ConfigError: the task predicts nothing of an example.
    """
    make = lookup.load(_predicts(trained, judge.of_task(trained.task).of_rows))
    question = judge.Question(
        trained.learner, loader, data.splits["all"], data.examples, data.examples.labels,
        trained.classes, trained.task, 0, 0, validation(trained),
    )  # fmt: skip
    columns: dict[str, Any] = make(question)
    return columns


def validation(trained: Trained, objective: str | None = None) -> dict[str, Any]:
    """Figures of a run's own validation, where its task goes by them.

    Args:
        trained: the run.
        objective: of a joint run, one that is not the primary.
    """
    if not judge.of_task(trained.task).by_validation:
        return {}
    return trained.run.validation(objective)


def _spread(columns: dict[str, Any], good: np.ndarray, errors: Sequence[str]) -> dict[str, Any]:
    """Columns of what could be read among all: the others have nothing but their error."""
    import pandas as pd

    spread: dict[str, Any] = {}
    for key, values in columns.items():
        row: list[Any] = [None] * len(errors)
        for place, value in zip(good.tolist(), values, strict=True):
            row[place] = value
        is_whole = getattr(values, "dtype", None) is not None and values.dtype.kind == "i"
        spread[key] = pd.array(row, dtype="Int64") if is_whole else row
    return spread | ({"error": list(errors)} if any(errors) else {})


def _outputs(network: keras.Model, images: np.ndarray, batch_size: int) -> np.ndarray:
    """What a network gives for one batch, padded so that one traced graph serves every batch."""
    count = len(images)
    padded = np.concatenate([images, np.zeros((batch_size - count, *images.shape[1:]), np.float32)])
    return np.asarray(network.predict_on_batch(padded))[:count]


def _decoded(path: str, size: int, resize: str) -> np.ndarray | str:
    from fmkit.data.decode import decode

    try:
        return decode(path, size, resize)
    except FmkitError as error:
        return error.message


def as_read(config: DataConfig, runtime: RuntimeConfig, data: Dataset, trained: Trained) -> Dataset:
    """A data set as a run's task reads it."""
    return reading.as_read(config, runtime, data, trained.task, trained.backbone)


def open_data(config: DataConfig, runtime: RuntimeConfig, data: Dataset, trained: Trained) -> Any:
    """The input pipeline over a data set, as a run's model takes it."""
    return building.open_loader(config, runtime, data.examples, trained.task, trained.backbone)
