"""What each example adds to the metrics of an evaluation, from its table of predictions.

Runs are compared, and slices judged, by these: a metric of any part of the examples, or of two
models on the same ones, follows from the same sums, with one bootstrap for all intervals.

N examples; of tags, sentences.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fmkit.core.bootstrap import ExampleSums, Metrics, Sums
from fmkit.data.content.tags import tag_scheme
from fmkit.evaluation import classification, entity_metrics, multi_label, regression
from fmkit.evaluation.prediction_tables import (
    Columns,
    class_arrays,
    label_arrays,
    number_arrays,
    tag_arrays,
)


@dataclass(frozen=True)
class Scores:
    """Examples with what their metrics are made of.

    Attributes:
        ids: (N,).
        labels: as texts, (N,).
        predictions: as texts, (N,).
        sums: for `metrics`.
        metrics: computes them.
        shown: names of those that are compared, the most telling first.
        errors: how wrong each example is, from 0, (N,).
        error: what `errors` are, in words.
        is_right: (N,) bool; None where a prediction is neither right nor wrong.
        classes: that labels and predictions are of; none of other tasks.
    """

    ids: list[str]
    labels: list[str]
    predictions: list[str]
    sums: ExampleSums
    metrics: Metrics
    shown: tuple[str, ...]
    errors: np.ndarray
    error: str
    is_right: np.ndarray | None = None
    classes: tuple[str, ...] = ()

    def take(self, rows: np.ndarray) -> "Scores":
        """Those of some examples: their positions, or whether each is one of them, (N,) bool."""
        rows = np.arange(len(self.ids))[rows]
        ids, labels, predictions = (
            [column[row] for row in rows] for column in (self.ids, self.labels, self.predictions)
        )
        return replace(
            self,
            ids=ids,
            labels=labels,
            predictions=predictions,
            sums=self.sums.take(rows),
            errors=self.errors[rows],
            is_right=None if self.is_right is None else self.is_right[rows],
        )


def of_classes(columns: Columns, names: Sequence[str] = ()) -> Scores:
    """Scores of one class per example; `names` as in `class_arrays`."""
    labels, probabilities, names = class_arrays(columns, names)
    predicted = probabilities.argmax(axis=1)
    is_right = predicted == labels
    return Scores(
        [*columns["id"]],
        [names[label] for label in labels],
        [names[index] for index in predicted],
        classification.example_sums(labels, predicted, probabilities),
        classification.metrics_of_sums,
        ("accuracy", "macro_f1", "balanced_accuracy", "loss", "expected_calibration_error"),
        (~is_right).astype(np.float64),
        "error rate",
        is_right,
        tuple(names),
    )


def of_labels(columns: Columns) -> Scores:
    """Scores of a yes or no for each label; right is an example with every label right."""
    labels, probabilities, _ = label_arrays(columns)
    predicted = probabilities > 0.5
    errors = (labels != predicted).mean(axis=1)
    return Scores(
        [*columns["id"]], [*columns["label"]], [*columns["prediction"]],
        multi_label.example_sums(labels, predicted, probabilities), multi_label.metrics_of_sums,
        ("micro_f1", "macro_f1", "subset_accuracy", "hamming_loss", "loss"),
        errors, "share of wrong labels", errors == 0,
    )  # fmt: skip


def of_numbers(columns: Columns) -> Scores:
    """Scores of numbers; an error is in standard deviations of the number, their mean."""
    labels, predicted, _ = number_arrays(columns)
    centre, deviation = labels.mean(axis=0), labels.std(axis=0)
    errors = np.abs(predicted - labels) / np.where(deviation > 0, deviation, 1.0)
    return Scores(
        [*columns["id"]], _joined(labels), _joined(predicted),
        regression.example_sums(labels - centre, predicted - centre), regression.metrics_of_sums,
        ("mae", "rmse", "r2", "pearson"),
        errors.mean(axis=1), "mean error in standard deviations",
    )  # fmt: skip


def _joined(numbers: np.ndarray) -> list[str]:
    return [", ".join(f"{value:.6g}" for value in row) for row in numbers]


def of_tags(columns: Columns) -> Scores:
    """Scores of tags, by sentence; right is a sentence with every tag right."""
    labels, predicted, lengths, names = tag_arrays(columns)
    parts = entity_metrics.sentence_parts(
        labels, predicted, np.full(len(labels), np.nan), lengths, len(names), tag_scheme(names)
    )
    starts = np.cumsum(lengths) - lengths
    wrong = np.add.reduceat((labels != predicted).astype(np.float64), starts)
    spans = list(zip(starts, starts + lengths, strict=True))
    shown, guessed = (
        [" ".join(map(str, columns[key][begin:end])) for begin, end in spans]
        for key in ("label", "prediction")
    )
    ids = [columns["id"][start] for start in starts]
    has_entities = "entity_hits" in parts
    return Scores(
        ids, shown, guessed, ExampleSums(parts), entity_metrics.metrics_of_sums,
        ("f1", "precision", "recall", "accuracy") if has_entities
        else ("accuracy", "token_macro_f1"),
        wrong / lengths, "share of wrong words", wrong == 0,
    )  # fmt: skip


def of_answers(columns: Columns) -> Scores:
    """Scores of answers to questions; right is an exact match."""
    names = ("f1", "exact_match")
    values = np.stack([np.asarray(columns[name], np.float64) for name in names], axis=1)

    def means(sums: Sums) -> dict[str, Any]:
        return dict(zip(names, (sums["values"] / sums["n"]).T, strict=True))

    accepted = [" | ".join(map(str, texts)) or "(none)" for texts in columns["answers"]]
    return Scores(
        [*columns["id"]], accepted, [*columns["prediction"]], ExampleSums({"values": values}),
        means, names, 1 - values[:, 0], "1 - F1", values[:, 1] == 1,
    )  # fmt: skip
