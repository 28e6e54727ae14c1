"""The Keras model that the loop trains: a network whose loss is its task's."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from fmkit.models.keras_internals import (
    batch_weight,
    call_operation,
    loss_total,
    per_replica_share,
    record_loss,
    run_graph,
    standardize_inputs,
)
from fmkit.optim.update_rule import UpdateRule
from fmkit.tasks.base import Task
from fmkit.train import devices


class _FiniteSteps(keras.metrics.Metric):
    """How many steps since the last reset ended with a sum of losses that is finite.

    One call may make a thousand steps, of which Keras reports the mean only. As that sum stays
    broken from the bad step on, this is the number of steps before it. Counted in float32, since
    TensorFlow keeps integers off the GPU.
    """

    def __init__(self) -> None:
        super().__init__(name="finite_steps", dtype="float32")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, total: Any) -> None:
        """A step ends; `total` is the sum of the losses."""
        self.count.assign_add(keras.ops.cast(keras.ops.isfinite(total), "float32"))

    def result(self) -> Any:
        """The count."""
        return self.count


class _TrainingAnswers(keras.metrics.Metric):
    """Which examples of the steps since the last reset were answered right, a row a step.

    Nothing is recorded before `resize`.
    """

    def __init__(self) -> None:
        super().__init__(name="training_answers", dtype="float32")
        self.is_recorded = False

    def resize(self, steps: int, batch_size: int) -> None:
        """Have room for so many steps, and record from now on; no steps: record nothing."""
        self.is_recorded = steps > 0
        if self.is_recorded and not self.variables:
            # uint8, since all of it is copied at every step.
            self.rows = self.add_variable(
                (steps * batch_size,), "zeros", dtype="uint8", name="rows"
            )
            self.batch_size = batch_size

    def update_state(self, step: Any, targets: Any, outputs: Any) -> None:
        """Record 1 for each example of which the largest output is the largest target, else 0.

        Args:
            step: number of the row, float32.
            targets: (B, C).
            outputs: logits, (B, C).
        """
        # As Keras' accuracy computes it, so that one graph computes it once.
        is_right = keras.ops.argmax(targets, axis=-1) == keras.ops.argmax(outputs, axis=-1)
        first = keras.ops.cast(step, "int32") * self.batch_size
        places = keras.ops.expand_dims(first + keras.ops.arange(keras.ops.shape(is_right)[0]), 1)
        # On a CPU `slice_update` takes four times as long, 60 microseconds.
        self.rows.assign(
            keras.ops.scatter_update(self.rows, places, keras.ops.cast(is_right, "uint8"))
        )

    def result(self) -> Any:
        """Nothing that is shown."""
        return 0.0

    def read(self) -> np.ndarray:
        """The answers, (steps, batch size) uint8."""
        return np.asarray(keras.ops.convert_to_tensor(self.rows)).reshape(-1, self.batch_size)


class TaskModel(keras.Model):
    """A functional model with a task.

    Args:
        inputs: symbolic input, or a list of them; they may be tensors inside another model.
        outputs: symbolic output of the task's head.
        task: gives the loss.

    Attributes:
        inference_operations: ids of the operations that run in training as they do at inference:
            those of the frozen part of a backbone, where dropout would only add noise to what it
            has learned.
        is_cut_short: a signal ends the epoch, and `fit` is not to validate it.
        update_rule: turns a batch into updates.
        training_answers: right and wrong answers of the epoch, where `resize` made room for them.
        whole_batch: examples of a whole batch where batches, or the parts of one on several
            devices, count by what their mean loss is of; None where each is an update by itself.
    """

    def __init__(self, inputs: Any, outputs: Any, task: Task) -> None:
        super().__init__(inputs=inputs, outputs=outputs, name="task_model")
        self.task = task
        self.inference_operations: frozenset[int] = frozenset()
        self.is_cut_short = False
        self.update_rule = UpdateRule()
        self.whole_batch: int | None = None
        self._finite_steps = _FiniteSteps()
        self.training_answers = _TrainingAnswers()
        self._is_validating = False

    @property
    def optimizers(self) -> Mapping[str, Any]:
        """All optimizers by name; none before `compile` and where a solver trains."""
        return self.update_rule.optimizers

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Run the graph; see `inference_operations`."""
        if not training or not self.inference_operations:
            return super().call(inputs, training=training, mask=mask)

        def run(operation: Any) -> Any:
            return call_operation(
                operation, training=id(operation) not in self.inference_operations
            )

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
        return loss

    def train_step(self, *arguments: Any) -> Any:
        """Train on a batch by the update rule."""
        if self.whole_batch is None:
            return self.update_rule.train_step(self, *arguments)
        _, targets, _ = keras.utils.unpack_x_y_sample_weight(arguments[-1])
        # A whole batch of examples has weight 1: equal ones are averaged without rounding.
        weight = keras.ops.cast(self.task.loss_weight(targets), "float32") / self.whole_batch
        with batch_weight(weight):
            return self.update_rule.train_step(self, *arguments)

    def default_train_step(self, *arguments: Any) -> Any:
        """Keras' own: the gradient of `compute_loss` goes to the optimizer of `compile`."""
        return super().train_step(*arguments)

    def minimize(self, group: str, compute_loss: Callable[[], Any]) -> Any:
        """One update of an update rule that is not the default; on TensorFlow only.

        Args:
            group: name of the optimizer, which updates the variables of its group alone.
            compute_loss: gives the loss, a scalar, which is returned; run once.
        """
        optimizer = self.update_rule.optimizers[group]
        losses = []

        def scaled() -> Any:
            losses.append(compute_loss())
            return optimizer.scale_loss(losses[0])

        variables = self.update_rule.variables[group]
        gradients = devices.gradients(scaled, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return losses[0]

    def finish_step(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any, loss: Any
    ) -> dict[str, Any]:
        """Record a step's loss and metrics, for an update rule that is not the default.

        The run ends where `loss` is not finite; `sample_weight` is (B,) or None.

        Returns:
            Metrics by name, the mean loss of the epoch among them.
        """
        examples = keras.ops.shape(keras.tree.flatten(x)[0])[0]
        record_loss(self, loss, examples)
        metrics: dict[str, Any] = self.compute_metrics(x, y, y_pred, sample_weight)
        return metrics

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Keras' own; counts the step for `first_nonfinite`."""
        if self.training_answers.is_recorded and not self._is_validating:
            # No step is counted after a loss that is not finite, and the run ends there.
            self.training_answers.update_state(self._finite_steps.result(), y, y_pred)
        self._finite_steps.update_state(loss_total(self))
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def test_step(self, *arguments: Any) -> Any:
        """Keras' own; its answers are not those of training."""
        self._is_validating = True  # while it is traced
        try:
            return super().test_step(*arguments)
        finally:
            self._is_validating = False

    def evaluate(self, *arguments: Any, **options: Any) -> Any:
        """Keras' own; nothing for an epoch cut short, since tracing alone may take a minute."""
        return {} if self.is_cut_short else super().evaluate(*arguments, **options)

    def get_metrics_result(self) -> dict[str, Any]:
        """What Keras reports, without the count for `first_nonfinite` and the answers."""
        metrics = super().get_metrics_result()
        for own in (self._finite_steps, self.training_answers):
            metrics.pop(own.name)
        return metrics

    def first_nonfinite(self) -> int:
        """The first step, counted from 1 since `fit` or the epoch began, whose loss is not finite.

        Means something only once the mean of the losses is not finite, and on one device.
        """
        return int(self._finite_steps.count) + 1
