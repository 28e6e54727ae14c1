"""A record in Weights & Biases, online or offline.

The rows of metrics.jsonl are the steps of the history, by their number, so that wandb itself leaves
out a row that it has; charts go by `step`, the training step. Of the run's code, command line and
working copy nothing is sent.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fmkit.core import files
from fmkit.store import run_dir
from fmkit.store.loggers.tracker import Facts, Summary, Tracker, row_metrics

ENVIRONMENT = {"WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}
"""Variables of wandb's that are set here unless the user has set them."""

_INIT_SECONDS = 30


class WandbTracker(Tracker):
    """The record of a run in Weights & Biases.

    Args:
        settings: `project`, `entity` and `mode` of the config, or None.
        folder: where wandb keeps its files, unless WANDB_DIR says so.
        process: id of the process that trains, whose use of the machine wandb shows.
    """

    confirms_at_end = True

    def __init__(self, settings: Mapping[str, Any], folder: Path, process: int) -> None:
        self._settings, self._folder, self._process = settings, folder, process

    def open(self, facts: Facts, identity: str | None, place: str | None) -> None:
        """Begin the record, or go on with it: its id is the run's."""
        import wandb

        config = {**facts.config, **{f"fmkit.{key}": text for key, text in facts.tags.items()}}
        if not os.environ.get("WANDB_DIR"):
            self._folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            id=identity or facts.id,
            resume="allow",
            name=facts.name,
            project=self._settings.get("project") or os.environ.get("WANDB_PROJECT") or "fmkit",
            entity=self._settings.get("entity"),
            mode=self._settings.get("mode"),
            dir=os.environ.get("WANDB_DIR") or str(self._folder),
            group=facts.sweep or None,
            job_type=facts.command,
            tags=[facts.tags[key] for key in ("task", "model", "data") if key in facts.tags],
            config=config,
            allow_val_change=True,  # a resumed run may have got longer
            settings=wandb.Settings(
                disable_code=True, save_code=False, disable_git=True, console="off",
                init_timeout=_INIT_SECONDS, x_stats_pid=self._process,
            ),
        )  # fmt: skip
        self._run.define_metric("step", hidden=True)
        self._run.define_metric("*", step_metric="step", step_sync=True)

    @property
    def identity(self) -> str:
        """The id of the record."""
        return str(self._run.id)

    @property
    def url(self) -> str | None:
        """The record's page; None offline."""
        return self._run.url or None

    @property
    def place(self) -> str | None:
        """Offline, the folder to be sent by `wandb sync`."""
        if not self._run.offline:
            return None
        return files.absolute_path(self._run.settings.sync_dir)

    def log_rows(
        self, rows: Sequence[Mapping[str, Any]], first: int, phases: Sequence[str]
    ) -> None:
        """Send rows of metrics.jsonl."""
        for number, row in enumerate(rows, start=first):
            where = {key: row.get(key) for key in ("step", "epoch", "phase")}
            self._run.log({**where, **row_metrics(row)}, step=number)

    def log_summary(self, summary: Summary) -> None:
        """Send the figures and the files at the end of a run."""
        import wandb

        self._run.summary.update(dict(summary.metrics))
        for name, path in summary.files.items():
            if name == run_dir.CONFIG:  # wandb writes one of that name, of the config it was given
                continue
            root = str(path).removesuffix(name) or None
            self._run.save(str(path), base_path=root, policy="now")
        if summary.models:
            artifact = wandb.Artifact(f"model-{self._run.id}", type="model")
            for name, path in summary.models.items():
                artifact.add_file(str(path), name=name)
            self._run.log_artifact(artifact)

    def close(self, summary: Summary) -> None:
        """End the record; what was sent has arrived, or offline is in its file."""
        self._run.finish(exit_code=0 if summary.state == run_dir.DONE else 1)
