"""What of a folder of runs can go, and its removal: never a run in use, never what is not a run."""

import re
import secrets
import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fmkit.core.errors import ArtifactError
from fmkit.store import lock, metrics_log, run_dir, run_index
from fmkit.store.run_index import SWEEPS, RunSummary

_RUN_FILES = frozenset(
    (
        *(run_dir.CONFIG, run_dir.HYDRA, run_dir.RECIPE, run_dir.STATUS, run_dir.ENVIRONMENT),
        *(run_dir.TENSORBOARD, run_dir.CHECKPOINTS, run_dir.FREEZE, run_dir.MODEL),
        *(run_dir.TOKENIZER, run_dir.EVALUATION, run_dir.PREDICTIONS, run_dir.DATA_REPORT),
        *(run_dir.CONTACT_SHEET, run_dir.LOG, run_dir.LOCK, run_dir.NONFINITE),
        run_dir.LOGGERS,
        *(metrics_log.METRICS, "metrics.csv", "report.html", "export", run_dir.EXPLANATIONS),
    )
)
_SWEEP_FILES = frozenset(("multirun.yaml", "sweep.jsonl", "leaderboard.csv", "report.html"))
_NUMBERED = re.compile(r"config-\d+\.yaml|data_report-.+\.json|\..+\.\d+\.[0-9a-f]{8}(\.\w+)?")
"""More names in a run's folder: older configs, reports of objectives, temporary files."""

_STARTING_SECONDS = 600.0
"""A folder without a status that is younger than this may be a run that is just starting."""


@dataclass(frozen=True)
class Candidate:
    """A run, or the empty folder of one, that can be removed.

    Attributes:
        bytes: what its files take.
        needed_by: runs that stay and started from it by `init=`, so that resuming them needs it.
    """

    id: str
    folder: Path
    state: str
    started: str | None
    data: str | None
    bytes: int
    needed_by: list[str]


def candidates(runs: Sequence[RunSummary], all_runs: Sequence[RunSummary]) -> list[Candidate]:
    """Runs that are to be removed, with what the removal means for those that stay.

    Raises:
        ArtifactError: one is in use, or is not a run of fmkit's.
    """
    folders = {run.folder.resolve() for run in runs}
    staying = [run for run in all_runs if run.init and run.folder.resolve() not in folders]
    rows = []
    for run in runs:
        _require_unused(run)
        if run.state == run_index.BROKEN and not _has_only_run_files(run.folder):
            raise ArtifactError(
                f"{run.folder} is not a run: it has no valid {run_dir.STATUS}, and files that "
                "fmkit does not write.",
                "Remove it yourself if it can go.",
            )
        path = run.folder.resolve()
        needed_by = [other.id for other in staying if Path(other.init or "").resolve() == path]
        size = _size(run.folder)
        rows.append(
            Candidate(run.id, run.folder, run.state, run.started, run.data_label, size, needed_by)
        )
    return rows


def useless(all_runs: Sequence[RunSummary]) -> tuple[list[RunSummary], list[RunSummary]]:
    """Unfinished runs that saved nothing and can go, and those that have a checkpoint and stay."""
    unfinished = (run_dir.FAILED, run_dir.INTERRUPTED, run_index.DEAD, run_index.BROKEN)
    gone, staying = [], []
    for run in all_runs:
        if run.state not in unfinished or lock.is_free(run.folder / run_dir.LOCK) is False:
            continue
        if run_index.has_checkpoint(run.folder) or (run.folder / run_dir.MODEL).exists():
            staying.append(run)
        elif run.state != run_index.BROKEN or (
            _has_only_run_files(run.folder) and not _may_be_starting(run.folder)
        ):
            gone.append(run)
    return gone, staying


def remove(candidate: Candidate) -> None:
    """Remove a run, and the folder of its sweep with the last job.

    It is locked and renamed first, so that nobody can go on with it or read a half of it.

    Raises:
        ArtifactError: it is in use since, its state has changed, or the system refuses.
    """
    folder = candidate.folder
    try:
        if folder.is_symlink():
            folder.unlink()
            return
        held = lock.acquire_run_lock(folder / run_dir.LOCK)
        try:
            state = run_index.read(folder).state  # a dead run looks alive: the lock on it is ours
            was_dead = candidate.state == run_index.DEAD and state == run_dir.RUNNING
            if state != candidate.state and not was_dead:
                raise ArtifactError(f"run {candidate.id} has changed meanwhile; it stays.")
            trash = folder.with_name(f".trash-{folder.name}-{secrets.token_hex(4)}")
            folder.rename(trash)
        finally:
            held.close()
        shutil.rmtree(trash)
        sweep = folder.parent
        if sweep.parent.name == SWEEPS and {path.name for path in sweep.iterdir()} <= _SWEEP_FILES:
            shutil.rmtree(sweep)
    except OSError as error:
        raise ArtifactError(
            f"run {candidate.id} could not be removed: {error.strerror} ({error.filename})."
        ) from error


def jobs_of_sweep(text: str, root: Path) -> list[RunSummary]:
    """The jobs of the sweep that a folder or the name of one is; none where it is not a sweep."""
    for folder in (root / SWEEPS / text.rstrip("/"), Path(text)):
        if text and folder.absolute().parent.name == SWEEPS and folder.is_dir():
            return [
                run_index.read(job, f"{folder.name}/{job.name}")
                for job in sorted(folder.iterdir())
                if job.is_dir() and not job.name.startswith(".")
            ]
    return []


def _require_unused(run: RunSummary) -> None:
    if run.state == run_dir.RUNNING or lock.is_free(run.folder / run_dir.LOCK) is False:
        record = {"pid": run.pid, "host": run.host} | lock.read_record(run.folder / run_dir.LOCK)
        raise ArtifactError(
            f"run {run.id} is in use by pid {record['pid'] or 'unknown'} on host "
            f"{record['host'] or 'unknown'}; nothing was removed.",
            "Wait until that process has ended, or stop it.",
        )


def _has_only_run_files(folder: Path) -> bool:
    return all(name in _RUN_FILES or _NUMBERED.fullmatch(name) for name in _names(folder))


def _names(folder: Path) -> Collection[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:  # it cannot be looked into, so it stays
        return ["?"]


def _may_be_starting(folder: Path) -> bool:
    has_status = (folder / run_dir.STATUS).exists()
    return not has_status and time.time() - folder.stat().st_mtime < _STARTING_SECONDS


def _size(folder: Path) -> int:
    """Bytes of all files in a folder, links not followed."""
    return sum(_file_sizes(folder))


def _file_sizes(folder: Path) -> Iterator[int]:
    if folder.is_symlink():
        return
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_dir():
            yield path.lstat().st_size
