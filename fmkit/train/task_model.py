"""The Keras model that the loop trains: a network whose loss is its task's."""

from __future__ import annotations

from typing import Any

import keras

from fmkit.models.keras_internals import (
    call_operation,
    loss_total,
    per_replica_share,
    run_graph,
    standardize_inputs,
)
from fmkit.tasks.base import Task


class _FiniteSteps(keras.metrics.Metric):
    """How many steps since the last reset began with a sum of losses that is finite.

    One call may make a thousand steps, and Keras tells no more of them than their mean. As that sum
    stays broken from the bad step on, this is that step's number. Counted in float32, since
    TensorFlow keeps whole numbers off the GPU.
    """

    def __init__(self) -> None:
        super().__init__(name="finite_steps", dtype="float32")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, total: Any) -> None:
        """A step begins; `total` is the sum of the losses before it."""
        self.count.assign_add(keras.ops.cast(keras.ops.isfinite(total), "float32"))

    def result(self) -> Any:
        """The count."""
        return self.count


class TaskModel(keras.Model):
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
        self._finite_steps = _FiniteSteps()

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Run the graph; see `settled`."""
        if not training or not self.settled:
            return super().call(inputs, training=training, mask=mask)

        def run(operation: Any) -> Any:
            return call_operation(operation, training=id(operation) not in self.settled)

        return run_graph(self, standardize_inputs(self, inputs), run)

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
                loss = loss + per_replica_share(self, added)
            total = loss_total(self)
            if total is not None:  # compiled
                self._finite_steps.update_state(total)
        return loss

    def evaluate(self, *arguments: Any, **options: Any) -> Any:
        """Keras' own; nothing at all for an epoch cut short: only tracing it may take a minute."""
        return {} if self.is_cut_short else super().evaluate(*arguments, **options)

    def get_metrics_result(self) -> dict[str, Any]:
        """What Keras reports, without what is for `first_nonfinite` alone."""
        found = super().get_metrics_result()
        found.pop(self._finite_steps.name)
        return found

    def first_nonfinite(self) -> int:
        """The first step, counted from 1 since `fit` or the epoch began, whose loss is not finite.

        Means something only once the mean of the losses is not finite, and on one device.
        """
        return int(self._finite_steps.count)
