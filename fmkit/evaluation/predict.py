"""Predictions of a trained run for new photos and texts.

N inputs, K outputs per input.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from fmkit.config import saved_config
from fmkit.core import registry
from fmkit.core.errors import ConfigError, FmkitError
from fmkit.core.machine import available_cores
from fmkit.data.dataset import Dataset
from fmkit.data.examples import Examples
from fmkit.data.images import decode as image_decoding
from fmkit.data.loaders.text_loader import TextLoader
from fmkit.data.predict_inputs import TextInputs
from fmkit.data.predict_photos import PhotoInputs
from fmkit.evaluation import evaluator
from fmkit.evaluation.load_run import LoadedRun, validation
from fmkit.train import task_data
from fmkit.train.features.engine import Engine

_SPLIT = "all"
_BATCHES_AHEAD = 2
"""Batches of photos that are decoded while the network has another one."""


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
    if trained.backbone.image_size is None:
        raise ConfigError(f"run {trained.run.id} reads texts, and input= has photos.")
    model, features = trained.inference.model, trained.task.features
    outputs = np.full((len(inputs), model.output.shape[-1]), np.nan)
    errors = list(inputs.errors)
    # Of one size, so that one traced graph serves every batch.
    batch_size = max(1, min(batch_size, len(inputs)))
    decoded = _decode_ahead(_decoder(trained, inputs, errors), len(inputs), batch_size)
    chosen: Engine | None = None
    with trained.progress("images", len(inputs)) as progress:
        for numbers, images in decoded:
            if numbers:
                chosen = chosen or trained.inference.choose(images, len(inputs))
                outputs[numbers] = chosen.run(images)[0][: len(numbers)]
            progress.advance(batch_size)
    columns: dict[str, Any] = {"id" if inputs.pixels else "path": list(inputs.names)}
    messages = [error for error in errors if error]
    if features is None:
        columns |= _output_columns(outputs, trained, errors)
    else:
        columns |= {f"feature_{number}": column for number, column in enumerate(outputs.T)}
        columns |= {"error": errors} if messages else {}
    return _with_own_columns(columns, inputs.columns), messages


def _decoder(
    trained: LoadedRun, inputs: PhotoInputs, errors: list[str]
) -> Callable[[int], np.ndarray | None]:
    """From a photo's number to its pixels, (S, S, 3) uint8, or None and its error in `errors`."""
    image_size, grey_range = trained.backbone.image_size or 0, trained.spec.grey_range
    resize = saved_config.section(trained.run.config(), "data").resize  # as in training

    def decode(number: int) -> np.ndarray | None:
        if errors[number]:
            return None
        pixels = inputs.pixels[number] if inputs.pixels else None
        if pixels is not None:
            return image_decoding.from_array(pixels, image_size, resize)
        try:
            return image_decoding.decode(inputs.names[number], image_size, resize, grey_range)
        except FmkitError as error:
            errors[number] = error.message
            return None

    return decode


def _decode_ahead(
    decode: Callable[[int], np.ndarray | None], count: int, batch_size: int
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Batches of photos, decoded by threads while the network has those before.

    Yields:
        The numbers of the photos that could be read, and their pixels (B, S, S, 3) uint8; rows
        after those are zero.
    """
    with ThreadPoolExecutor(available_cores()) as pool:
        starts = range(0, count, batch_size)
        waiting: deque[tuple[range, list[Future[np.ndarray | None]]]] = deque()
        for start in [*starts, *[count] * _BATCHES_AHEAD]:
            numbers = range(start, min(start + batch_size, count))
            waiting.append((numbers, [pool.submit(decode, number) for number in numbers]))
            if len(waiting) <= _BATCHES_AHEAD:
                continue
            numbers, futures = waiting.popleft()
            images = {
                number: image
                for number, future in zip(numbers, futures, strict=True)
                if (image := future.result()) is not None
            }
            batch = np.zeros((0,), np.uint8)
            if images:
                first = next(iter(images.values()))
                batch = np.zeros((batch_size, *first.shape), first.dtype)
                batch[: len(images)] = list(images.values())
            yield list(images), batch


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
    readable = np.where(is_read[:, None], outputs, 0.0)
    if trained.temperature != 1:
        readable = readable / trained.temperature
    predictions = predict(readable, trained.spec)
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
        with trained.progress("texts", len(readable), batch_size) as progress:
            indices = data.splits[_SPLIT]
            outputs[readable] = trained.inference.outputs(loader, indices, [progress], once=True)
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
