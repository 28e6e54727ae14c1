"""How far a prediction or an evaluation is: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import keras
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from fmkit.core import console
from fmkit.core.throttle import Throttle

_SECONDS_PER_LINE = 10.0


class Progress(keras.callbacks.Callback):
    """Shows how many examples are done; also a callback of Keras' `predict` and `evaluate`.

    Args:
        title: what is done, such as `predict`.
        noun: the examples, in the plural.
        total: how many there are.
        step: examples of a batch, where Keras counts them.
        verbose: whether anything is shown.
    """

    def __init__(
        self, title: str, noun: str, total: int, step: int = 1, verbose: bool = True
    ) -> None:
        super().__init__()
        self._text, self._total, self._step, self._done = f"{title}: {noun}", total, step, 0
        self._is_bar = verbose and console.can_animate()
        self._is_verbose, self._throttle = verbose, Throttle(_SECONDS_PER_LINE)
        columns = TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn()
        self._bar = Bar(*columns, TimeRemainingColumn(), console=console.stderr, transient=True)
        self._task = self._bar.add_task(self._text, total=total)

    def __enter__(self) -> Self:
        if self._is_bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_bar:
            self._bar.stop()

    def advance(self, count: int) -> None:
        """So many more examples are done."""
        self._done = min(self._total, self._done + count)
        if self._is_bar:
            self._bar.update(self._task, completed=self._done)
        elif self._is_verbose and self._done < self._total and self._throttle.is_due():
            console.info(f"{self._text}, {self._done:,} of {self._total:,} done")

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        """A batch has been predicted."""
        self.advance(self._step)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """A batch has been evaluated."""
        self.advance(self._step)
