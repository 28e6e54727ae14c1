"""Tables of predictions, as `eval/<split>.parquet` has them, as arrays of labels and predictions.

N examples, C classes, L labels, K numbers; of tags N sentences, W words.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fmkit.core.errors import DataError

Columns = Mapping[str, Any]
"""A table by column."""

_PROBABILITY, _LABEL, _PREDICTION = "probability_", "label_", "prediction_"


def class_names(columns: Columns) -> list[str]:
    """The names that a table has probabilities of."""
    return [key.removeprefix(_PROBABILITY) for key in columns if key.startswith(_PROBABILITY)]


def class_arrays(
    columns: Columns, names: Sequence[str] = ()
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Labels (N,), probabilities (N, C) and class names.

    Args:
        columns: of the table.
        names: of the classes, in this order; one that the table lacks has a probability of 0. None
            mean its own.

    Raises:
        DataError: a label is none of the names, so that the table was changed.
    """
    names = list(names) or class_names(columns)
    positions = {name: k for k, name in enumerate(names)}
    unknown = next((name for name in columns["label"] if name not in positions), None)
    if unknown is not None:
        raise DataError(
            f"a table of predictions has the label {unknown!r} and no probability of it."
        )
    labels = np.array([positions[name] for name in columns["label"]], np.int64)
    return labels, _probabilities(columns, names), names


def label_arrays(columns: Columns) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Labels (N, L) bool, probabilities (N, L) and names of the labels."""
    names = [key.removeprefix(_LABEL) for key in columns if key.startswith(_LABEL)]
    labels = np.stack([np.asarray(columns[_LABEL + name], bool) for name in names], axis=1)
    return labels, _probabilities(columns, names), names


def number_arrays(columns: Columns) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Labels (N, K), predictions (N, K) and names of the numbers; one alone has none."""
    if "label" in columns:
        pair = (np.asarray(columns[key], np.float64)[:, None] for key in ("label", "prediction"))
        labels, predicted = pair
        return labels, predicted, [""]
    names = [key.removeprefix(_LABEL) for key in columns if key.startswith(_LABEL)]
    labels, predicted = (
        np.stack([np.asarray(columns[prefix + name], np.float64) for name in names], axis=1)
        for prefix in (_LABEL, _PREDICTION)
    )
    return labels, predicted, names


def tag_arrays(columns: Columns) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Labels and predictions of words (W,), -1 for none, words by sentence (N,), names of tags."""
    sides = [list(columns[key]) for key in ("label", "prediction")]
    names = sorted({tag for side in sides for tag in side if tag is not None})
    positions = {name: k for k, name in enumerate(names)}
    labels, predicted = (
        np.array([positions.get(tag, -1) for tag in side], np.int64) for side in sides
    )
    starts = np.flatnonzero(np.asarray(columns["place"]) == 0)
    return labels, predicted, np.diff(np.append(starts, len(labels))), names


def _probabilities(columns: Columns, names: Sequence[str]) -> np.ndarray:
    missing = np.zeros(len(next(iter(columns.values()))))
    keys = [_PROBABILITY + name for name in names]
    arrays = [np.asarray(columns.get(key, missing), np.float64) for key in keys]
    return np.stack(arrays, axis=1)
