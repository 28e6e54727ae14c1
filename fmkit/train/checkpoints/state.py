"""What a checkpoint says of where a run stands."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fmkit.core.errors import ArtifactError
from fmkit.train.checkpoints import checkpoint
from fmkit.train.checkpoints.checkpoint import Checkpoint
from fmkit.train.position import Position

SCHEMA = 1
_RESULT = {"name", "epochs", "seconds", "best", "skipped"}
_BEST: dict[str, Any] = {
    "phase": str,
    "epoch": int,
    "step": int,
    "monitor": str,
    "value": (int, float),
}


@dataclass(frozen=True)
class SavedState:
    """A checkpoint to go on from, with all that its state says.

    Attributes:
        checkpoint: where the arrays are.
        phase: the phase's name.
        epoch: epochs of it that had ended.
        step: optimizer calls since the run began.
        phase_step: the same since the phase began.
        best: the best epoch of the run so far, or None.
        phase_best: the best of the phase.
        stale: epochs since then.
        rows: of metrics.jsonl.
        row_loss: steps of the epoch when the last row for a step was written, and their mean loss.
        logs: training metrics of an epoch whose steps were done and whose validation was not.
        seconds: that the phase had taken.
        results: of the phases before.
        skipped: by phase, why it does not run.
        features: SHA-256 of the features that the phase trained on; None if it took images.
        config: the config by full key.
    """

    checkpoint: Checkpoint
    phase: str
    epoch: int
    step: int
    phase_step: int
    best: dict[str, Any] | None
    phase_best: dict[str, Any] | None
    stale: int
    rows: int
    row_loss: tuple[int, float]
    logs: dict[str, float] | None
    seconds: float
    results: list[dict[str, Any]]
    skipped: dict[str, str]
    features: str | None
    config: dict[str, Any] = field(default_factory=dict)

    def place(self) -> Position:
        """Where the run stood."""
        return Position(
            step=self.step,
            phase_start=self.step - self.phase_step,
            epoch=self.epoch,
            best=self.best,
            phase_best=self.phase_best,
            stale=self.stale,
            row_loss=self.row_loss,
            results=list(self.results),
        )


def to_json(
    phase: str,
    here: Mapping[str, Any],
    position: Position,
    rows: int,
    logs: Mapping[str, float] | None,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """The state of a checkpoint as JSON; `read` reads it.

    Args:
        phase: the phase's name.
        here: epoch and step that the weights are of.
        position: where the run stands.
        rows: see `Saved`, as for the next one.
        logs: see `Saved`.
        facts: `seconds`, `skipped`, `features` and `config` of `Saved`.
    """
    return {
        "phase": phase,
        "epoch": here["epoch"],
        "phase_step": here["step"] - position.phase_start,
        "best": position.best,
        "phase_best": position.phase_best,
        "stale": position.stale,
        "resume": {
            "schema": SCHEMA,
            "rows": rows,
            "row_loss": list(position.row_loss),
            "logs": None if logs is None else dict(logs),
            "results": position.results,
            **facts,
        },
    }


def read(saved: Checkpoint) -> SavedState:
    """The state of a verified checkpoint.

    Raises:
        ArtifactError: it is not one that a run can go on from.
    """
    values = checkpoint.read_state(saved)
    more = values.get("resume")
    if not isinstance(more, dict) or more.get("schema") != SCHEMA:
        raise ArtifactError(
            f"checkpoint {saved.folder.name} has no state that training can go on from.",
            "Another version of fmkit wrote it. Start from its weights: fmkit finetune init=RUN",
        )
    wrong = _wrong(values, more)
    if wrong:
        raise ArtifactError(
            f"checkpoint {saved.folder.name}: {checkpoint.STATE} has a wrong value in {wrong}."
        )
    steps, mean = more["row_loss"]
    return SavedState(
        checkpoint=saved,
        phase=values["phase"],
        epoch=values["epoch"],
        step=saved.step,
        phase_step=values["phase_step"],
        best=values["best"],
        phase_best=values["phase_best"],
        stale=values["stale"],
        rows=more["rows"],
        row_loss=(steps, math.nan if mean is None else float(mean)),
        logs=more["logs"],
        seconds=float(more["seconds"]),
        results=more["results"],
        skipped=more["skipped"],
        features=more["features"],
        config=more["config"],
    )


def _wrong(values: Mapping[str, Any], more: Mapping[str, Any]) -> str:
    """The first key of a state whose value makes no sense; empty when all do."""
    numbers, texts = (int, float), (str, type(None))
    results = more.get("results")
    tests = {
        "phase_step": values["phase_step"] <= values["step"],
        "best": _is_best(values["best"]),
        "phase_best": _is_best(values["phase_best"]),
        "rows": _is_count(more.get("rows")),
        "row_loss": _is_row_loss(more.get("row_loss")),
        "logs": more.get("logs") is None or _is_mapping(more["logs"], numbers),
        "seconds": isinstance(more.get("seconds"), numbers),
        "results": isinstance(results, list)
        and all(isinstance(each, dict) and set(each) == _RESULT for each in results),
        "skipped": _is_mapping(more.get("skipped"), str),
        "features": isinstance(more.get("features"), texts),
        "config": isinstance(more.get("config"), dict),
    }
    return next((key for key, is_right in tests.items() if not is_right), "")


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_best(value: Any) -> bool:
    return value is None or all(isinstance(value.get(key), kind) for key, kind in _BEST.items())


def _is_row_loss(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    return _is_count(value[0]) and isinstance(value[1], int | float | type(None))


def _is_mapping(value: Any, kind: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, kind) for each in value.values())


def find(parent: Path) -> tuple[SavedState | None, list[str]]:
    """The newest checkpoint that a run can go on from, and what was wrong with newer ones.

    Args:
        parent: the run's folder of checkpoints.

    Returns:
        None where nothing was ever saved: the run then starts again.

    Raises:
        ArtifactError: there are checkpoints, and none will do; or the best epoch, which the run
            may have to come back to, is gone or damaged.
    """
    if not checkpoint.list_checkpoints(parent):
        return None, []
    chosen, problems = checkpoint.newest(parent)
    saved = read(chosen)
    for best in (saved.best, saved.phase_best):
        if best and best["step"] != saved.step:
            try:
                checkpoint.choose(parent, best["step"])
            except ArtifactError as error:
                raise ArtifactError(
                    f"step {saved.step} is whole, but the best epoch so far is not: "
                    f"{error.message}",
                    "The run may have to come back to it. Put its folder back from a copy.",
                ) from error
    return saved, problems


def named_by(kept: Iterable[Checkpoint]) -> set[int]:
    """The steps whose weights these checkpoints would come back to, as far as they can be read."""
    steps: set[int] = set()
    for each in kept:
        try:
            values = checkpoint.read_state(each)
        except ArtifactError:
            continue
        found = (values["best"], values["phase_best"])
        steps |= {best["step"] for best in found if best and _is_best(best)}
    return steps


def forget_later(parent: Path, step: int) -> None:
    """Delete what is newer than the checkpoint that a run goes on from.

    It is damaged, or only weights; the run comes by those steps again.
    """
    for each in checkpoint.list_checkpoints(parent):
        if each.step > step:
            checkpoint.remove(each.folder)
