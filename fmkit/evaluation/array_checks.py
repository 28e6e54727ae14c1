"""Checks of the arrays that metrics are computed from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fmkit.core.errors import DataError, NonFiniteError, received


def check_predictions(predictions: Any, labels: Any, names: Sequence[str], what: str) -> None:
    """Refuse predictions that do not fit the labels, no examples, and NaN or infinite numbers.

    Args:
        predictions: (N, K).
        labels: (N, K).
        names: of the K outputs.
        what: the predictions are, such as `probabilities`.

    Raises:
        DataError: there are no examples, or arrays that do not fit together.
        NonFiniteError: a prediction is NaN or infinite.
    """
    shape = (len(labels), len(names))
    for name, array in ((what, predictions), ("labels", labels)):
        if array.shape != shape:
            raise DataError(received(name, array.shape, f"the shape {shape}: examples, names"))
    require_examples(len(labels))
    require_finite(predictions, what)


def require_examples(count: int) -> None:
    """Refuse a split without examples.

    Raises:
        DataError: there are none.
    """
    if not count:
        raise DataError("There are no examples to evaluate. Name a split that has some.")


def require_finite(predictions: Any, what: str, noun: str = "examples") -> None:
    """Refuse NaN and infinite numbers.

    Raises:
        NonFiniteError: an example has one.
    """
    broken = np.flatnonzero(~np.isfinite(predictions).all(axis=-1))
    if len(broken):
        raise NonFiniteError(
            f"The model's {what} are NaN or infinite for {len(broken):,} of {len(predictions):,} "
            f"{noun}; the first is number {broken[0]}.",
            "Its weights or an input became NaN or infinite: lower the learning rate or use "
            "runtime.precision=float32.",
        )
