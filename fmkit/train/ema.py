"""The exponential moving average of the weights: it is validated and kept; the raw ones train."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from fmkit.models.keras_internals import moving_averages


def pairs(optimizers: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """Each trained variable with its average; none without `optimizer.ema`.

    Args:
        optimizers: the optimizers of an update rule, by name.
    """
    return [pair for optimizer in optimizers.values() for pair in _pairs(optimizer)]


def _pairs(optimizer: Any) -> list[tuple[Any, Any]]:
    # Under mixed_float16 Keras wraps the optimizer.
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not getattr(optimizer, "use_ema", False):
        return []
    return moving_averages(optimizer)


def finalize(optimizers: Mapping[str, Any]) -> None:
    """Replace the raw weights by their average, for good."""
    for variable, average in pairs(optimizers):
        variable.assign(average)


class EmaEvaluation(keras.callbacks.Callback):
    """Swaps the raw weights for their average while a `TaskModel` is validated.

    keras.callbacks.SwapEMAWeights does the same, but on TensorFlow by adding and subtracting, so
    that every validation rounds the weights that are trained further.
    """

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Swap the average in."""
        self._swap()

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Swap the raw weights back."""
        self._swap()

    def _swap(self) -> None:
        for variable, average in pairs(self.model.optimizers):
            raw = keras.ops.copy(keras.ops.convert_to_tensor(variable))
            variable.assign(average)
            average.assign(raw)
