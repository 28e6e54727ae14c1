"""What a signal means, decided in one place: the end, a save, or leaving at once.

SIGTERM, SIGINT and SIGHUP ask for the end. In a careful region (a training step, a save) that waits
until the region ends; elsewhere it comes at once. A second one leaves at once everywhere. SIGUSR1
asks for a save and ends nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

_SAME_SECONDS = 0.2
"""Signals that come so soon after the first are part of it: `timeout` and terminals send two."""
_GRACE_SECONDS = 1.0
"""What is left after the second one for writing down how the run ended."""


class SignalReceived(KeyboardInterrupt):
    """A signal asks for the end, here and now.

    A KeyboardInterrupt, so that no `except Exception` around a library's call swallows it.

    Args:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class _Listener:
    """Handles the signals of one process, from `start` to `stop`."""

    def __init__(self) -> None:
        self.asked: int | None = None
        self.wants_save = False
        self.depth = 0
        self.exit_code: int | None = None
        self._asked_at = 0.0
        self._has_left = False
        self._before: dict[int, Any] = {}
        self._stopped = threading.Event()

    def start(self) -> None:
        """Take over the signals.

        Raises:
            ValueError: this is not the main thread.
        """
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        try:
            self._wakeup_before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        except ValueError:
            os.close(self._read)
            os.close(self._write)
            raise
        for number in _heard_signals():
            self._before[number] = signal.signal(number, self._handle)
        threading.Thread(target=self._watch, name="fmkit-signals", daemon=True).start()

    def stop(self) -> None:
        """Give the signals back."""
        self._stopped.set()
        for number, before in self._before.items():
            signal.signal(number, before)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._write)  # which ends the thread

    def forget(self) -> None:
        """In a forked child: it ends when its parent says so, and has nothing to save."""
        signal.set_wakeup_fd(-1)
        for number in self._before:
            ends = number not in (signal.SIGINT, _SAVE)
            signal.signal(number, signal.SIG_DFL if ends else signal.SIG_IGN)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == _SAVE:
            self.wants_save = True
        elif self.exit_code is not None:
            os._exit(self.exit_code)
        elif self.asked is None:
            self.asked, self._asked_at = number, time.monotonic()
            if self.depth == 0:
                self._leave(number)
            _tell(number)
        elif not self._has_left and time.monotonic() - self._asked_at >= _SAME_SECONDS:
            self._leave(self.asked)

    def _leave(self, number: int) -> None:
        self._has_left = True
        raise SignalReceived(number)

    def _watch(self) -> None:
        """End the process on the second signal if it does not end by itself.

        Native code may run for minutes (XLA compiles), and Python's own handlers wait for it.
        """
        first: tuple[int, float] | None = None
        while content := os.read(self._read, 64):
            for number in content:
                if number == _SAVE or number not in self._before:
                    continue
                if first is None:
                    first = number, time.monotonic()
                elif time.monotonic() - first[1] >= _SAME_SECONDS:
                    if not self._stopped.wait(_GRACE_SECONDS):
                        os._exit(128 + first[0] if self.exit_code is None else self.exit_code)
                    break
        os.close(self._read)


_SAVE = getattr(signal, "SIGUSR1", -1)  # Windows has none
_listener: _Listener | None = None


def _heard_signals() -> list[int]:
    """The signals to handle; a hang-up that was ignored at the start, as by nohup, stays so."""
    heard = [signal.SIGINT, signal.SIGTERM]
    if _SAVE != -1:
        heard.append(signal.SIGUSR1)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        heard.append(signal.SIGHUP)
    return list(heard)


def _tell(number: int) -> None:
    name = signal.Signals(number).name
    said = f"\n{name}: stopping after this step and saving; once more leaves at once\n"
    with contextlib.suppress(OSError):  # not `sys.stderr`: it may be in the middle of a write
        os.write(2, said.encode())


def _in_child() -> None:
    global _listener
    if _listener is not None:
        _listener.forget()
        _listener = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


@contextlib.contextmanager
def signal_handlers(for_good: bool = False) -> Iterator[None]:
    """Handle signals inside; where that is done already, nothing changes.

    Outside the main thread signals cannot be handled, and whoever runs us does.

    Args:
        for_good: leave the handlers in place, since the process is about to end.
    """
    global _listener
    listener = _Listener()
    if _listener is not None:
        yield
        return
    try:
        listener.start()
    except ValueError:
        yield
        return
    _listener = listener
    try:
        yield
    finally:
        if not for_good:
            listener.stop()
            _listener = None


def stop_signal() -> int | None:
    """The signal that asked for the end, if one has."""
    return None if _listener is None else _listener.asked


def raise_if_stopped() -> None:
    """Leave, if a signal has asked for the end.

    Raises:
        Signalled: one has.
    """
    number = stop_signal()
    if number is not None:
        raise SignalReceived(number)


def take_save_request() -> bool:
    """Whether a save was asked for since the last call."""
    if _listener is None or not _listener.wants_save:
        return False
    _listener.wants_save = False
    return True


@contextlib.contextmanager
def defer_signals() -> Iterator[None]:
    """Let a first signal wait while something is trained or written; call `check` afterwards.

    Raises:
        Signalled: one had come before.
    """
    listener = _listener
    if listener is None:
        yield
        return
    listener.depth += 1
    try:
        if listener.depth == 1:
            raise_if_stopped()
        yield
    finally:
        listener.depth -= 1


def exit_with(exit_code: int) -> None:
    """The command is done: from now on a signal ends the process with this code."""
    if _listener is not None:
        _listener.exit_code = exit_code
