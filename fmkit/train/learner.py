"""The Keras model that the loop trains: a network whose loss is its task's."""

from __future__ import annotations

from typing import Any

import keras

from fmkit.tasks.base import Task


class Learner(keras.Model):
    """A functional model with a task.

    Args:
        inputs: symbolic input.
        outputs: symbolic output of the task's head.
        task: gives the loss.
    """

    def __init__(self, inputs: Any, outputs: Any, task: Task) -> None:
        super().__init__(inputs=inputs, outputs=outputs, name="learner")
        self.task = task

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
