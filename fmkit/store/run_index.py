"""All runs under a folder: list them, find one by what a user types, rank and compare them."""

from __future__ import annotations

import datetime
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmkit.core import atomic_dir, errors, safe_io
from fmkit.core.errors import ArtifactError, ConfigError, received
from fmkit.core.files import absolute_path
from fmkit.store import lock, run_dir

BROKEN, DEAD = "broken", "dead"
"""States that a status never has: it cannot be read; it says `running`, and nobody runs it."""

SWEEPS = "sweeps"
LAST = "last"

_STATES = (run_dir.RUNNING, run_dir.DONE, run_dir.FAILED, run_dir.INTERRUPTED)
_NUMBER = (int, float)
_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("state", "reason", "command", "name", "started", "ended"), (str,)),
    **dict.fromkeys(("host", "phase", "model", "data", "task", "fmkit"), (str,)),
    **dict.fromkeys(("pid", "epoch", "step"), (int,)),
    **dict.fromkeys(("best", "test", "val"), (dict,)),
    "seconds": _NUMBER,
    "stage": (str, list),
}
_LARGEST = 1e300  # figures are subtracted as floats, and a JSON number has any size


@dataclass(frozen=True)
class RunSummary:
    """One run as its status.json tells it; what the file lacks is None.

    Attributes:
        folder: the run's folder.
        id: the folder's name, and `SWEEP/JOB` for a job of a sweep.
        state: running, done, failed, interrupted, dead or broken.
        reason: why it failed, stopped, is dead or broken.
        best: phase, epoch, step, monitor and value of the best checkpoint.
        test: figures on the test split.
        val: figures on the validation split.
        fmkit: version that made it.
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
    stage: str | list[Any] | None = None
    task: str | None = None
    test: dict[str, Any] | None = None
    val: dict[str, Any] | None = None
    fmkit: str | None = None


def read(folder: Path, identity: str = "") -> RunSummary:
    """One run; a status that cannot be read gives the state `broken` and a reason."""
    identity = identity or folder.name
    try:
        status: Any = safe_io.read_json(folder / run_dir.STATUS)
    except FileNotFoundError:
        return RunSummary(folder, identity, BROKEN, f"it has no {run_dir.STATUS}")
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else str(error)
        return RunSummary(folder, identity, BROKEN, f"{run_dir.STATUS} cannot be read: {what}")
    if not isinstance(status, dict):
        return RunSummary(folder, identity, BROKEN, f"{run_dir.STATUS} holds no mapping")
    wrong = [key for key in _TYPES if not _fits(key, status.get(key))]
    fields: dict[str, Any] = {key: status.get(key) for key in _TYPES if key not in wrong}
    if wrong:
        fields["state"] = BROKEN
        fields["reason"] = f"{run_dir.STATUS} has a wrong value in {', '.join(wrong)}"
    elif fields["state"] == run_dir.RUNNING and (
        why := lock.why_dead(folder / run_dir.LOCK, status)
    ):
        # It may have ended since its status was read: that is written before its lock is free.
        if _says(folder) != run_dir.RUNNING:
            return read(folder, identity)
        fields["state"], fields["reason"] = DEAD, why
    return RunSummary(folder, identity, **fields)


def _says(folder: Path) -> Any:
    try:
        return safe_io.read_json(folder / run_dir.STATUS).get("state")
    except (OSError, ValueError, AttributeError):
        return None


def _fits(key: str, value: Any) -> bool:
    if value is None:
        return key != "state"
    if isinstance(value, bool) or not isinstance(value, _TYPES[key]):
        return False
    rules: dict[str, Callable[[Any], bool]] = {
        "state": lambda state: state in _STATES,
        "started": lambda text: _moment(text) is not None,
        "pid": lambda pid: pid > 0,  # 0 and below would ask for whole groups of processes
    }
    return key not in rules or rules[key](value)


def _moment(text: str | None) -> float | None:
    try:
        return None if text is None else datetime.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def runs(root: Path) -> list[RunSummary]:
    """Every run under a folder, newest first, the broken ones included."""
    found = [read(folder, identity) for folder, identity in _folders(Path(root))]
    return sorted(found, key=_age, reverse=True)


def _folders(root: Path) -> Iterator[tuple[Path, str]]:
    for command in _inside(root):
        for each in _inside(command):
            if command.name != SWEEPS:
                yield each, each.name
                continue
            for job in _inside(each):
                yield job, f"{each.name}/{job.name}"


def _inside(folder: Path) -> list[Path]:
    """Folders in a folder; none when it is not there or may not be read."""
    try:
        with os.scandir(folder) as entries:
            return [
                folder / each.name
                for each in entries
                if not each.name.startswith(".") and each.is_dir()
            ]
    except OSError:
        return []


def _age(run: RunSummary) -> tuple[float, str]:
    """When a run began: by its status, else by its name, else by its folder's time."""
    moment = _moment(run.started)
    if moment is None:
        try:
            stamp = run.id[: len("2026-01-31_120000")]
            moment = datetime.datetime.strptime(stamp, "%Y-%m-%d_%H%M%S").timestamp()
        except ValueError:
            try:
                moment = run.folder.stat().st_mtime
            except OSError:
                moment = 0.0
    return moment, run.id


def trained(text: str, root: Path, key: str = "run") -> Path:
    """The folder of the run that a user means, which must have a checkpoint.

    Args:
        text: as for `resolve`.
        root: folder of runs.
        key: what the user calls it.

    Raises:
        ArtifactError: there is no such run, there are several, or nothing of it was saved.
    """
    folder = resolve(text, root, key)
    if any(
        each.startswith("step-") for each in atomic_dir.folders_in(folder / run_dir.CHECKPOINTS)
    ):
        return folder
    run = read(folder)
    why = f": {run.reason.splitlines()[0]}" if run.reason else "."
    raise ArtifactError(
        f"{key}: {folder.name} has no checkpoint; its state is {run.state}{why}",
        "Train it again, or name another run; `fmkit runs` lists them all.",
    )


def resolve(text: str, root: Path, key: str = "run") -> Path:
    """The folder of the run that a user means.

    In this order: `last` (the newest one that is done), a run's folder, its id, its name, the
    beginning or the end of an id.

    Args:
        text: what the user typed.
        root: folder of runs.
        key: what the user calls it, for the messages.

    Raises:
        ArtifactError: there is no such run, or there are several.
    """
    root, text = Path(root), str(text).strip()
    if text != LAST and text and (Path(text) / run_dir.STATUS).is_file():
        return Path(text)
    known = runs(root)
    if not known:
        raise ArtifactError(
            received(key, text, "a run's folder") + f" There is no run in {absolute_path(root)}.",
            "Name the folder of the run, or the folder that holds runs: runs_dir=DIR",
        )
    if text == LAST:
        return _last(known, root, key)
    trimmed = text.rstrip("/")
    for matches in (
        [run for run in known if run.id == trimmed],
        [run for run in known if run.name == text],
        [run for run in known if trimmed and run.id.startswith(trimmed)],
        [run for run in known if trimmed and run.id.endswith(trimmed)],
    ):
        if len(matches) == 1:
            return matches[0].folder
        if matches:
            listed = errors.join_names([run.id for run in matches])
            raise ArtifactError(
                f"{key}: {text!r} fits {len(matches)} runs: {listed}.",
                "Type more of the id, or the run's folder.",
            )
    raise ArtifactError(_not_found(text, known, root, key), "`fmkit runs` lists them all.")


def _last(known: list[RunSummary], root: Path, key: str) -> Path:
    for run in known:
        if run.state == run_dir.DONE:
            return run.folder
    counts = Counter(run.state for run in known)
    there = ", ".join(f"{count} {state}" for state, count in counts.items())
    raise ArtifactError(
        f"{key}: {LAST!r} is the newest run that is done, and none in {absolute_path(root)} is: "
        f"{there}.",
        f"The newest one of all is {known[0].id}.",
    )


def _not_found(text: str, known: list[RunSummary], root: Path, key: str) -> str:
    allowed = [run.id for run in known] + [run.name for run in known if run.name]
    # An id is long, and what a user remembers is its end.
    ends = {each.rpartition("-")[2]: each for each in allowed if "-" in each}
    close = errors.closest_names(text, allowed) + [
        ends[each] for each in errors.closest_names(text, ends)
    ]
    clue = f"Nearest: {', '.join(dict.fromkeys(close))}." if close else f"Newest: {known[0].id}."
    message = received(key, text, "a run's folder, id or name, part of an id, or `last`")
    return f"{message} No run in {absolute_path(root)} fits. {clue}"


def best(
    root: Path,
    metric: str = "test.accuracy",
    data: str | None = None,
    larger_is_better: bool = True,
) -> list[RunSummary]:
    """The runs that have a figure, the best one first.

    Args:
        root: folder of runs.
        metric: `test.` or `val.` and a figure.
        data: only runs on this data; figures on different data do not compare.
        larger_is_better: whether the run with the largest value comes first.

    Raises:
        ConfigError: no run has that figure, and some have others.
        ArtifactError: no run has any.
    """
    known = [run for run in runs(root) if run.state != BROKEN and data in (None, run.data)]
    ranked = [run for run in known if metric_value(run, metric) is not None]
    if not ranked:
        there = sorted({key for run in known for key in metrics(run)})
        if there:
            raise ConfigError(received("metric", metric, there))
        on = f" on {data}" if data else ""
        raise ArtifactError(f"No run in {absolute_path(root)}{on} has figures of a split yet.")
    sign = -1 if larger_is_better else 1
    return sorted(ranked, key=lambda run: sign * (metric_value(run, metric) or 0.0))


def metrics(run: RunSummary) -> dict[str, float]:
    """The finite numbers in a run's `test` and `val`, by `split.figure`."""
    return {**flat_numbers("test", run.test), **flat_numbers("val", run.val)}


def metric_value(run: RunSummary, metric: str) -> float | None:
    """One of `figures`, or None."""
    return metrics(run).get(metric)


def flat_numbers(prefix: str, mapping: Mapping[str, Any] | None) -> dict[str, float]:
    """The finite numbers of a mapping, by `prefix.key`."""
    return {
        f"{prefix}.{key}": value
        for key, value in (mapping or {}).items()
        if isinstance(value, _NUMBER)
        and not isinstance(value, bool)
        and -_LARGEST < value < _LARGEST
    }
