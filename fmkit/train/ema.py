"""The moving average of the weights: what is judged and kept, while the raw ones train."""

from __future__ import annotations

from typing import Any

import keras

from fmkit.models.keras_internals import moving_averages


def pairs(optimizer: Any) -> list[tuple[Any, Any]]:
    """Each trained variable with its average; none without `optimizer.ema`."""
    # Under mixed_float16 Keras wraps the optimizer.
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if optimizer is None or not getattr(optimizer, "use_ema", False):
        return []
    return moving_averages(optimizer)


def finalize(optimizer: Any) -> None:
    """Put the average in the place of the raw weights, for good."""
    for variable, average in pairs(optimizer):
        variable.assign(average)


class EmaEvaluation(keras.callbacks.Callback):
    """Puts the average in the place of the raw weights while a model is validated.

    keras.callbacks.SwapEMAWeights does the same, but on TensorFlow by adding and subtracting, so
    that every validation rounds the weights that go on training.
    """

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """The average goes in."""
        self._swap()

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """The raw weights come back."""
        self._swap()

    def _swap(self) -> None:
        for variable, average in pairs(self.model.optimizer):
            raw = keras.ops.copy(keras.ops.convert_to_tensor(variable))
            variable.assign(average)
            average.assign(raw)
