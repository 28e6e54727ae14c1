"""The exponential moving average of the weights: it is validated and kept; the raw ones train.

BatchNorm's statistics that training moves are averaged with the weights: those of the raw ones do
not suit the average.
"""

from collections.abc import Mapping
from typing import Any

import keras

from fmkit.models.keras_internals import moving_averages
from fmkit.optim.optimizers import ema_warms_up


def describe_warm_up(decay: float | None, updates: int) -> str:
    """That the average of a phase of so many updates warms up, or nothing."""
    if decay is None or not ema_warms_up(decay, updates):
        return ""
    return (
        f"optimizer.ema={decay:g} averages over about {1 / (1 - decay):,.0f} updates and the phase "
        f"has {updates:,}: the decay warms up, as (1 + t) / (10 + t) at update t while that is less"
    )


def pairs(optimizers: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """Each averaged variable with its average, of an update rule's optimizers by name."""
    # Under mixed_float16 Keras wraps the optimizer.
    inner = [getattr(optimizer, "inner_optimizer", optimizer) for optimizer in optimizers.values()]
    averaging = [optimizer for optimizer in inner if getattr(optimizer, "use_ema", False)]
    return [pair for optimizer in averaging for pair in moving_averages(optimizer)]


class EmaEvaluation(keras.callbacks.Callback):
    """Swaps the raw weights for their average while a `TaskModel` is validated.

    keras.callbacks.SwapEMAWeights does the same, but on TensorFlow by adding and subtracting, so
    that every validation rounds the weights that are trained further.
    """

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Swap the raw weights and their average."""
        for variable, average in pairs(self.model.optimizers):
            raw = keras.ops.copy(keras.ops.convert_to_tensor(variable))
            variable.assign(average)
            average.assign(raw)

    on_test_end = on_test_begin  # swaps them back
