"""A run as its report reads it: every file that there is, and nothing fails for one that is not."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fmkit.config import registry
from fmkit.config.registry import LOSSES, Evaluator
from fmkit.core import safe_io
from fmkit.core.errors import FmkitError
from fmkit.store import run_content, run_dir, run_index
from fmkit.store.run_index import RunSummary
from fmkit.store.run_reader import RunReader

_MAX_TABLE = 512 * 2**20  # bytes of a table of predictions that a report reads
_FIRST_COLUMNS = ("id", "label", "prediction", "confidence")


@dataclass(frozen=True)
class RunRecord:
    """Reads a run's folder; what is missing or damaged is empty."""

    folder: Path

    @cached_property
    def summary(self) -> RunSummary:
        """The checked status."""
        return run_index.read(self.folder)

    @cached_property
    def status(self) -> dict[str, Any]:
        """All that status.json says, with the id and the state as lists of runs show them."""
        return run_index.record(self.folder)

    @cached_property
    def reader(self) -> RunReader:
        """What reads its files and raises."""
        return RunReader(self.folder)

    @cached_property
    def config(self) -> dict[str, Any]:
        """The config."""
        try:
            return self.reader.config()
        except FmkitError:
            return {}

    @cached_property
    def flat_config(self) -> dict[str, Any]:
        """The config by full key."""
        try:
            return run_content.flat(self.config)
        except FmkitError:
            return {}

    @cached_property
    def overrides(self) -> list[str]:
        """What the user typed."""
        return self.reader.overrides()

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Versions, hardware, data and weights."""
        return self.json(run_dir.ENVIRONMENT)

    @cached_property
    def data(self) -> dict[str, Any]:
        """What the data looked like: classes, counts, fingerprints."""
        data = self.environment.get("data")
        return data if isinstance(data, dict) else {}

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl."""
        return run_content.metric_rows(self.folder)

    @cached_property
    def evaluations(self) -> dict[str, dict[str, Any]]:
        """Metrics by split, the test split first."""
        found = run_content.evaluations(self.folder, self.summary)
        return dict(sorted(found.items(), key=lambda item: (item[0] != "test", item[0])))

    @cached_property
    def evaluator(self) -> Evaluator:
        """How the run's task is shown; by its losses, where nothing is known of it."""
        try:
            return registry.task_entry(self.summary.task or "").evaluator or LOSSES
        except FmkitError:
            return LOSSES

    @property
    def split(self) -> str:
        """The split that the figures are of: test, or else the first that was evaluated."""
        return next(iter(self.evaluations), "")

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics of that split."""
        return self.evaluations.get(self.split, {})

    @property
    def title(self) -> str:
        """What people call the run: its name, or its model and data."""
        summary = self.summary
        return summary.name or f"{summary.model or '?'} on {summary.data_label or '?'}"

    def json(self, name: str) -> dict[str, Any]:
        """One of the run's JSON files."""
        return run_content.json_or_empty(self.folder / name)

    def predictions(self, split: str) -> Any:
        """The table of predictions of a split, a pandas DataFrame; None where there is none."""
        path = self.folder / run_dir.EVALUATION / f"{split}.parquet"
        try:
            with safe_io.open_regular(path, _MAX_TABLE) as stream:
                import pyarrow.parquet as pq

                columns = pq.read_schema(stream).names
                stream.seek(0)
                return pq.read_table(stream, columns=_needed(columns)).to_pandas()
        except Exception:  # a file of somebody else's may be broken in any way
            return None


def _needed(columns: list[str]) -> list[str]:
    """The columns that a report reads: of a classifier with many classes not every probability."""
    is_classifier = "confidence" in columns and "label" in columns and "word" not in columns
    if is_classifier and len(columns) > 200:
        return [name for name in _FIRST_COLUMNS if name in columns]
    return columns


def finite(value: Any) -> float | None:
    """A number as float; None for anything else."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def mapping(value: Any) -> dict[str, Any]:
    """A mapping; an empty one for anything else."""
    return value if isinstance(value, dict) else {}
