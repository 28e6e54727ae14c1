"""What the outputs of a run mean: the answer in words, its probability, whether it has turned.

N inputs, K outputs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, softmax

from fmkit.core import registry
from fmkit.evaluation import evaluator
from fmkit.evaluation.load_run import LoadedRun


@dataclass(frozen=True)
class Answers:
    """How outputs (N, K) of a run are read.

    Attributes:
        trained: the run.
        kind: `classes`, `sets` or `numbers`: what the outputs are.
        names: of the outputs, (K,).
    """

    trained: LoadedRun
    kind: str
    names: Sequence[str]

    @classmethod
    def of_run(cls, trained: LoadedRun) -> "Answers":
        """Those of a run whose task predicts something for each example."""
        return cls(trained, trained.spec.annotations or "classes", output_names(trained))

    def targets(self, outputs: np.ndarray, target: int | None = None) -> np.ndarray:
        """The outputs that are explained, (N,): the one that is named, or as `likeliest`."""
        if target is not None:
            return np.full(len(outputs), target)
        return likeliest(self.kind, outputs)

    def values(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Probabilities of the targets, or the numbers themselves; see `values`."""
        return values(self.kind, outputs, targets)

    def in_words(self, outputs: np.ndarray) -> list[str]:
        """What is predicted: a class, labels, or numbers."""
        return answers_in_words(self.trained, outputs)

    def row(self, outputs: np.ndarray, target: int) -> dict[str, Any]:
        """Answer, target and its value of one input, outputs (K,), for JSON."""
        value = self.values(outputs[None], np.array([target]))[0]
        return {
            "prediction": self.in_words(outputs[None])[0],
            "target": self.names[target], "value": float(value),
        }  # fmt: skip

    def sentence(self, row: Mapping[str, Any]) -> str:
        """A row as people read it: `predicted positive, true negative; positive: 97.1%`."""
        truth = f", true {row['truth']}" if "truth" in row else ""
        if self.kind == "numbers" and len(self.names) == 1:
            return f"predicted {row['prediction']}{truth}"
        value = f"{row['value']:.5g}" if self.kind == "numbers" else f"{100 * row['value']:.1f}%"
        return f"predicted {row['prediction']}{truth}; {row['target']}: {value}"

    def margins(self, outputs: np.ndarray, first: np.ndarray, target: int | None) -> np.ndarray:
        """How clearly an answer stands, (N,), below 0 where another one has taken its place.

        Args:
            outputs: (N, K) of an input after some changes; logits.
            first: (K,) of the input as it was.
            target: of classes the one that the answer is to turn into, None for any other; of sets
                the label whose yes or no is to turn, None for the likeliest.
        """
        if self.kind == "sets":
            label = int(first.argmax()) if target is None else target
            sign = 1.0 if first[label] > 0 else -1.0
            return np.asarray(sign * outputs[:, label], np.float64)
        if target is None:
            answer = int(first.argmax())
            others = np.delete(outputs, answer, axis=1).max(axis=1)
            return np.asarray(outputs[:, answer] - others, np.float64)
        others = np.delete(outputs, target, axis=1).max(axis=1)
        return np.asarray(others - outputs[:, target], np.float64)


def likeliest(kind: str, outputs: np.ndarray) -> np.ndarray:
    """What is explained if no target is named, (N,): the largest output, or the first number."""
    if kind == "numbers":
        return np.zeros(len(outputs), np.int64)
    return outputs.argmax(axis=1)


def values(kind: str, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Probabilities of the targets, or the numbers themselves, (N,) float64.

    Args:
        kind: `classes`, `sets` or `numbers`: what the outputs are.
        outputs: (N, K).
        targets: positions, (N,).
    """
    if kind == "classes":
        outputs = softmax(outputs.astype(np.float64), axis=1)
    elif kind == "sets":
        outputs = expit(outputs.astype(np.float64))
    return np.asarray(outputs[np.arange(len(outputs)), targets], np.float64)


def answers_in_words(trained: LoadedRun, outputs: np.ndarray) -> list[str]:
    """What a run predicts by outputs (N, K): a class, labels, or numbers."""
    predict = registry.load(evaluator.evaluator_of(trained.task).predict_outputs)
    columns = predict(outputs.astype(np.float64), trained.spec)
    if "prediction" in columns:
        return [
            f"{value:.5g}" if isinstance(value, float) else str(value) or "no label"
            for value in columns["prediction"]
        ]
    parts = [column for name, column in columns.items() if name.startswith("prediction_")]
    return [", ".join(f"{value:.5g}" for value in row) for row in zip(*parts, strict=True)]


def output_names(trained: LoadedRun) -> Sequence[str]:
    """The classes, labels or numbers that the outputs of a run stand for."""
    return trained.spec.classes or trained.spec.names
