"""A trained model on labelled or unlabelled examples: figures and a row an example.

N examples, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmkit import lookup
from fmkit.data.examples import Examples
from fmkit.errors import FmkitError
from fmkit.evaluate import metrics
from fmkit.spec import DataSpec
from fmkit.train.learner import Learner


@dataclass(frozen=True)
class Question:
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
    """

    learner: Learner
    loader: Any
    indices: np.ndarray
    examples: Examples
    labels: np.ndarray
    classes: tuple[str, ...]
    task: Any
    bootstrap: int
    seed: int


Columns = Callable[[np.ndarray, DataSpec], dict[str, Any]]
"""From the network's outputs, a row an example, and the run's data to columns of a table, of which
`prediction` is one; a row of NaN is an example that could not be read."""

PREDICTIONS = {"classification": "fmkit.evaluate.judge:classes"}
"""By `Task.evaluator`, the `Columns` of a task whose outputs are a row of numbers an example."""


def classes(outputs: np.ndarray, spec: DataSpec) -> dict[str, Any]:
    """Class and probabilities, of logits (N, C)."""
    return columns_of(softmax(outputs), spec.classes)


Answer = tuple[dict[str, Any], dict[str, Any]]
"""Figures as JSON, and columns of a table with a row an example."""

EVALUATORS = {
    "classification": "fmkit.evaluate.judge:classification",
    "losses": "fmkit.evaluate.judge:losses",
    "tags": "fmkit.evaluate.tagging:evaluate",
}
"""By `Task.evaluator`, a function `(Question) -> Answer`."""

HEADLINES = {
    "classification": ("n", "accuracy", "macro_f1", "loss", "intervals"),
    "tags": (
        *("n", "words", "precision", "recall", "f1", "macro_f1"),
        *("accuracy", "token_macro_f1", "loss", "intervals"),
    ),
}
"""Figures that the status of a run shows, those that there are; of an evaluator that is not here,
all numbers."""


def judge(question: Question) -> Answer:
    """Figures and a table, by what the task asks for.

    Raises:
        DataError: a file of the data is broken.
    """
    evaluator = lookup.find("tasks", question.task.evaluator, EVALUATORS)
    try:
        answer: Answer = evaluator(question)
    except FmkitError:
        raise
    except Exception as error:
        explained = question.loader.explain(error)
        if explained is None:
            raise
        raise explained from error
    return answer


def headline(task: Any, figures: dict[str, Any]) -> dict[str, Any]:
    """The figures that a run's status and its last table show."""
    chosen = HEADLINES.get(task.evaluator)
    if chosen is not None:
        return {key: figures[key] for key in chosen if key in figures}
    return {key: value for key, value in figures.items() if isinstance(value, int | float)}


def classification(question: Question) -> Answer:
    """Accuracy and what goes with it; probabilities of each class for each example."""
    found = probabilities(question.learner, question.loader.ordered(question.indices))
    truth, classes = question.labels[question.indices], question.classes
    figures = metrics.classification(
        truth, found, classes, bootstrap=question.bootstrap, seed=question.seed
    )
    ids = [question.examples.ids[each] for each in question.indices]
    names = [classes[each] for each in truth]
    return figures, {"id": ids, "label": names, **columns_of(found, classes)}


def losses(question: Question) -> Answer:
    """The task's loss and metrics, for what has no answer to compare with."""
    learner = question.learner
    if not learner.compiled:
        learner.compile(metrics=question.task.metrics())
    batches = question.loader.ordered(question.indices)
    found = learner.evaluate(batches, verbose=0, return_dict=True)
    figures = {name: float(value) for name, value in found.items()}
    return {"n": len(question.indices), **figures}, {}


def probabilities(learner: Learner, batches: Any) -> np.ndarray:
    """Class probabilities (N, C), float64, of batches whose first part are inputs."""
    return softmax(learner.predict(batches, verbose=0))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (N, C), float64, of logits (N, C)."""
    exact = np.asarray(logits, np.float64)
    exponents = np.exp(exact - exact.max(axis=1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))


def columns_of(found: np.ndarray, classes: tuple[str, ...]) -> dict[str, Any]:
    """Columns of a table of predictions from probabilities (N, C)."""
    best = found.argmax(axis=1)
    return {
        "prediction": [classes[each] for each in best],
        "confidence": found[np.arange(len(found)), best],
        **{f"probability_{name}": found[:, each] for each, name in enumerate(classes)},
    }
