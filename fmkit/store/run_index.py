"""The runs under a folder: list them, find one by id, name or `last`, rank them by a metric."""

import contextlib
import datetime
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmkit.core import atomic_dir, errors, safe_io
from fmkit.core.errors import ArtifactError, ConfigError, received
from fmkit.core.files import absolute_path, input_path
from fmkit.store import lock, run_dir

BROKEN, DEAD = "broken", "dead"
"""States that no status.json has: it cannot be read; it says `running` and no process runs it."""

SWEEPS = "sweeps"
LAST = "last"
DEFAULT_ROOT = "runs"

_STATES = (run_dir.RUNNING, run_dir.DONE, run_dir.FAILED, run_dir.INTERRUPTED)
_NUMBER = (int, float)
_TYPES: dict[str, Any] = {
    **dict.fromkeys(("state", "reason", "command", "name", "started", "ended"), (str,)),
    **dict.fromkeys(("host", "phase", "model", "data", "data_root"), (str,)),
    **dict.fromkeys(("task", "init", "fmkit"), (str,)),
    **dict.fromkeys(("pid", "epoch", "step"), (int,)),
    **dict.fromkeys(("best", "test", "val"), (dict,)),
    "seconds": _NUMBER,
    "stage": (str, list),
}
_SHORTEST = 4  # letters of an id that say which run it is, where nothing else does
_LARGEST = 1e300  # metrics are subtracted as floats, and a JSON number may be larger


@dataclass(frozen=True)
class RunSummary:
    """One run by its status.json, checked; a key that the file lacks is None.

    Attributes:
        id: the folder's name, or `SWEEP/JOB` for a job of a sweep.
        state: running, done, failed, interrupted, dead or broken.
        reason: why it failed, stopped, is dead or broken.
        best: phase, epoch, step, monitor and value of the best checkpoint.
        test: metrics on the test split.
        val: metrics on the validation split.
        data: the source, `image_folder`; `data_root` is its folder or file, None of a packaged one.
        init: the run or file whose weights it started from.
        fmkit: version of fmkit that wrote it.
    """

    folder: Path
    id: str
    state: str
    reason: str | None = None
    command: str | None = None
    name: str | None = None
    started: str | None = None
    ended: str | None = None
    seconds: float | None = None
    pid: int | None = None
    host: str | None = None
    phase: str | None = None
    epoch: int | None = None
    step: int | None = None
    best: dict[str, Any] | None = None
    model: str | None = None
    data: str | None = None
    data_root: str | None = None
    stage: str | list[Any] | None = None
    task: str | None = None
    test: dict[str, Any] | None = None
    val: dict[str, Any] | None = None
    init: str | None = None
    fmkit: str | None = None

    @property
    def data_label(self) -> str | None:
        """The data as its user calls it: the name of its folder or file, else of the source."""
        return data_label(self.data, self.data_root)


def data_label(source: str | None, root: str | None) -> str | None:
    """The name of the folder or file that data are read from; without one, that of the source."""
    name = Path(root).name if root else ""
    return source if not name or "${" in name else name


def row(run: RunSummary) -> dict[str, Any]:
    """A run as a row of a table: all but its nested values, then its metrics by `split.metric`."""
    values = {key: value for key, value in vars(run).items() if key not in ("best", "test", "val")}
    return values | metrics(run)


def read(folder: Path, identity: str = "") -> RunSummary:
    """One run; a status that cannot be read gives the state `broken` and a reason."""
    identity = identity or folder.name
    try:
        status = safe_io.read_json_object(folder / run_dir.STATUS)
    except FileNotFoundError:
        return RunSummary(folder, identity, BROKEN, f"it has no {run_dir.STATUS}")
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else str(error)
        return RunSummary(folder, identity, BROKEN, f"{run_dir.STATUS} cannot be read: {cause}")
    invalid = [key for key in _TYPES if not _is_valid(key, status.get(key))]
    fields: dict[str, Any] = {key: status.get(key) for key in _TYPES if key not in invalid}
    if invalid:
        fields["state"] = BROKEN
        fields["reason"] = f"{run_dir.STATUS} has an invalid value of {', '.join(invalid)}"
    elif fields["state"] == run_dir.RUNNING and (
        reason := lock.why_dead(folder / run_dir.LOCK, status)
    ):
        # It may have ended since: a run writes its last status before it releases its lock.
        try:
            state = safe_io.read_json_object(folder / run_dir.STATUS).get("state")
        except (OSError, ValueError):
            state = BROKEN
        if state != run_dir.RUNNING:
            return read(folder, identity)
        fields["state"], fields["reason"] = DEAD, reason
    return RunSummary(folder, identity, **fields)


def record(folder: Path) -> dict[str, Any]:
    """All that a run's status.json says, with the folder, the id, and the state as of `read`."""
    sweep = folder.absolute().parent
    run = read(folder, f"{sweep.name}/{folder.name}" if sweep.parent.name == SWEEPS else "")
    try:
        status = safe_io.read_json_object(folder / run_dir.STATUS, safe_io.MAX_EVALUATION_JSON)
    except (OSError, ValueError):
        status = {}
    state = {"state": run.state, "reason": run.reason}
    return {**status, "id": run.id, "folder": folder.absolute(), **state}


def _is_valid(key: str, value: Any) -> bool:
    if value is None:
        return key != "state"
    if isinstance(value, bool) or not isinstance(value, _TYPES[key]):
        return False
    if key == "pid":
        return bool(value > 0)  # 0 and below are process groups
    if key == "started":
        return lock.timestamp(value) is not None
    return key != "state" or value in _STATES


def find_root(text: str) -> Path:
    """The folder of runs that a user means, by `runs_dir`.

    Where there is no `runs` below the current folder, that may be one itself, or a sweep's.
    """
    root = Path(text).expanduser()
    if text == DEFAULT_ROOT and not root.is_dir():
        current = Path.cwd()
        if any(run.state != BROKEN for run in runs(current)):
            return current
    return root


def runs(root: Path) -> list[RunSummary]:
    """Every run under a folder, newest first, the broken ones included.

    The folder is `runs`, or one of its folders of runs: that of a command or of a sweep.
    """
    return newest_first(read(folder, name) for folder, name in folders(root))


def newest_first(summaries: Iterable[RunSummary]) -> list[RunSummary]:
    """Runs in the order of lists: by when they started."""
    return sorted(summaries, key=_start_time, reverse=True)


def folders(root: Path) -> list[tuple[Path, str]]:
    """Every folder of a run under `root`, as in `runs`, with its id."""
    inner = _subfolders(root)
    if any((folder / run_dir.STATUS).is_file() for folder in inner):
        return [(folder, folder.name) for folder in inner]
    names = [
        (folder, folder.name)
        for command in inner
        if command.name != SWEEPS
        for folder in _subfolders(command)
    ]
    return names + [
        (job, f"{sweep.name}/{job.name}")
        for sweep in _subfolders(root / SWEEPS)
        for job in _subfolders(sweep)
    ]


def _subfolders(folder: Path) -> list[Path]:
    """Folders in a folder, hidden ones left out; none where it cannot be read."""
    try:
        with os.scandir(folder) as entries:  # which knows the kind of 10,000 without asking each
            return [Path(entry) for entry in entries if entry.name[0] != "." and entry.is_dir()]
    except OSError:
        return []


def _start_time(run: RunSummary) -> tuple[float, str]:
    """When a run started: by its status, else by its name, else by its folder's time."""
    seconds = lock.timestamp(run.started)
    if seconds is None:
        with contextlib.suppress(OSError):
            seconds = run.folder.stat().st_mtime
        with contextlib.suppress(ValueError):
            stamp = run.id[: len("2026-01-31_120000")]
            seconds = datetime.datetime.strptime(stamp, "%Y-%m-%d_%H%M%S").timestamp()
    return seconds or 0.0, run.id


def find_sweep(text: str, root: Path) -> Path | None:
    """The folder of a sweep, by its path or its name; None where it is not one."""
    for folder in (Path(text), Path(input_path(text)), root / SWEEPS / text.rstrip("/")):
        if text and not (folder / run_dir.STATUS).exists() and any(
            (job / run_dir.STATUS).is_file() for job in _subfolders(folder)
        ):  # fmt: skip
            return folder
    return None


def is_named(text: str, root: Path) -> bool:
    """Whether a word is plainly one of the runs under `root`, as of `resolve`, and not a file."""
    if text == LAST or (Path(input_path(text)) / run_dir.STATUS).is_file():
        return True
    if not text or os.path.lexists(text):
        return False
    is_part = len(text) >= _SHORTEST
    return any(
        text in (run.id, run.name)
        or (is_part and (run.id.startswith(text) or run.id.endswith(text)))
        for run in runs(root)
    )


def resolve_trained(text: str, root: Path, key: str = "run") -> Path:
    """As `resolve`; ArtifactError also where the run has no checkpoint."""
    folder = resolve(text, root, key)
    if has_checkpoint(folder):
        return folder
    run = read(folder)
    reason = f": {run.reason.splitlines()[0]}" if run.reason else "."
    raise ArtifactError(
        f"{key}: {folder.name} has no checkpoint; its state is {run.state}{reason}",
        "Train it again, or name another run; `fmkit runs` lists them all.",
    )


def has_checkpoint(folder: Path) -> bool:
    """Whether a run has a checkpoint, so that it can be used and gone on with."""
    checkpoints = atomic_dir.folders_in(folder / run_dir.CHECKPOINTS)
    return any(name.startswith("step-") for name in checkpoints)


def resolve(text: str, root: Path, key: str = "run") -> Path:
    """The folder of the run that a user means.

    In this order: `last` (the newest run that is done), a run's folder, its id, its name, the
    beginning or the end of an id. Messages name the config key `key`.

    Raises:
        ArtifactError: there is no such run, or there are several.
    """
    root, text = Path(root).expanduser(), str(text).strip()
    for folder in map(Path, (text, input_path(text)) if text not in ("", LAST) else ()):
        if (folder / run_dir.STATUS).is_file():
            return folder
    all_runs = runs(root)
    if not all_runs:
        raise ArtifactError(
            received(key, text, "a run's folder") + f" There is no run in {absolute_path(root)}.",
            "Train one (fmkit finetune PATH), or name the folder that holds runs: runs_dir=DIR",
        )
    if text == LAST:
        return _newest_done(all_runs, root, key)
    trimmed = text.rstrip("/")
    for matches in (
        [run for run in all_runs if run.id == trimmed],
        [run for run in all_runs if run.name == text],
        [run for run in all_runs if trimmed and run.id.startswith(trimmed)],
        [run for run in all_runs if trimmed and run.id.endswith(trimmed)],
    ):
        if len(matches) == 1:
            return matches[0].folder
        if matches:
            ids = errors.join_names([run.id for run in matches])
            raise ArtifactError(
                f"{key}: {text!r} matches {len(matches)} runs: {ids}.",
                "Type more of the id, or the run's folder.",
            )
    raise ArtifactError(_not_found(text, all_runs, root, key), "`fmkit runs` lists them all.")


def _newest_done(all_runs: list[RunSummary], root: Path, key: str) -> Path:
    for run in all_runs:
        if run.state == run_dir.DONE:
            return run.folder
    counts = Counter(run.state for run in all_runs)
    states = ", ".join(f"{count} {state}" for state, count in counts.items())
    raise ArtifactError(
        f"{key}: {LAST!r} is the newest run that is done, and none in {absolute_path(root)} is: "
        f"{states}.",
        f"The newest run in any state is {all_runs[0].id}.",
    )


def _not_found(text: str, all_runs: list[RunSummary], root: Path, key: str) -> str:
    allowed = [run.id for run in all_runs] + [run.name for run in all_runs if run.name]
    # An id is long, and users remember its end: the six letters.
    ends = {name.rpartition("-")[2]: name for name in allowed if "-" in name}
    close = errors.closest_names(text, allowed)
    close += [ends[end] for end in errors.closest_names(text, ends)]
    clue = f"Nearest: {', '.join(dict.fromkeys(close))}." if close else f"Newest: {all_runs[0].id}."
    message = received(key, text, "a run's folder, id or name, part of an id, or `last`")
    return f"{message} No run in {absolute_path(root)} matches. {clue}"


def best(
    root: Path,
    metric: str = "test.accuracy",
    data: str | None = None,
    larger_is_better: bool = True,
) -> list[RunSummary]:
    """The runs that have a metric, the best one first.

    Args:
        root: folder of runs.
        metric: `test.` or `val.` and the name of a metric.
        data: only runs on this data, by its source, its name or its path; metrics on different data
            do not compare.
        larger_is_better: whether the run with the largest value comes first.

    Raises:
        ConfigError: no run has that metric, and some have others.
        ArtifactError: no run has metrics.
    """
    readable = [run for run in runs(root) if run.state != BROKEN and _is_on(run, data)]
    ranked = [run for run in readable if metric in metrics(run)]
    if not ranked:
        available = sorted({name for run in readable for name in metrics(run)})
        if available:
            raise ConfigError(received("metric", metric, available))
        on_data = f" on {data}" if data else ""
        raise ArtifactError(f"No run in {absolute_path(root)}{on_data} has metrics of a split yet.")
    return sorted(ranked, key=lambda run: metrics(run)[metric], reverse=larger_is_better)


def _is_on(run: RunSummary, data: str | None) -> bool:
    if data is None or data in (run.data, run.data_label):
        return True
    return run.data_root is not None and run.data_root in (data, absolute_path(data))


def metrics(run: RunSummary) -> dict[str, float]:
    """The finite numbers in a run's `test` and `val`, by `split.metric`."""
    return {**flat_numbers("test", run.test), **flat_numbers("val", run.val)}


def flat_numbers(prefix: str, mapping: Mapping[str, Any] | None) -> dict[str, float]:
    """The finite numbers of a mapping, by `prefix.key`."""
    return {
        f"{prefix}.{key}": value
        for key, value in (mapping or {}).items()
        if isinstance(value, _NUMBER)
        and not isinstance(value, bool)
        and -_LARGEST < value < _LARGEST
    }
