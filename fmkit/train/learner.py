"""The Keras model that the loop trains: a network whose loss is its task's."""

from __future__ import annotations

from typing import Any

import keras
from keras.src.models.functional import operation_fn

from fmkit.tasks.base import Task


class Learner(keras.Model):
    """A functional model with a task.

    Args:
        inputs: symbolic input, or a list of them; they may be tensors inside another model.
        outputs: symbolic output of the task's head.
        task: gives the loss.

    Attributes:
        settled: ids of the operations that run in training as they do at inference: those of the
            frozen part of a backbone, whose dropout would only add noise to what it has learned.
    """

    def __init__(self, inputs: Any, outputs: Any, task: Task) -> None:
        super().__init__(inputs=inputs, outputs=outputs, name="learner")
        self.task = task
        self.settled: frozenset[int] = frozenset()

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
        return loss
