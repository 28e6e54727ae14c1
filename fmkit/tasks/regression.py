"""Regression: one number per example, or several.

N examples, B batch, K numbers, D features.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import RegressionConfig
from fmkit.core.errors import ConfigError
from fmkit.core.types import DataSpec
from fmkit.models import heads
from fmkit.models.backbone import Backbone
from fmkit.tasks.base import Task
from fmkit.tasks.linear_problems import Numbers
from fmkit.tasks.multi_label import describe_labels


class Regression(Task):
    """Numbers in the user's units; the loss is that of errors in standard deviations.

    The last dense layer gives standard deviations from the mean of the training split, and `Units`,
    the layer after it, turns these into the user's units. So learning rates and losses mean the
    same whatever the unit.

    Targets and outputs are (B, K) float32.

    Raises:
        ConfigError: the data has no numbers.
    """

    name = "regression"
    solvers = ("lbfgs", "cross_validation")

    def __init__(self, config: RegressionConfig, spec: DataSpec) -> None:
        if spec.annotations != "numbers" or not spec.names:
            raise ConfigError(
                f"task.name=regression learns numbers, and the data has {describe_labels(spec)}.",
                "Take data with data.labels=numbers, or task=classification.",
            )
        self._width = len(spec.names)
        moments = [spec.moments.get(name, (0.0, 1.0)) for name in spec.names]
        self._units = Units(np.array(moments, np.float64))
        self._loss = {
            "mse": keras.losses.MeanSquaredError,
            "mae": keras.losses.MeanAbsoluteError,
            "huber": lambda: keras.losses.Huber(delta=config.huber_delta),
        }[config.loss]()

    def targets(self, examples: Any) -> np.ndarray:
        """The numbers in their units, (N, K) float32."""
        return np.asarray(examples.annotations.values, np.float32)

    def head(self, backbone: Backbone, config: ModelConfig) -> Any:
        """Pooling, dropout, an optional hidden layer, a dense layer, and the units: (B, K).

        It begins at the mean of the training split.
        """
        vector = heads.below_logits(backbone, config)
        self.inference_input = heads.logits(self._width)(vector)
        return self._units(self.inference_input)

    def loss(self, targets: Any, outputs: Any, weights: Any, training: bool) -> Any:
        """Mean loss of a batch, by default of squared errors, in deviations."""
        standardise = self._units.standardise
        return self._loss(standardise(targets), standardise(outputs), sample_weight=weights)

    def metrics(self) -> list[Any]:
        """Mean absolute error and root of the mean squared one in the user's units, and R2.

        With several numbers they are the means over them, also where the units differ.
        """
        return [
            keras.metrics.MeanAbsoluteError(name="mae", dtype="float32"),
            RootMeanSquare(self._width),
            R2(self._units, self._width),
        ]

    def linear_problem(self, targets: Any) -> Numbers:
        """A ridge regression."""
        return Numbers(self._units.standardise_array(targets), self._units.to_array)

    def inference(self, outputs: Any) -> Any:
        """Numbers in the user's units, (B, K) float32, by a layer of Keras, not ours."""
        mean, scale = self._units.moments()
        last = keras.layers.Rescaling(
            scale.tolist(), mean.tolist(), dtype="float32", name="numbers"
        )
        return last(outputs)


class Units(keras.layers.Layer):
    """From standard deviations to the user's units: times a scale, plus a mean, both (K,).

    They are weights that never train, so that a checkpoint holds those that its head was trained
    with.

    Args:
        moments: mean and standard deviation of each number, (K, 2); one that never changes has a
            scale of 1.
    """

    def __init__(self, moments: np.ndarray) -> None:
        super().__init__(name="head_units", dtype="float32", autocast=False)
        mean, deviation = moments[:, 0], moments[:, 1]
        # Equal numbers may differ from their mean by rounding.
        constant = deviation <= 1e-12 * np.abs(mean)
        self._initial = mean.tolist(), np.where(constant, 1.0, deviation).tolist()

    def build(self, input_shape: Any) -> None:
        """Add the weights. In `__init__` their paths would not be those of the head."""
        for name, values in zip(("mean", "scale"), self._initial, strict=True):
            weight = self.add_weight(
                shape=(len(values),), initializer="zeros", trainable=False, name=name,
                dtype="float32",
            )  # fmt: skip
            weight.assign(values)
            setattr(self, name, weight)

    def call(self, inputs: Any) -> Any:
        """Numbers in the user's units."""
        return inputs * self.scale + self.mean

    def standardise(self, numbers: Any) -> Any:
        """Numbers in standard deviations from the mean."""
        return (ops.cast(numbers, "float32") - self.mean) / self.scale

    def standardise_array(self, numbers: np.ndarray) -> np.ndarray:
        """`standardise` for an array, in double precision."""
        mean, scale = self.moments()
        return np.asarray((numbers.astype(np.float64) - mean) / scale)

    def to_array(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers in standard deviations as numbers in the user's units."""
        mean, scale = self.moments()
        return np.asarray(numbers * scale + mean)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and scale as they are now, (K,) float64 each."""
        # A variable that is mirrored on several devices does not convert to an array directly.
        mean, scale = (
            np.asarray(ops.convert_to_tensor(weight)).astype(np.float64)
            for weight in (self.mean, self.scale)
        )
        return mean, scale


class RootMeanSquare(keras.metrics.Metric):
    """RMSE: root of the mean squared error of each number, and the mean of these.

    Args:
        width: K.
    """

    def __init__(self, width: int) -> None:
        super().__init__(name="rmse", dtype="float32")
        self._count = self.add_variable((), "zeros", name="count")
        self._errors = self.add_variable((width,), "zeros", name="errors")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch of targets (B, K) and outputs (B, K)."""
        error = ops.cast(y_true, "float32") - ops.cast(y_pred, "float32")
        self._count.assign_add(ops.cast(ops.shape(error)[0], "float32"))
        self._errors.assign_add(ops.sum(ops.square(error), axis=0))

    def result(self) -> Any:
        """The mean of the roots."""
        return ops.mean(ops.sqrt(self._errors / ops.maximum(self._count, 1.0)))


class R2(keras.metrics.Metric):
    """R2, the share of the variance that is explained: the mean over the numbers.

    Keras' own sums squares in the user's units, which cancel where a mean is large, and has no
    variables before the first batch, which a resume must fill.

    Args:
        units: of the numbers.
        width: K.
    """

    def __init__(self, units: Units, width: int) -> None:
        super().__init__(name="r2", dtype="float32")
        self._units = units
        self._count = self.add_variable((), "zeros", name="count")
        self._sum = self.add_variable((width,), "zeros", name="sum")
        self._squares = self.add_variable((width,), "zeros", name="squares")
        self._errors = self.add_variable((width,), "zeros", name="errors")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch of targets (B, K) and outputs (B, K)."""
        labels, outputs = self._units.standardise(y_true), self._units.standardise(y_pred)
        self._count.assign_add(ops.cast(ops.shape(labels)[0], "float32"))
        self._sum.assign_add(ops.sum(labels, axis=0))
        self._squares.assign_add(ops.sum(ops.square(labels), axis=0))
        self._errors.assign_add(ops.sum(ops.square(labels - outputs), axis=0))

    def result(self) -> Any:
        """1 - squared errors / squared distances from the mean; 0 where nothing varies."""
        variance = self._squares - ops.square(self._sum) / ops.maximum(self._count, 1.0)
        shares = 1 - self._errors / ops.maximum(variance, 1e-9)
        return ops.mean(ops.where(variance > 1e-9, shares, ops.zeros_like(shares)))
