"""Progress of a run: a live bar on a terminal, elsewhere a line from time to time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

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

_SECONDS_PER_UPDATE, _SECONDS_PER_LINE = 0.1, 30.0


class TrainingProgress:
    """Shows phase, epoch, step, metrics, examples per second and the time left, if verbose."""

    def __init__(self, verbose: bool = True) -> None:
        self._is_verbose, self._is_bar = verbose, verbose and console.can_animate()
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[metrics]}"),
            TimeRemainingColumn(),
            console=console.stderr,
            transient=True,
            redirect_stderr=False,  # warnings of libraries belong in the log
        )
        seconds = _SECONDS_PER_UPDATE if self._is_bar else _SECONDS_PER_LINE
        self._throttle = Throttle(seconds, delay=0 if self._is_bar else None)

    def __enter__(self) -> TrainingProgress:
        if self._is_bar:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._is_bar:
            self._bar.stop()

    def begin(self, phase: str, epochs: int, steps: int) -> None:
        """A phase of `steps` steps begins."""
        self._phase, self._epochs, self._steps = phase, epochs, steps
        for task in self._bar.task_ids:
            self._bar.remove_task(task)
        self._task = self._bar.add_task(console.escape_markup(phase), total=steps, metrics="")

    def change_length(self, epochs: int, steps: int) -> None:
        """The phase gets another number of epochs and steps."""
        self._epochs, self._steps = epochs, steps
        self._bar.update(self._task, total=steps)

    def announce_slow(self, text: str) -> AbstractContextManager[Callable[[], None]]:
        """`console.announce_slow`, with the phase's name; silent where the run is."""
        return console.announce_slow(f"{self._phase}: {text}", self._is_verbose)

    def is_due(self) -> bool:
        """Whether `step` should be called now: ten times a second, or twice a minute as text."""
        return self._is_verbose and self._throttle.is_due()

    def step(self, epoch: int, step: int, metrics: str) -> None:
        """`step` steps of the phase are done; `metrics` is shown beside them."""
        title = f"{self._phase} {epoch}/{self._epochs}"
        if not self._is_bar:
            console.info(f"{title}  step {step:,} of {self._steps:,}  {metrics}")
            return
        self._bar.update(
            self._task,
            completed=step,
            description=console.escape_markup(title),
            metrics=console.escape_markup(metrics),
        )
