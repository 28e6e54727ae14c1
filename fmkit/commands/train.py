"""`fmkit pretrain` and `fmkit finetune`: one run, or the jobs of a sweep."""

import contextlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmkit.commands import launch
from fmkit.commands.output import failures, json_output, result_tables
from fmkit.commands.training import early_checks, training_run
from fmkit.config import command_line, compose, interpolation, objectives, user_overrides
from fmkit.config.command_line import CommandLine
from fmkit.config.preflight import check
from fmkit.config.saved_config import quote
from fmkit.config.schema.commands import TrainConfig
from fmkit.core import console, files, signals
from fmkit.core.errors import (
    ArtifactError,
    ConfigError,
    DataError,
    FmkitError,
    Interrupted,
    plural,
)
from fmkit.store import run_dir, run_index
from fmkit.store.run_dir import RunWriter, claim


def pretrain(arguments: Sequence[str]) -> list[Path]:
    """Train the head on a frozen backbone, or learn without labels; the folders of the runs."""
    return _train("pretrain", arguments)


def finetune(arguments: Sequence[str]) -> list[Path]:
    """Train the head, then everything; the folders of the runs."""
    return _train("finetune", arguments)


@dataclass
class _Job:
    """One run of a command, and the error that ended it."""

    overrides: list[str]
    run: RunWriter
    error: FmkitError | None = None


def _train(command: str, arguments: Sequence[str]) -> list[Path]:
    """Check the command line, claim a folder, and let Hydra call `_train_job` for each job.

    A run that fails raises its error; in a sweep only after the last job.
    """
    began = time.monotonic()
    line, names = launch.read_line(command, arguments)
    line = launch.inherit(line, names, "init", ("model", "data"))
    config = check(line, names, None if line.shows_only else early_checks.refuse)
    if line.shows_only:
        compose.show_configs(line)
        return []
    folder = claim(Path(config.runs_dir), "sweeps" if line.multirun else command)
    path = quote(str(folder.absolute()))
    hydra_folders = [f"hydra.run.dir={path}"]
    if line.multirun:
        hydra_folders = [f"hydra.sweep.dir={path}", "hydra.sweep.subdir='${hydra:job.num}'"]
    jobs: list[_Job] = []
    stopped: FmkitError | None = None

    def job(composed: Any) -> None:
        signals.raise_if_stopped()
        jobs.append(_train_job(line, composed, names, None if line.multirun else began))
        error = jobs[-1].error
        if line.multirun:
            signals.forget_deadline()  # the next job has a time limit of its own
        if error is not None and line.multirun:  # the next job may run for hours
            failures.report(error)
        is_limit = line.multirun and error is not None and signals.is_deadline(error.exit_code)
        if isinstance(error, Interrupted) and not is_limit:  # which ends the whole sweep
            raise signals.SignalReceived(error.exit_code - 128)

    try:
        compose.launch(line, job, hydra_folders)
    except KeyboardInterrupt as error:
        if not jobs:
            raise
        stopped = failures.as_fmkit_error(error)
    finally:
        if not jobs:
            with contextlib.suppress(OSError):  # nothing ran: leave nothing, unless it has files
                folder.rmdir()
    if line.multirun:
        _finish_sweep(folder, jobs, stopped)
    elif failure := jobs[0].error or stopped:
        if _was_refused(jobs[0]):
            shutil.rmtree(folder, ignore_errors=True)
        else:
            json_output.show("run", run_index.record(folder), lambda: None)
        raise failure
    return [job.run.folder for job in jobs]


def _was_refused(job: _Job) -> bool:
    """Whether a run ended before its first phase for a reason that its message says in full.

    Such a run leaves no folder, so that lists of runs have only what was trained. Its log would say
    no more, and `fmkit check` writes the report about its data. After a defect, a full disk or a
    signal the log may help, and the jobs of a sweep stay, since its tables have a row for each.
    """
    is_refusal = isinstance(job.error, ConfigError | DataError | ArtifactError)
    return is_refusal and job.run.status["phase"] is None


def _finish_sweep(folder: Path, jobs: Sequence[_Job], stopped: FmkitError | None) -> None:
    """Print the table of the jobs; raise if one failed, or a signal stopped the sweep."""
    rows = [{"overrides": job.overrides, **run_index.record(job.run.folder)} for job in jobs]
    json_output.show(
        "sweep",
        {"folder": folder.absolute(), "jobs": rows},
        lambda: result_tables.sweep(folder, [(job.overrides, job.run) for job in jobs]),
    )
    if jobs and stopped is None and any((job.run.folder / run_dir.REPORT).exists() for job in jobs):
        _write_report(folder)
    errors = [job.error for job in jobs if job.error is not None]
    if first := stopped or next(iter(errors), None):
        total = plural(len(jobs), "job")
        failure = FmkitError(f"{len(errors)} of {total} of the sweep did not finish.")
        failure.exit_code = first.exit_code
        raise failure from first


def _write_report(folder: Path) -> None:
    """Write the page about a sweep; a failure is only a warning."""
    try:
        from fmkit.report import sweep_page

        path = files.display_path(sweep_page.write(folder).path)
    except Exception as error:  # the jobs are done, whatever happens to the page about them
        console.warning(f"the report could not be written: {type(error).__name__}: {error}.")
    else:
        console.info(f"report: {path}")


def _train_job(
    line: CommandLine, composed: Any, names: dict[str, list[str]], began: float | None
) -> _Job:
    """One job: it never raises, and leaves a run folder that says how it ended.

    A time limit counts from `began`, if not from now.
    """
    from hydra.core.hydra_config import HydraConfig

    hydra = HydraConfig.get()
    run = RunWriter(Path(hydra.runtime.output_dir), line.command)
    job = _Job(list(hydra.overrides.task), run)
    try:
        config = compose.to_typed(composed, line.command, names, {})
        config, note = objectives.to_single_objective(config)
        from_environment = interpolation.from_environment(compose.unresolved(composed))
        job_line = command_line.parse(line.command, [*line.flags, *job.overrides])
        user_keys = user_overrides.keys_set_by_user(job_line)
        summary = _summary(config, from_environment)
        run.begin(config, {**summary, "chosen": sorted(user_keys)}, from_environment)
        if note:
            run.log(note)
            console.info(note)
        training_run.train(config, run, user_keys, began=began)
    except BaseException as error:  # Hydra would print what it gets, and end the sweep
        job.error = failures.record(run, error)
    return job


def _summary(config: TrainConfig, from_environment: dict[str, str]) -> dict[str, Any]:
    """What the list of runs shows, written into the status so that it reads one file a run.

    Values that came from environment variables are shown as written.
    """
    as_written = from_environment.get
    return {
        "name": as_written("name", config.name),
        "model": as_written("model.name", config.model.name),
        "data": as_written("data.name", config.data.name),
        "data_root": as_written("data.root", getattr(config.data, "root", None)),
        "optimizer": config.optimizer.name,
        "stage": "+".join(config.stage),
        "task": config.task.name,
        "seed": config.runtime.seed,
        "init": as_written("init", config.init),
    }
