"""Predictions of a trained run for new photos and texts, as columns of a table.

N inputs, K outputs per input.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fmkit.core import registry
from fmkit.core.errors import ConfigError
from fmkit.data.predict_inputs import TextInputs
from fmkit.data.predict_photos import PhotoInputs
from fmkit.evaluation import evaluator, new_inputs
from fmkit.evaluation.feature_distribution import OOD_SCORE
from fmkit.evaluation.load_run import LoadedRun, validation


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
    arrays, errors = new_inputs.photo_outputs(trained, trained.inference, inputs, batch_size)
    columns: dict[str, Any] = {"id" if inputs.pixels else "path": list(inputs.names)}
    messages = [error for error in errors if error]
    if trained.task.features is None:
        columns |= _output_columns(arrays, trained, errors)
    else:
        columns |= {f"feature_{number}": column for number, column in enumerate(arrays[0].T)}
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
    arrays: Sequence[np.ndarray], trained: LoadedRun, errors: Sequence[str]
) -> dict[str, Any]:
    """Columns of predictions from outputs (N, K) and, where the run has scores of them, features.

    They are empty in rows of NaN, which could not be read.

    Raises:
        ConfigError: the task predicts nothing for an example.
    """
    outputs = arrays[0]
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
    if trained.distribution is not None:
        columns[OOD_SCORE] = trained.distribution.scores(arrays[1])
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
    all_ids = {"id": list(inputs.ids)}
    if trained.task.input_format != "rows":
        arrays, _ = new_inputs.text_outputs(trained, trained.inference, inputs, batch_size)
        return all_ids | _output_columns(arrays, trained, inputs.errors)
    columns: dict[str, Any] = {"prediction": []}
    readable = inputs.readable
    if len(readable):
        predict = _load_predictor(trained, evaluator.evaluator_of(trained.task).predict_rows)
        data, loader = new_inputs.text_loader(trained, inputs, batch_size)
        indices = data.splits[new_inputs.SPLIT]
        with trained.progress("texts", len(indices), batch_size) as progress:
            columns = predict(
                evaluator.EvaluationInputs(
                    trained.model, loader, indices, data.examples, data.examples.labels,
                    trained.spec.classes, trained.task, 0, 0, validation(trained), [progress],
                )
            )  # fmt: skip
    return all_ids | _insert_unreadable(columns, readable, inputs.errors)


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
