"""How a run looks while it runs: a live line on a terminal, a plain line an epoch when piped."""

from __future__ import annotations

import time
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


class TrainingProgress:
    """Shows phase, epoch, step, metrics, examples per second and the time left.

    Args:
        shown: False keeps silent.
    """

    def __init__(self, shown: bool = True) -> None:
        self._shown = shown
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._last = 0.0

    def __enter__(self) -> TrainingProgress:
        if self._shown and console.can_animate():
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[numbers]}"),
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
        """A phase of so many steps begins."""
        self._phase, self._epochs = phase, epochs
        if self._bar is not None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(console.escape_markup(phase), total=steps, numbers="")

    def is_due(self) -> bool:
        """Whether the display wants a step now; it takes ten a second at most."""
        return self._bar is not None and time.monotonic() - self._last >= 0.1

    def step(self, epoch: int, step: int, numbers: str) -> None:
        """The phase has done `step` steps; `numbers` is what to show beside them."""
        if self._bar is None or self._task is None:
            return
        self._last = time.monotonic()
        self._bar.update(
            self._task,
            completed=step,
            description=f"{console.escape_markup(self._phase)} {epoch}/{self._epochs}",
            numbers=console.escape_markup(numbers),
        )

    def epoch(self, line: str) -> None:
        """An epoch has ended; its line stays on the screen."""
        if self._shown:
            console.info(line)
