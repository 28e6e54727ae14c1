"""Predictions of a finished run for new photos and texts."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

from fmkit.config import saved_config
from fmkit.core import registry
from fmkit.core.errors import ConfigError, FmkitError
from fmkit.data.dataset import Dataset
from fmkit.data.examples import Examples
from fmkit.data.loaders.text_loader import TextLoader
from fmkit.data.predict_inputs import TextInputs
from fmkit.evaluation import evaluator
from fmkit.evaluation.load_run import LoadedRun, validation
from fmkit.train import task_data


def predict_photos(
    trained: LoadedRun, paths: list[str], batch_size: int
) -> tuple[dict[str, Any], list[str]]:
    """Predictions for photos; one that cannot be read gets a row with its error.

    Of a task that shows features they are what is predicted, a column each.

    Args:
        trained: the model.
        paths: the photos.
        batch_size: photos per step.

    Returns:
        Columns for `write_table`, and a message for each photo that could not be read.
    """
    side = trained.backbone.image_size
    if side is None:
        raise ConfigError(f"run {trained.run.id} reads texts, and input= has photos.")
    resize = saved_config.section(trained.run.config(), "data").resize
    shown = trained.task.features
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


def _readable(found: np.ndarray, trained: LoadedRun, errors: Sequence[str]) -> dict[str, Any]:
    """Columns of predictions of outputs (N, K); a row of NaN, which could not be read, has none.

    Raises:
        ConfigError: the task predicts nothing of an example.
    """
    read = ~np.isnan(found).any(axis=1)
    make = registry.load(_predicts(trained, evaluator.evaluator_of(trained.task).predict_outputs))
    columns: dict[str, Any] = {}
    for key, values in make(np.where(read[:, None], found, 0.0), trained.spec).items():
        if isinstance(values, np.ndarray) and values.dtype.kind == "f":
            columns[key] = np.where(read, values, np.nan)
        else:
            columns[key] = [each if ok else None for each, ok in zip(values, read, strict=True)]
    if any(errors):
        columns["error"] = list(errors)
    return columns


def _predicts(trained: LoadedRun, how: str) -> str:
    """The name of the function that makes predictions.

    Raises:
        ConfigError: there is none.
    """
    if not how:
        raise ConfigError(f"run {trained.run.id}: task={trained.task.name} predicts no labels.")
    return how


def predict_texts(
    trained: LoadedRun, inputs: TextInputs, batch_size: int
) -> tuple[dict[str, Any], list[str]]:
    """Predictions for texts: columns for `write_table`, and why texts could not be read."""
    own = evaluator.evaluator_of(trained.task).predict_texts
    make = registry.load(own) if own else _a_row_each
    columns: dict[str, Any] = make(trained, inputs, batch_size)
    reasons = zip(inputs.ids, inputs.errors, strict=True)
    return columns, [f"{name}: {why}" for name, why in reasons if why]


def _a_row_each(trained: LoadedRun, inputs: TextInputs, batch_size: int) -> dict[str, Any]:
    """A row a text, of a task whose outputs are a row of numbers for each."""
    tokenizer, most = trained.backbone.tokenizer, trained.backbone.max_length
    if tokenizer is None or most is None:
        raise ConfigError(f"run {trained.run.id} reads photos, and input= has texts.")
    good = np.flatnonzero([not why for why in inputs.errors])
    ids = tuple(inputs.ids[each] for each in good)
    labels, texts = np.zeros(len(good), np.int32), inputs.texts.take(good)
    examples = Examples(ids, labels, trained.classes, texts)
    data = Dataset(examples, {"all": np.arange(len(good))}, trained.spec)
    has_rows = trained.task.input_format == "rows"
    if has_rows and len(good):
        data = task_data.rows_of(data, trained.task, trained.backbone)
    loader = TextLoader(
        data.examples,
        data.examples.labels,
        tokenizer=tokenizer,
        max_length=most,
        prepare_batch=trained.task.prepare_batch,
        num_inputs=1 + len(trained.task.extra_inputs),
        target_rank=trained.task.target_rank,
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


def _of_rows(trained: LoadedRun, loader: TextLoader, data: Dataset) -> dict[str, Any]:
    """Columns of predictions of a task that makes rows of its own, with a row an example.

    Raises:
        ConfigError: the task predicts nothing of an example.
    """
    make = registry.load(_predicts(trained, evaluator.evaluator_of(trained.task).predict_rows))
    question = evaluator.EvaluationInputs(
        trained.learner, loader, data.splits["all"], data.examples, data.examples.labels,
        trained.classes, trained.task, 0, 0, validation(trained),
    )  # fmt: skip
    columns: dict[str, Any] = make(question)
    return columns


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
    from fmkit.data.images.decode import decode

    try:
        return decode(path, size, resize)
    except FmkitError as error:
        return error.message
