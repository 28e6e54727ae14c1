"""Progress of a run: a live bar on a terminal, and a line for each epoch."""

from __future__ import annotations

from types import TracebackType

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from fmkit.core import console
from fmkit.core.throttle import Throttle

_SECONDS_PER_UPDATE = 0.1


class TrainingProgress:
    """Shows phase, epoch, step, metrics, examples per second and the time left.

    Args:
        verbose: False shows nothing.
    """

    def __init__(self, verbose: bool = True) -> None:
        self._verbose = verbose
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._throttle = Throttle(_SECONDS_PER_UPDATE, delay=0)

    def __enter__(self) -> TrainingProgress:
        if self._verbose and console.can_animate():
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
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, phase: str, epochs: int, steps: int) -> None:
        """A phase of `steps` steps begins."""
        self._phase, self._epochs = phase, epochs
        if self._bar is not None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(console.escape_markup(phase), total=steps, metrics="")

    def is_due(self) -> bool:
        """Whether `step` should be called now: ten times a second at most."""
        return self._bar is not None and self._throttle.is_due()

    def step(self, epoch: int, step: int, metrics: str) -> None:
        """`step` steps of the phase are done; `metrics` is shown beside them."""
        if self._bar is None or self._task is None:
            return
        self._bar.update(
            self._task,
            completed=step,
            description=f"{console.escape_markup(self._phase)} {epoch}/{self._epochs}",
            metrics=console.escape_markup(metrics),
        )

    def epoch(self, line: str) -> None:
        """An epoch has ended; its line stays on the screen."""
        if self._verbose:
            console.info(line)
