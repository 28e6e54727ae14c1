"""Predictions of a trained run for new photos and texts.

N inputs, K outputs per input.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np

from fmkit.config import saved_config
from fmkit.core import registry
from fmkit.core.errors import ConfigError, FmkitError
from fmkit.data.dataset import Dataset
from fmkit.data.examples import Examples
from fmkit.data.images import decode as image_decoding
from fmkit.data.loaders.text_loader import TextLoader
from fmkit.data.predict_inputs import TextInputs
from fmkit.data.predict_photos import PhotoInputs
from fmkit.evaluation import evaluator
from fmkit.evaluation.load_run import LoadedRun, validation
from fmkit.train import task_data

_SPLIT = "all"


def predict_photos(
    trained: LoadedRun, inputs: PhotoInputs, batch_size: int
) -> tuple[dict[str, Any], list[str]]:
    """Predictions for photos; one that cannot be read gets a row with its error.

    For a task that shows features, these are the predictions, a column each.

    Args:
        trained: the run.
        inputs: the photos.
        batch_size: photos per step.

    Returns:
        Columns for `write_table`, and a message for each photo that could not be read.
    """
    image_size, features, model = trained.backbone.image_size, trained.task.features, trained.model
    if image_size is None:
        raise ConfigError(f"run {trained.run.id} reads texts, and input= has photos.")
    resize = saved_config.section(trained.run.config(), "data").resize  # as in training
    grey_range = trained.spec.grey_range
    if features is not None:
        model = keras.Model(trained.model.inputs[0], features)
    outputs = np.full((len(inputs), model.output.shape[-1]), np.nan)
    errors = list(inputs.errors)

    def decode(index: int) -> np.ndarray | None:
        if errors[index]:
            return None
        pixels = inputs.pixels[index] if inputs.pixels else None
        if pixels is not None:
            return image_decoding.from_array(pixels, image_size, resize)
        try:
            return image_decoding.decode(inputs.names[index], image_size, resize, grey_range)
        except FmkitError as error:
            errors[index] = error.message
            return None

    with ThreadPoolExecutor() as pool, trained.progress("images", len(inputs)) as progress:
        for start in range(0, len(inputs), batch_size):
            numbers = range(start, min(start + batch_size, len(inputs)))
            decoded = zip(numbers, pool.map(decode, numbers), strict=True)
            images = {number: image for number, image in decoded if image is not None}
            if images:
                # Padded, so that one traced graph serves every batch.
                batch = np.zeros((batch_size, image_size, image_size, 3), np.float32)
                batch[: len(images)] = list(images.values())
                outputs[list(images)] = np.asarray(model.predict_on_batch(batch))[: len(images)]
            progress.advance(len(numbers))
    columns: dict[str, Any] = {"id" if inputs.pixels else "path": list(inputs.names)}
    messages = [error for error in errors if error]
    if features is None:
        columns |= _output_columns(outputs, trained, errors)
    else:
        columns |= {f"feature_{number}": column for number, column in enumerate(outputs.T)}
        columns |= {"error": errors} if messages else {}
    return _with_own_columns(columns, inputs.columns), messages


def _with_own_columns(columns: dict[str, Any], own: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Columns of predictions with the input's own after the first, which names the rows.

    An `id` of the input's takes the place of ours. Another column with a name of ours gets `input_`
    in front, unless it says the same.
    """
    (key, names), *others = columns.items()
    own = dict(own)
    if key == "id" and "id" in own:
        pairs = zip(own.pop("id"), names, strict=True)
        names = [name if given in (None, "") else given for given, name in pairs]
    merged = {key: names}
    for name, values in own.items():
        ours = columns.get(name)
        if ours is None:
            merged[name] = values
        elif any(one not in (None, other) for one, other in zip(ours, values, strict=True)):
            merged[f"input_{name}"] = values
    return merged | dict(others)


def _output_columns(
    outputs: np.ndarray, trained: LoadedRun, errors: Sequence[str]
) -> dict[str, Any]:
    """Columns of predictions from outputs (N, K); empty in rows of NaN, which could not be read.

    Raises:
        ConfigError: the task predicts nothing for an example.
    """
    is_read = ~np.isnan(outputs).any(axis=1)
    predict = _load_predictor(trained, evaluator.evaluator_of(trained.task).predict_outputs)
    predictions = predict(np.where(is_read[:, None], outputs, 0.0), trained.spec)
    columns: dict[str, Any] = {}
    for name, values in predictions.items():
        if isinstance(values, np.ndarray) and values.dtype.kind == "f":
            columns[name] = np.where(is_read, values, np.nan)
        else:
            pairs = zip(values, is_read, strict=True)
            columns[name] = [value if is_known else None for value, is_known in pairs]
    return columns | ({"error": list(errors)} if any(errors) else {})


def _load_predictor(trained: LoadedRun, code: registry.Code) -> Any:
    """A function of the evaluator.

    Raises:
        ConfigError: it has none.
    """
    if not code:
        raise ConfigError(f"run {trained.run.id}: task={trained.task.name} predicts no labels.")
    return registry.load(code)


def predict_texts(
    trained: LoadedRun, inputs: TextInputs, batch_size: int
) -> tuple[dict[str, Any], list[str]]:
    """Predictions for texts: columns for `write_table`, and why texts could not be read."""
    own = evaluator.evaluator_of(trained.task).predict_texts
    predict = registry.load(own) if own else _predict_rows
    columns: dict[str, Any] = predict(trained, inputs, batch_size)
    if len(columns["id"]) == len(inputs):  # not a row per word
        columns = _with_own_columns(columns, inputs.columns)
    pairs = zip(inputs.ids, inputs.errors, strict=True)
    return columns, [f"{name}: {error}" for name, error in pairs if error]


def _predict_rows(trained: LoadedRun, inputs: TextInputs, batch_size: int) -> dict[str, Any]:
    """One row of predictions for each text."""
    tokenizer, max_length = trained.backbone.tokenizer, trained.backbone.max_length
    if tokenizer is None or max_length is None:
        raise ConfigError(f"run {trained.run.id} reads photos, and input= has texts.")
    readable = np.flatnonzero([not error for error in inputs.errors])
    ids = tuple(inputs.ids[index] for index in readable)
    labels, texts = np.zeros(len(readable), np.int32), inputs.texts.take(readable)
    examples = Examples(ids, labels, trained.spec.classes, texts)
    data = Dataset(examples, {_SPLIT: np.arange(len(readable))}, trained.spec)
    task, all_ids = trained.task, {"id": list(inputs.ids)}
    has_rows = task.input_format == "rows"
    if has_rows and len(readable):
        data = task_data.rows_of(data, task, trained.backbone)
    loader = TextLoader(
        data.examples, data.examples.labels, tokenizer=tokenizer, max_length=max_length,
        prepare_batch=task.prepare_batch, num_inputs=1 + len(task.extra_inputs),
        target_rank=task.target_rank, batch_size=batch_size,
    )  # fmt: skip
    if has_rows:
        columns: dict[str, Any] = {"prediction": []}
        if len(readable):
            predict = _load_predictor(trained, evaluator.evaluator_of(task).predict_rows)
            indices = data.splits[_SPLIT]
            with trained.progress("texts", len(indices), batch_size) as progress:
                columns = predict(
                    evaluator.EvaluationInputs(
                        trained.model, loader, indices, data.examples, data.examples.labels,
                        trained.spec.classes, task, 0, 0, validation(trained), [progress],
                    )
                )  # fmt: skip
        return all_ids | _insert_unreadable(columns, readable, inputs.errors)
    outputs = np.full((len(inputs.ids), trained.model.output.shape[-1]), np.nan)
    if len(readable):
        batches = loader.ordered(data.splits[_SPLIT])
        with trained.progress("texts", len(readable), batch_size) as progress:
            outputs[readable] = trained.model.predict(batches, verbose=0, callbacks=[progress])
    return all_ids | _output_columns(outputs, trained, inputs.errors)


def _insert_unreadable(
    columns: dict[str, Any], readable: np.ndarray, errors: Sequence[str]
) -> dict[str, Any]:
    """Columns of the readable inputs, with rows for the others that have only their error."""
    import pandas as pd

    whole: dict[str, Any] = {}
    for name, values in columns.items():
        column = np.full(len(errors), None, object)
        for index, value in zip(readable, values, strict=True):
            column[index] = value
        is_integer = isinstance(values, np.ndarray) and values.dtype.kind == "i"
        # A nullable type: None would make floats of whole numbers.
        whole[name] = pd.array(column, dtype="Int64") if is_integer else column.tolist()
    return whole | ({"error": list(errors)} if any(errors) else {})
