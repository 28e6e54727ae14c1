"""Signals in the training loop: stop after the step (Ctrl-C, SIGTERM), or save (SIGUSR1).

`core/signals` says what each signal means and has the handlers.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras

from fmkit.core import console, signals


class SignalStop(keras.callbacks.Callback):
    """Ends training after the current step when a signal asks for it; saves when one asks for that.

    Attributes:
        signal_number: the signal that cuts the epoch short, or None. One that arrives after the
            last step and the last batch of validation does not: the epoch ends like any other.
        request_save: asks for a checkpoint of this step; set for the time of a phase.
    """

    def __init__(self) -> None:
        super().__init__()
        self.signal_number: int | None = None
        self.request_save: Callable[[], None] | None = None
        self._deferral, self._is_deferring = contextlib.ExitStack(), True

    @contextlib.contextmanager
    def deferring(self) -> Iterator[None]:
        """From the end of the first step in this context on, a signal waits for the end of a step.

        Before that there is nothing to save, and tracing may take a minute: a signal acts at once.
        """
        with contextlib.ExitStack() as self._deferral:
            self._is_deferring = False
            yield

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Stop training, or save."""
        if not self._is_deferring:
            self._deferral.enter_context(signals.defer_signals())
            self._is_deferring = True
        self.signal_number = signals.stop_signal()
        if self.signal_number is not None:
            self.model.stop_training = self.model.is_cut_short = True
        elif self.request_save is not None and signals.take_save_request():
            console.info("SIGUSR1: saving this step and going on")
            self.request_save()

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Stop validating."""
        self.signal_number = signals.stop_signal()
        if self.signal_number is not None:
            self.model.stop_evaluating = True
