"""A trained model on labelled or unlabelled examples: figures and a row an example.

N examples, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fmkit.core import registry
from fmkit.core.errors import ConfigError, FmkitError, received
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


@dataclass(frozen=True)
class Evaluator:
    """How a kind of task is judged and what it predicts; functions by name, `module:function`.

    Attributes:
        judge: from a `Question` to an `Answer`.
        headline: figures that the status of a run shows, those that there are; none means all
            numbers.
        of_outputs: the `Columns` of a task whose outputs are a row of numbers an example.
        of_rows: of a task that reads `rows`, from a `Question` whose examples have nothing to
            compare with to columns with a row for each of those, in their order.
        of_texts: of a task that predicts more of a text than one row, a function of a
            `loaded.Trained`, texts as `data.inputs` has them, and the batch size, to columns.
        beside: JSON beside figures and table, by what its name ends in: from the table's columns.
        by_validation: whether it goes by what validation found, such as a threshold.
    """

    judge: str
    headline: tuple[str, ...] = ()
    of_outputs: str = ""
    of_rows: str = ""
    of_texts: str = ""
    beside: Mapping[str, str] = field(default_factory=dict)
    by_validation: bool = False


EVALUATORS = {
    "classification": Evaluator(
        "fmkit.evaluation.classification:evaluate",
        ("n", "accuracy", "macro_f1", "loss", "intervals"),
        of_outputs="fmkit.evaluation.classification:predictions",
    ),
    "multi_label": Evaluator(
        "fmkit.evaluation.multi_label:evaluate",
        ("n", "micro_f1", "macro_f1", "subset_accuracy", "loss", "intervals"),
        of_outputs="fmkit.evaluation.multi_label:predictions",
    ),
    "regression": Evaluator(
        "fmkit.evaluation.regression:evaluate",
        ("n", "mae", "rmse", "r2", "loss", "intervals"),
        of_outputs="fmkit.evaluation.regression:predictions",
    ),
    "tags": Evaluator(
        "fmkit.evaluation.token_classification:evaluate",
        ("n", "words", "precision", "recall", "f1", "macro_f1", "accuracy", "token_macro_f1",
         "loss", "intervals"),
        of_texts="fmkit.evaluation.token_classification:predict",
    ),
    "question_answering": Evaluator(
        "fmkit.evaluation.question_answering:evaluate",
        ("n", "exact_match", "f1", "loss", "intervals"),
        of_rows="fmkit.evaluation.question_answering:predict",
        beside={"predictions": "fmkit.evaluation.question_answering:by_id"},
        by_validation=True,
    ),
    "preferences": Evaluator("fmkit.evaluation.preferences:evaluate"),
    "losses": Evaluator("fmkit.evaluation.evaluator:losses"),
}  # fmt: skip
"""By `Task.evaluator`."""


def evaluator_of(task: Any) -> Evaluator:
    """How a task is judged; a plugin's may bring an `Evaluator` of its own in the place of a name.

    Raises:
        ConfigError: it names none that is known.
    """
    if isinstance(task.evaluator, Evaluator):
        return task.evaluator
    if task.evaluator not in EVALUATORS:
        what = f"evaluator of task.name={task.name}"
        raise ConfigError(received(what, task.evaluator, list(EVALUATORS)))
    return EVALUATORS[task.evaluator]


def evaluate(question: EvaluationInputs) -> EvaluationResult:
    """Figures and a table, by what the task asks for.

    Raises:
        DataError: a file of the data is broken.
    """
    evaluator = registry.load(evaluator_of(question.task).judge)
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
    made = evaluator_of(task).beside
    return {name: registry.load(each)(columns) for name, each in made.items()}


def summary_metrics(task: Any, figures: dict[str, Any]) -> dict[str, Any]:
    """The figures that a run's status and its last table show."""
    chosen = evaluator_of(task).headline
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
