"""`fmkit runs sync`: send runs to experiment trackers, or what those missed of them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fmkit.commands.output import json_output, result_tables
from fmkit.commands.training import early_checks, run_loggers
from fmkit.config import saved_config
from fmkit.config.schema.runtime import LOGGERS
from fmkit.core import console
from fmkit.core.errors import ArtifactError, ConfigError, join_names, plural, received
from fmkit.store import run_dir, run_index, run_removal
from fmkit.store.loggers.follow import MODEL_SECONDS, Follower
from fmkit.store.run_dir import RunWriter
from fmkit.store.run_reader import RunReader


def sync(words: Sequence[str], runs_dir: Path, loggers: str) -> None:
    """Send runs, or the jobs of sweeps, to trackers.

    Args:
        loggers: names with commas between; empty: those of each run.

    Raises:
        ConfigError: a run was logged nowhere and none is named, or a package is not installed.
        ArtifactError: a run is not there or still trains, or a tracker did not take it.
    """
    names = [name.strip() for name in loggers.strip("[]").split(",") if name.strip()]
    for name in names:
        if name not in LOGGERS:
            raise ConfigError(received("loggers", name, LOGGERS))
    rows = []
    for folder in _folders(words, runs_dir):
        rows += _send(folder, names)
    json_output.show("sync", {"records": rows}, lambda: _print(rows))
    if failed := [row for row in rows if not row["complete"]]:
        reasons = list(dict.fromkeys(f"{row['name']}: {row['reason']}" for row in failed))
        raise ArtifactError(
            f"{plural(len(failed), 'record')} could not be completed: {join_names(reasons, 3)}"
        )


def _folders(words: Sequence[str], runs_dir: Path) -> list[Path]:
    folders = []
    for word in words:
        jobs = run_removal.jobs_of_sweep(word, runs_dir)
        folders += [job.folder for job in jobs] or [run_index.resolve(word, runs_dir)]
    return folders


def _send(folder: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """Send one run; a row a tracker."""
    run = run_index.read(folder)
    if run.state == run_dir.RUNNING:
        raise ArtifactError(f"run {run.id} still trains, and logs by itself.")
    runtime = saved_config.section(RunReader(folder).config(), "runtime")
    runtime = dataclasses.replace(runtime, loggers=[*names] or runtime.loggers)
    if not runtime.loggers:
        raise ConfigError(
            f"run {run.id} was started without loggers.",
            f"Name some: fmkit runs sync {run.id} loggers={','.join(LOGGERS)}",
        )
    early_checks.require_loggers(runtime)
    rows, log = [], RunWriter(folder, "").log
    for name in runtime.loggers:
        settings = run_loggers.settings_of(runtime, name)
        follower = Follower(folder, name, settings, runtime.log_model, log, warns=False)
        with console.announce_slow(f"sending run {run.id} to {name}"):
            follower.close(MODEL_SECONDS)
        rows.append({"run": run.id, **follower.row()})
    return rows


def _print(rows: Sequence[dict[str, Any]]) -> None:
    for row in rows:
        text = result_tables.record_place(row) if row["complete"] else row["reason"]
        console.stdout.print(console.escape_markup(f"{row['run']}  {row['name']}  {text}"))
