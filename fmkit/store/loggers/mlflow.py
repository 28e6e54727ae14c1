"""A record in MLflow: in a folder, in a database such as SQLite, or on a server.

It uses `MlflowClient` alone, which has no global state. Metrics are logged by step under the names
that metrics.jsonl has; `epoch` and `phase` (by number, 1 is the first) are metrics beside them.
"""

from __future__ import annotations

import datetime
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fmkit.core import sanitize
from fmkit.store import run_dir, run_index
from fmkit.store.loggers.tracker import Facts, Summary, Tracker, row_metrics

DEFAULT_URI = "sqlite:///mlflow.db"
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # of 7, which take minutes where a server is gone
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ALLOW_FILE_STORE": "true",  # MLflow 3.7 and later refuse folders otherwise
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""Variables of MLflow's that are set here unless the user has set them."""

_BATCH = 1000  # metrics, and
_SMALL_BATCH = 100  # params or tags, at most, in one request
_STATES = {
    run_dir.DONE: "FINISHED", run_dir.INTERRUPTED: "KILLED", run_index.DEAD: "KILLED",
    run_dir.RUNNING: "KILLED",  # it could not even say how it ended
}  # fmt: skip
_SQLITE = "sqlite:///"
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""So that MLflow 3 shows training runs first, not traces of language models."""


class MlflowTracker(Tracker):
    """The record of a run in MLflow.

    Args:
        settings: `tracking_uri` and `experiment` of the config, or None.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings

    def open(self, facts: Facts, identity: str | None, place: str | None) -> None:
        """Begin the record, or go on with it."""
        from mlflow import MlflowClient

        self._uri = tracking_uri(self._settings, place)
        self._client = MlflowClient(tracking_uri=self._uri)
        self._experiment = self._experiment_id()
        record = self._existing(facts, identity) or self._create(facts)
        self._id = record.info.run_id
        self._experiment = record.info.experiment_id
        if record.info.status != "RUNNING":
            self._client.update_run(self._id, status="RUNNING")
        self._log_config(facts, record.data.params)

    @property
    def identity(self) -> str:
        """The run id that MLflow gave."""
        return str(self._id)

    @property
    def place(self) -> str | None:
        """The tracking URI, unless it has a password."""
        return self._uri if sanitize.redact(self._uri) == self._uri else None

    @property
    def url(self) -> str | None:
        """The record's page on a server."""
        if not self._uri.startswith(("http:", "https:")):
            return None
        return f"{self._uri.rstrip('/')}/#/experiments/{self._experiment}/runs/{self._id}"

    def log_rows(
        self, rows: Sequence[Mapping[str, Any]], first: int, phases: Sequence[str]
    ) -> None:
        """Send rows of metrics.jsonl."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = []
        for row in rows:
            values = row_metrics(row) | {
                "epoch": float(row.get("epoch") or 0),
                "phase": float(phases.index(str(row.get("phase"))) + 1),
            }
            step = int(row.get("step") or 0)
            metrics += [Metric(_name(key), value, now, step) for key, value in values.items()]
        for part in _parts(metrics, _BATCH):
            self._client.log_batch(self._id, metrics=part)
        self._client.set_tag(self._id, "phases", ", ".join(phases))

    def log_summary(self, summary: Summary) -> None:
        """Send the figures and the files at the end of a run."""
        from mlflow.entities import Metric

        now, logged = int(time.time() * 1000), self._client.get_run(self._id).data.metrics
        metrics = [
            Metric(name, value, now, summary.step)
            for name, value in ((_name(key), value) for key, value in summary.metrics.items())
            if logged.get(name) != value  # else it is a second point of a chart
        ]
        for part in _parts(metrics, _BATCH):
            self._client.log_batch(self._id, metrics=part)
        for name, path in {**summary.files, **summary.models}.items():
            folder = Path(name).parent.as_posix()
            self._client.log_artifact(self._id, str(path), None if folder == "." else folder)

    def close(self, summary: Summary) -> None:
        """Set the state of the record, and when it ended."""
        state = _STATES.get(summary.state, "FAILED")
        self._client.set_terminated(self._id, state, _milliseconds(summary.ended))

    def _experiment_id(self) -> str:
        if not self._settings.get("experiment") and (
            given := os.environ.get("MLFLOW_EXPERIMENT_ID")
        ):
            return given
        name = self._settings.get("experiment") or os.environ.get("MLFLOW_EXPERIMENT_NAME")
        name = name or "fmkit"
        if existing := self._client.get_experiment_by_name(name):
            return str(existing.experiment_id)
        location = None
        if self._uri.startswith(_SQLITE):  # beside the database, not in the current folder
            folder = Path(self._uri.removeprefix(_SQLITE)).parent / "mlruns"
            location = (folder / re.sub(r"[^\w.-]", "_", name)).as_uri()
        return str(
            self._client.create_experiment(name, artifact_location=location, tags=_EXPERIMENT_TAGS)
        )

    def _existing(self, facts: Facts, identity: str | None) -> Any:
        """The record of this run, by its id or by its tag; None where there is none."""
        from mlflow.exceptions import MlflowException

        if identity is not None:
            try:
                record = self._client.get_run(identity)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
            else:
                if record.info.lifecycle_stage == "active":
                    return record
        return self._with_tag("run", facts.id)

    def _with_tag(self, tag: str, value: str) -> Any:
        rows = self._client.search_runs([self._experiment], f"tags.`{tag}` = '{value}'")
        return rows[0] if rows else None

    def _create(self, facts: Facts) -> Any:
        tags = {
            **facts.tags,
            "mlflow.source.name": f"fmkit {facts.command}",
            "mlflow.source.type": "LOCAL",
        }
        if facts.commit:
            tags["mlflow.source.git.commit"] = facts.commit
        if facts.sweep:
            tags["mlflow.parentRunId"] = self._sweep(facts)
        return self._client.create_run(
            self._experiment, _milliseconds(facts.started), tags, facts.name
        )

    def _sweep(self, facts: Facts) -> str:
        """The record that those of a sweep's jobs are nested under."""
        group = self._with_tag("sweep_group", facts.sweep)
        if group is None:
            tags = {"sweep_group": facts.sweep, "command": f"fmkit {facts.command} -m"}
            started = _milliseconds(facts.started)
            group = self._client.create_run(self._experiment, started, tags, facts.sweep)
            self._client.set_terminated(group.info.run_id)
        return str(group.info.run_id)

    def _log_config(self, facts: Facts, logged: Mapping[str, str]) -> None:
        """Send the config as params; what a resumed run has changed are tags, since params stay."""
        from mlflow.entities import Param, RunTag

        values = {_name(key): _text(value) for key, value in facts.config.items()}
        params = [Param(key, text) for key, text in values.items() if key not in logged]
        for part in _parts(params, _SMALL_BATCH):
            self._client.log_batch(self._id, params=part)
        changed = [
            RunTag(f"now.{key}", text)
            for key, text in values.items()
            if key in logged and logged[key] != text and not text.startswith(logged[key])
        ]
        if changed:
            self._client.log_batch(self._id, tags=changed[:_SMALL_BATCH])


def tracking_uri(settings: Mapping[str, Any], place: str | None = None) -> str:
    """Where to write: 1. the config's, 2. MLFLOW_TRACKING_URI, 3. as before, 4. the default."""
    uri = settings.get("tracking_uri")
    if uri and sanitize.REDACTED in uri:  # the config of a run that is resumed
        uri = None
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or place or DEFAULT_URI
    if uri == DEFAULT_URI:
        return f"{_SQLITE}{Path.cwd() / 'mlflow.db'}"
    return str(uri)


def needs_database(settings: Mapping[str, Any]) -> bool:
    """Whether MLflow writes to a database itself, which takes more packages."""
    scheme = tracking_uri(settings).partition(":")[0].partition("+")[0]
    return scheme in ("sqlite", "postgresql", "mysql", "mssql")


def _name(key: str) -> str:
    """A name as MLflow allows it."""
    return re.sub(r"[^\w./ -]", "_", key)[:250]


def _text(value: Any) -> str:
    """A value as YAML has it."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)[:6000]


def _milliseconds(time_text: str | None) -> int | None:
    try:
        return int(datetime.datetime.fromisoformat(time_text or "").timestamp() * 1000)
    except ValueError:
        return None


def _parts(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
