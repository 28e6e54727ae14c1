"""A record of one run in an experiment tracker: what it is made of, and what every tracker does."""

from __future__ import annotations

import math
import numbers
import shlex
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fmkit.core import safe_io
from fmkit.core.errors import ArtifactError
from fmkit.store import run_content, run_dir, run_index
from fmkit.store.run_reader import RunReader

NOT_METRICS = ("phase", "epoch", "step")
"""Keys of a row of metrics.jsonl that say where it belongs."""

_FILES = (
    *(run_dir.CONFIG, run_dir.ENVIRONMENT, run_dir.DATA_REPORT, run_dir.RECIPE),
    *(run_dir.REPORT, run_dir.MODEL_CARD),
)


@dataclass(frozen=True)
class Facts:
    """What a record says of its run from the beginning.

    Attributes:
        id: the run's, `SWEEP-JOB` for the job of a sweep.
        config: the values of its config.yaml by full key: secrets are redacted there, and
            references to environment variables stay references.
        tags: by name: the run, its command, its git commit, the run that it started from ...
        sweep: the id of its sweep; empty for a single run.
    """

    id: str
    name: str
    command: str
    started: str | None
    commit: str
    config: Mapping[str, Any]
    tags: Mapping[str, str]
    sweep: str = ""


@dataclass(frozen=True)
class Summary:
    """What a run has come to.

    Attributes:
        state: as `run_index.read` has it: done, failed, interrupted, dead, or running.
        metrics: numbers of the evaluations as `split/metric`, and of the best epoch.
        files: by path in the record, what is to be sent.
        models: the same of the model and the best checkpoint; empty unless they were asked for.
    """

    state: str
    ended: str | None
    step: int
    metrics: Mapping[str, float]
    files: Mapping[str, Path] = field(default_factory=dict)
    models: Mapping[str, Path] = field(default_factory=dict)


class Tracker(ABC):
    """The record of one run in a tracker. Methods raise whatever the tracker's client raises.

    Attributes:
        confirms_at_end: only `close` tells that what was logged has arrived.
    """

    confirms_at_end = False

    @abstractmethod
    def open(self, facts: Facts, identity: str | None, place: str | None) -> None:
        """Begin the record, or go on with the one of that identity.

        Args:
            identity: of the record, as `self.identity` was; None where there is none yet.
            place: where that is, as `self.place` was.
        """

    @property
    @abstractmethod
    def identity(self) -> str:
        """The record's name in the tracker."""

    @property
    def place(self) -> str | None:
        """What the record is kept in, for who goes on with it elsewhere."""
        return None

    @property
    def url(self) -> str | None:
        """Where the record can be looked at."""
        return None

    @abstractmethod
    def log_rows(
        self, rows: Sequence[Mapping[str, Any]], first: int, phases: Sequence[str]
    ) -> None:
        """Send rows of metrics.jsonl.

        Args:
            first: the number of the first of them there.
            phases: of all rows so far, in their order.
        """

    @abstractmethod
    def log_summary(self, summary: Summary) -> None:
        """Send the figures and the files at the end of a run."""

    @abstractmethod
    def close(self, summary: Summary) -> None:
        """End the record; what was sent has arrived."""


def facts(folder: Path) -> Facts:
    """What the record of a run says from the beginning.

    Raises:
        ArtifactError: its config.yaml cannot be read.
    """
    reader, run = RunReader(folder), run_index.read(folder)
    sweep = folder.absolute().parent
    sweep_id = sweep.name if sweep.parent.name == run_index.SWEEPS else ""
    identity = f"{sweep_id}-{folder.name}" if sweep_id else folder.name
    git = run_content.json_or_empty(folder / run_dir.ENVIRONMENT).get("git")
    commit = str(git.get("commit", "")) if isinstance(git, dict) else ""
    words = ["fmkit", run.command or "finetune", *reader.overrides()]
    tags = {
        "run": identity,
        "command": shlex.join(words),
        "fmkit": run.fmkit or "",
        "git_commit": commit,
        "parent": Path(run.init).name if run.init else "",
        "sweep": sweep_id,
        "task": run.task or "",
        "model": run.model or "",
        "data": run.data_label or "",
        "stage": str(run.stage or ""),
    }
    return Facts(
        identity, run.name or identity, run.command or "finetune", run.started, commit,
        run_content.flat(reader.config()), {key: text for key, text in tags.items() if text},
        sweep_id,
    )  # fmt: skip


def summary(folder: Path, with_model: bool) -> Summary:
    """What a run has come to, so far as it has recorded it.

    Args:
        with_model: send the model and the best checkpoint, too.
    """
    run = run_index.read(folder)
    figures: dict[str, float] = {}
    for split, values in run_content.evaluations(folder, run).items():
        figures |= {f"{split}/{name}": value for name, value in numbers_in(values).items()}
    best = run.best or {}
    figures |= {f"best/{key}": value for key, value in numbers_in(best, ("epoch", "step")).items()}
    if isinstance(best.get("monitor"), str):
        figures |= {f"best/{best['monitor']}": v for v in numbers_in(best, ("value",)).values()}
    models = dict(_models(folder, best.get("step"))) if with_model else {}
    return Summary(run.state, run.ended, run.step or 0, figures, dict(_files(folder)), models)


def numbers_in(values: Mapping[str, Any], only: Sequence[str] = ()) -> dict[str, float]:
    """The finite numbers among some values, by key; truth values are none."""
    return {
        key: float(value)
        for key, value in values.items()
        if isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
        if not only or key in only
    }


def row_metrics(row: Mapping[str, Any]) -> dict[str, float]:
    """The metrics in a row of metrics.jsonl."""
    return {key: value for key, value in numbers_in(row).items() if key not in NOT_METRICS}


def _files(folder: Path) -> Iterable[tuple[str, Path]]:
    """Small files that describe the run; no table of examples."""
    paths = [folder / name for name in _FILES]
    paths += sorted((folder / run_dir.EVALUATION).glob("*.json"))
    paths += sorted((folder / run_dir.PLOTS).glob("*.png"))
    yield from ((path.relative_to(folder).as_posix(), path) for path in paths if path.is_file())


def _models(folder: Path, best_step: Any) -> Iterable[tuple[str, Path]]:
    """The model's files, and those of the best checkpoint."""
    places = {"model": [folder / run_dir.MODEL, folder / run_dir.TOKENIZER]}
    if type(best_step) is int:
        places["checkpoint"] = [folder / run_dir.CHECKPOINTS / f"step-{best_step:08d}"]
    for place, paths in places.items():
        for path in paths:
            inner = [path] if path.is_file() else sorted(path.rglob("*"))
            for file in inner:
                if file.is_file() and not file.is_symlink():
                    yield f"{place}/{file.relative_to(path.parent).as_posix()}", file


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl so far; the last one may just be written.

    Raises:
        ArtifactError: a row is damaged.
    """
    try:
        return list(safe_io.read_json_lines(path))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}.") from error
