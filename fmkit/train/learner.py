"""The Keras model that the loop trains: a network whose loss is its task's."""

from __future__ import annotations

from typing import Any

import keras
from keras.src.models.functional import operation_fn

from fmkit.tasks.base import Task


class _FirstNonFinite(keras.metrics.Metric):
    """The first step since the last reset whose loss was not finite, counted from 1; 0 for none.

    One call may make a thousand steps, and Keras tells no more of them than their mean. Counted in
    float32, since TensorFlow keeps whole numbers off the GPU.
    """

    def __init__(self) -> None:
        super().__init__(name="first_nonfinite", dtype="float32")
        self.steps = self.add_variable((), "zeros", name="steps")
        self.first = self.add_variable((), "zeros", name="first")

    def update_state(self, loss: Any) -> None:
        """One more step."""
        self.steps.assign(self.steps + 1.0)
        is_first = keras.ops.logical_and(
            self.first == 0.0, keras.ops.logical_not(keras.ops.isfinite(loss))
        )
        self.first.assign(keras.ops.where(is_first, self.steps, self.first))

    def result(self) -> Any:
        """The step's number."""
        return self.first


class Learner(keras.Model):
    """A functional model with a task.

    Args:
        inputs: symbolic input, or a list of them; they may be tensors inside another model.
        outputs: symbolic output of the task's head.
        task: gives the loss.

    Attributes:
        settled: ids of the operations that run in training as they do at inference: those of the
            frozen part of a backbone, whose dropout would only add noise to what it has learned.
        is_cut_short: a signal ends the epoch, and `fit` is not to validate it.
    """

    def __init__(self, inputs: Any, outputs: Any, task: Task) -> None:
        super().__init__(inputs=inputs, outputs=outputs, name="learner")
        self.task = task
        self.settled: frozenset[int] = frozenset()
        self.is_cut_short = False
        self._first_nonfinite = _FirstNonFinite()

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Run the graph; see `settled`."""
        if not training or not self.settled:
            return super().call(inputs, training=training, mask=mask)

        def run(operation: Any) -> Any:
            return operation_fn(operation, training=id(operation) not in self.settled)

        outputs = self._run_through_graph(self._standardize_inputs(inputs), operation_fn=run)
        return outputs[0] if isinstance(outputs, list | tuple) and len(outputs) == 1 else outputs

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The task's loss and, in training, what layers add to it, such as a weight penalty."""
        loss = self.task.loss(y, y_pred, sample_weight, bool(training))
        if training:
            for added in self.losses:
                # Through Keras, since every one of several devices would add the whole of it.
                loss = loss + self._aggregate_additional_loss(added)
            self._first_nonfinite.update_state(loss)
        return loss

    def evaluate(self, *arguments: Any, **options: Any) -> Any:
        """Keras' own; nothing at all for an epoch cut short: only tracing it may take a minute."""
        return {} if self.is_cut_short else super().evaluate(*arguments, **options)

    def get_metrics_result(self) -> dict[str, Any]:
        """What Keras reports, without what is for `since_nonfinite` alone."""
        found = super().get_metrics_result()
        found.pop(self._first_nonfinite.name)
        return found

    def since_nonfinite(self) -> int | None:
        """Training steps since the epoch's first one whose loss was not finite; None for none.

        On several devices at once this means nothing.
        """
        first = int(self._first_nonfinite.first)
        return int(self._first_nonfinite.steps) - first if first else None
