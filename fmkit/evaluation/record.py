"""Write an evaluation with all that follows from it into a run's folder; its temperature."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fmkit.core import files, registry
from fmkit.core.errors import ArtifactError, ConfigError
from fmkit.evaluation import evaluator, write
from fmkit.evaluation.diagnostics.results import VALIDATION, Diagnostics, Predictions
from fmkit.evaluation.evaluator import EvaluationResult
from fmkit.evaluation.feature_distribution import OOD_SCORE
from fmkit.evaluation.prediction_tables import Columns
from fmkit.store.run_reader import RunReader


@dataclass(frozen=True)
class Recorded:
    """An evaluation as it was written.

    Attributes:
        metrics: what the JSON has.
        path: of the JSON.
        tables: of the CSV files beside it, by name.
    """

    metrics: dict[str, Any]
    path: Path
    tables: Mapping[str, Columns] = field(default_factory=dict)


def record(
    folder: Path,
    task: Any,
    name: str,
    result: EvaluationResult,
    split: str,
    objective: str | None = None,
    temperature: float = 1.0,
    goals: Mapping[str, float | None] = MappingProxyType({}),
    more: Diagnostics | None = None,
) -> Recorded:
    """Write `eval/<name>.json`, `.parquet` and the tables in `eval/<name>/`.

    Args:
        folder: the run's.
        task: what it learned.
        name: of the evaluation.
        result: what the evaluator gave.
        split: that was evaluated.
        objective: of a joint run, if it is not the primary one.
        temperature: that the outputs were divided by.
        goals: a precision and a recall that thresholds are asked for, as of `Predictions`.
        more: further figures and tables, such as those of slices.
    """
    metrics, columns = result
    extra_files = evaluator.extra_files(task, columns)
    own_validation = _own_validation(objective)
    validation = None if name == own_validation else write.recorded_columns(folder, own_validation)
    if validation is not None and not {*columns} - {OOD_SCORE} <= {*validation}:
        validation = None  # of other classes, which the run does not have
    breakdowns = evaluator.evaluator_of(task).breakdowns
    breakdown = metrics.get(next((key for key in breakdowns if key in metrics), ""), {})
    predictions = Predictions(split, columns, validation, temperature, goals, tuple(breakdown))
    diagnostics = _diagnostics(task, predictions)
    more = more or Diagnostics()
    metrics |= files.nonfinite_to_none(diagnostics.metrics | more.metrics)
    for key, row in diagnostics.per_name.items():
        breakdown[key] |= files.nonfinite_to_none(row)
    tables = {**diagnostics.tables, **more.tables}
    path = write.write_evaluation(folder, name, metrics, columns, extra_files, tables)
    return Recorded(metrics, path, tables)


def _diagnostics(task: Any, predictions: Predictions) -> Diagnostics:
    code = evaluator.evaluator_of(task).diagnostics
    return registry.load(code)(predictions) if code else Diagnostics()


def _own_validation(objective: str | None) -> str:
    """Name of the evaluation of a run's own validation."""
    return f"{VALIDATION}-{objective}" if objective else VALIDATION


def temperature(run: RunReader, task: Any, objective: str | None = None) -> float:
    """The temperature that suits a run's probabilities: that on record, or fitted for an old run.

    Raises:
        ConfigError: the task has no probabilities, or the run has no validation to fit it on.
        ArtifactError: what is on record cannot be used.
    """
    if not task.has_logits:
        raise ConfigError(
            f"calibrated=true: task={task.name} gives no probabilities that can be calibrated.",
            "Temperature scaling is for classification and multi_label.",
        )
    name = _own_validation(objective)
    scaling = run.validation(objective).get("temperature_scaling")
    if scaling is None:  # of a version before 0.5
        columns = write.recorded_columns(run.folder, name)
        if columns is None:
            raise ConfigError(
                f"calibrated=true: run {run.id} has no validation examples (data.val_fraction), on "
                "which a temperature is fitted."
            )
        scaling = _diagnostics(task, Predictions(VALIDATION, columns)).metrics[
            "temperature_scaling"
        ]
    value = scaling.get("temperature") if isinstance(scaling, dict) else None
    if not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ArtifactError(
            f"run {run.id}: eval/{name}.json: received {value!r} as the temperature. Expected a "
            "number above 0."
        )
    return float(value)
