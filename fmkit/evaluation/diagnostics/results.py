"""What diagnostics are made of, and what they are: figures, and tables for CSV files.

All of it follows from tables of predictions, of the split and of the run's validation, so that old
runs have it, too. What is chosen (temperature, thresholds, widths of intervals) is chosen on
validation and reported on the split; thresholds of a run without validation on the split itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fmkit.evaluation.prediction_tables import Columns

GOALS = (0.9, 0.95, 0.99)
"""Precisions and recalls that thresholds are given for."""
VALIDATION = "val"


@dataclass(frozen=True)
class Predictions:
    """The predictions of a split, and those that thresholds and the like are chosen on.

    Attributes:
        split: its name.
        columns: its table, as `eval/<split>.parquet` has it.
        validation: that of the run's own validation, with all of these columns; None where there is
            none, or this is it.
        temperature: that the logits of `columns` were divided by.
        goals: a further `precision` and `recall` that thresholds are given for, or None.
        names: of the classes, labels or numbers; where the columns say them, these count.
    """

    split: str
    columns: Columns
    validation: Columns | None = None
    temperature: float = 1.0
    goals: Mapping[str, float | None] = field(default_factory=dict)
    names: tuple[str, ...] = ()

    def all_goals(self) -> list[tuple[str, float]]:
        """Pairs of `precision` or `recall` and a value."""
        return [
            (kind, value)
            for kind in ("precision", "recall")
            for value in sorted({*GOALS, self.goals.get(kind) or GOALS[0]})
        ]


@dataclass
class Diagnostics:
    """Figures for `eval/<split>.json`, and tables for CSV files beside it.

    Attributes:
        metrics: by name.
        per_name: figures of each class or label, by name.
        tables: columns by the file's name without its end.
    """

    metrics: dict[str, Any] = field(default_factory=dict)
    per_name: dict[str, dict[str, Any]] = field(default_factory=dict)
    tables: dict[str, Columns] = field(default_factory=dict)

    def add(self, other: "Diagnostics") -> None:
        """Those of another kind, too."""
        self.metrics |= other.metrics
        self.tables |= other.tables
