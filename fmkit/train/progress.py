"""Progress of a run: a live bar on a terminal, and a line for each epoch."""

from __future__ import annotations

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from fmkit.core import console
from fmkit.core.throttle import Throttle

_SECONDS_PER_UPDATE = 0.1


class TrainingProgress:
    """Shows phase, epoch, step, metrics, examples per second and the time left, if verbose."""

    def __init__(self, verbose: bool = True) -> None:
        self._is_shown = verbose and console.can_animate()
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[metrics]}"),
            TimeRemainingColumn(),
            console=console.stderr,
            transient=True,
        )
        self._throttle = Throttle(_SECONDS_PER_UPDATE, delay=0)

    def __enter__(self) -> TrainingProgress:
        if self._is_shown:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._is_shown:
            self._bar.stop()

    def begin(self, phase: str, epochs: int, steps: int) -> None:
        """A phase of `steps` steps begins."""
        self._phase, self._epochs = phase, epochs
        for task in self._bar.task_ids:
            self._bar.remove_task(task)
        self._task = self._bar.add_task(console.escape_markup(phase), total=steps, metrics="")

    def is_due(self) -> bool:
        """Whether `step` should be called now: ten times a second at most."""
        return self._is_shown and self._throttle.is_due()

    def step(self, epoch: int, step: int, metrics: str) -> None:
        """`step` steps of the phase are done; `metrics` is shown beside them."""
        self._bar.update(
            self._task,
            completed=step,
            description=f"{console.escape_markup(self._phase)} {epoch}/{self._epochs}",
            metrics=console.escape_markup(metrics),
        )
