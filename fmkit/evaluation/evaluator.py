"""A trained model on labelled or unlabelled examples: figures and a row an example.

N examples, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fmkit.config import registry as rows
from fmkit.config.registry import LOSSES, Evaluator
from fmkit.core import registry
from fmkit.core.errors import FmkitError
from fmkit.core.types import DataSpec
from fmkit.data.examples import Examples
from fmkit.train.task_model import TaskModel


@dataclass(frozen=True)
class EvaluationInputs:
    """What is to be judged, and on what.

    Attributes:
        learner: the trained network.
        loader: batches of `examples`.
        indices: which of them, (N,).
        examples: the data set.
        labels: every example's class in the order of `classes`; other annotations are in
            `examples`, in the order of the run's names.
        classes: names of the outputs.
        task: what was learned.
        bootstrap: resamples behind the intervals.
        seed: of the resampling.
        validation: figures of the run's own validation, for an evaluator that goes by it; empty
            where there are none; None where validation is what is judged.
    """

    learner: TaskModel
    loader: Any
    indices: np.ndarray
    examples: Examples
    labels: np.ndarray
    classes: tuple[str, ...]
    task: Any
    bootstrap: int
    seed: int
    validation: Mapping[str, Any] | None = field(default_factory=dict)


Columns = Callable[[np.ndarray, DataSpec], dict[str, Any]]
"""From the network's outputs, a row an example, and the run's data to columns of a table, of which
`prediction` is one, or several begin so; a row of NaN is an example that could not be read."""


EvaluationResult = tuple[dict[str, Any], dict[str, Any]]
"""Figures as JSON, and columns of a table with a row an example."""


def evaluator_of(task: Any) -> Evaluator:
    """How a task is evaluated: by its row, or that of the task its class derives from."""
    row = rows.task_entry(task.name)
    if row.evaluator is None:  # a plugin's function gives nothing away until it was called
        row = rows.entry_of_class(type(task)) or row
    return row.evaluator or LOSSES


def evaluate(question: EvaluationInputs) -> EvaluationResult:
    """Figures and a table, by what the task asks for.

    Raises:
        DataError: a file of the data is broken.
    """
    evaluator = registry.load(evaluator_of(question.task).evaluate)
    try:
        answer: EvaluationResult = evaluator(question)
    except FmkitError:
        raise
    except Exception as error:
        explained = question.loader.data_error(error)
        if explained is None:
            raise
        raise explained from error
    return answer


def extra_files(task: Any, columns: Mapping[str, Any]) -> dict[str, Any]:
    """What else an evaluation writes, by the end of its name: content of JSON files."""
    made = evaluator_of(task).extra_files
    return {name: registry.load(each)(columns) for name, each in made.items()}


def summary_metrics(task: Any, figures: dict[str, Any]) -> dict[str, Any]:
    """The figures that a run's status and its last table show."""
    chosen = evaluator_of(task).summary
    if chosen:
        return {key: figures[key] for key in chosen if key in figures}
    return {key: value for key, value in figures.items() if isinstance(value, int | float)}


def losses(question: EvaluationInputs) -> EvaluationResult:
    """The task's loss and metrics, for what has no answer to compare with."""
    learner = question.learner
    if not learner.compiled:
        learner.compile(metrics=question.task.metrics())
    batches = question.loader.ordered(question.indices)
    found = learner.evaluate(batches, verbose=0, return_dict=True)
    figures = {name: float(value) for name, value in found.items()}
    return {"n": len(question.indices), **figures}, {}
