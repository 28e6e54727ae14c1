"""Evaluation of a trained model: metrics, and a table with a row for each example.

How a task is evaluated stands in its registry row (`fmkit.config.registry.Evaluator`).

N examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fmkit.config import registry as task_rows
from fmkit.config.registry import LOSSES, Evaluator
from fmkit.core import registry
from fmkit.core.errors import DataError, FmkitError, NonFiniteError, received
from fmkit.data.examples import Examples

if TYPE_CHECKING:  # figures are computed of tables, too, where no framework is loaded
    from fmkit.evaluation.inference import Inference
    from fmkit.train.task_model import TaskModel


@dataclass(frozen=True)
class EvaluationInputs:
    """A trained model, and the examples to evaluate it on.

    Attributes:
        model: the trained network.
        loader: batches of `examples`.
        indices: positions of those that are evaluated, (N,).
        examples: the data set.
        labels: every example's class in the order of `classes`; other annotations are in
            `examples`, in the order of the run's names.
        classes: names of the outputs.
        task: what was learned.
        bootstrap: resamples behind the intervals.
        seed: of the resamples.
        validation: metrics of the run's own validation split, for an evaluator that needs one of
            them; empty where there are none; None where this is the validation split.
        callbacks: of Keras, called with each batch that is predicted.
        inference: what runs `model`; None: Keras.
        outputs: positions of the outputs that the examples have targets for, of labels and numbers
            with a column each; None: all.
        out_of_fold: the network's outputs for the examples that are evaluated, where it has learned
            from these: by heads that had not.
        temperature: by which the outputs are divided, where they are logits.
    """

    model: TaskModel
    loader: Any
    indices: np.ndarray
    examples: Examples
    labels: np.ndarray
    classes: tuple[str, ...]
    task: Any
    bootstrap: int
    seed: int
    validation: Mapping[str, Any] | None = field(default_factory=dict)
    callbacks: Sequence[Any] = ()
    inference: Inference | None = None
    outputs: np.ndarray | None = None
    out_of_fold: np.ndarray | None = None
    temperature: float = 1.0

    @property
    def ids(self) -> list[str]:
        """Of the examples that are evaluated."""
        return [self.examples.ids[index] for index in self.indices]

    def predict(self) -> Any:
        """The network's outputs for the examples that are evaluated, (N, K)."""
        if self.out_of_fold is not None:
            return self.out_of_fold
        from fmkit.evaluation.inference import Inference

        inference = self.inference or Inference(self.model)
        outputs = inference.outputs(self.loader, self.indices, self.callbacks)
        return outputs if self.temperature == 1 else outputs / self.temperature


EvaluationResult = tuple[dict[str, Any], dict[str, Any]]
"""Metrics by name, ready for JSON, and columns of a table with a row for each example. `n` is the
number of examples, unless an evaluator counts something else."""


def evaluator_of(task: Any) -> Evaluator:
    """How a task is evaluated: by its row, or that of the task its class derives from."""
    row = task_rows.task_entry(task.name)
    if row.evaluator is None:  # of a plugin's function nothing is known before it is called
        row = task_rows.entry_of_class(type(task)) or row
    return row.evaluator or LOSSES


def evaluate(inputs: EvaluationInputs) -> EvaluationResult:
    """Metrics and a table, by the task's evaluator.

    Raises:
        DataError: a file of the data is broken.
    """
    evaluator = registry.load(evaluator_of(inputs.task).evaluate)
    try:
        metrics, columns = evaluator(inputs)
    except FmkitError:
        raise
    except Exception as error:
        data_error = inputs.loader.data_error(error)
        if data_error is None:
            raise
        raise data_error from error
    engine = {"engine": inputs.inference.record} if inputs.inference else {}
    return {"n": len(inputs.indices), **metrics, **engine}, columns


def extra_files(task: Any, columns: Mapping[str, Any]) -> dict[str, Any]:
    """More JSON files of an evaluation: content by the end of the file's name."""
    functions = evaluator_of(task).extra_files
    return {name: registry.load(function)(columns) for name, function in functions.items()}


def summary_metrics(task: Any, metrics: dict[str, Any]) -> dict[str, Any]:
    """The metrics that a run's status and its last table show."""
    names = evaluator_of(task).summary
    if names:
        kept = ("n", *names, "intervals", "out_of_fold")
        return {name: metrics[name] for name in kept if name in metrics}
    return {name: value for name, value in metrics.items() if isinstance(value, int | float)}


def losses(inputs: EvaluationInputs) -> EvaluationResult:
    """The task's loss and metrics, for examples without labels to compare with."""
    model = inputs.model
    if not model.compiled:
        model.compile(metrics=inputs.task.metrics())
    batches = inputs.loader.ordered(inputs.indices)
    callbacks = [*inputs.callbacks]
    values = model.evaluate(batches, verbose=0, return_dict=True, callbacks=callbacks)
    return {name: float(value) for name, value in values.items()}, {}


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
