"""What happens on Ctrl-C (SIGINT), `kill` (SIGTERM), a closed terminal (SIGHUP) and SIGUSR1.

SIGINT, SIGTERM and SIGHUP ask the process to stop, and so does SIGALRM, the end of a time limit
(`deadline`). Inside `defer_signals` (a training step, a save)
a first one waits until the block ends, so that a checkpoint can be saved; elsewhere it raises
`SignalReceived` at once. A second one stops the process at once everywhere. SIGUSR1 asks for a
checkpoint and stops nothing.

`train/signal_stop` ends training between steps, `train/callbacks/checkpointing` saves;
`commands/output/failures` words the message.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

message_descriptor = 2
"""Where the handler writes; `console` changes it while it keeps the process's stderr elsewhere."""
_REPEAT_SECONDS = 0.2
"""Signals so soon after the first belong to it: `timeout` and terminals send two."""
_GRACE_SECONDS = 1.0
"""Time after a second signal for recording how the run ended."""
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)


def name_of(number: int) -> str:
    """What stopped a process, for people."""
    return "the time limit" if number == signal.SIGALRM else signal.Signals(number).name


class SignalReceived(KeyboardInterrupt):
    """A signal asks the process to stop now.

    A KeyboardInterrupt, so that no `except Exception` around a library's call swallows it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class _SignalHandler:
    """Handles the signals of one process, from `install` to `restore`."""

    def __init__(self) -> None:
        self.stop_signal: int | None = None
        self.save_requested = False
        self.defer_depth = 0
        self.exit_code: int | None = None
        self._stop_time = 0.0
        self.first: tuple[int, float] | None = None  # a signal and its time, for `_watch`
        self.has_raised = False
        self.previous: dict[int, Any] = {}
        self._restored = threading.Event()

    def install(self) -> None:
        """Take over the signals.

        Raises:
            ValueError: this is not the main thread.
        """
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        try:
            self._previous_wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        except ValueError:
            os.close(self._read)
            os.close(self._write)
            raise
        for number in (*_STOPPING, signal.SIGUSR1):
            # nohup starts a process with SIGHUP ignored, and it must stay ignored.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self.previous[number] = signal.signal(number, self._handle)
        threading.Thread(target=self._watch, name="fmkit-signals", daemon=True).start()

    def restore(self) -> None:
        """Give the signals back to their previous handlers."""
        self._restored.set()
        for number, handler in self.previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_wakeup)
        os.close(self._write)  # ends the thread

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGUSR1:
            self.save_requested = True
        elif self.exit_code is not None:
            os._exit(self.exit_code)
        elif self.stop_signal is None:
            self.stop_signal, self._stop_time = number, time.monotonic()
            if self.defer_depth == 0:
                self.has_raised = True
                raise SignalReceived(number)
            name = name_of(number)
            message = f"\n{name}: stopping after this step and saving; once more stops at once\n"
            with contextlib.suppress(OSError):
                # Not `sys.stderr`, which may be in the middle of a write.
                os.write(message_descriptor, message.encode())
        elif number == signal.SIGALRM:
            pass  # it stops already
        elif not self.has_raised and time.monotonic() - self._stop_time >= _REPEAT_SECONDS:
            self.has_raised = True
            raise SignalReceived(self.stop_signal)

    def _watch(self) -> None:
        """End the process on the second signal if it does not end by itself.

        Native code may run for minutes (XLA compiles), and Python runs handlers only afterwards.
        """
        while numbers := os.read(self._read, 64):
            for number in numbers:
                if number == signal.SIGUSR1 or number not in self.previous:
                    continue
                if self.first is None:
                    self.first = number, time.monotonic()
                elif number == signal.SIGALRM:
                    continue
                elif time.monotonic() - self.first[1] >= _REPEAT_SECONDS:
                    code = 128 + self.first[0] if self.exit_code is None else self.exit_code
                    if not self._restored.wait(_GRACE_SECONDS):
                        os._exit(code)
                    break
        os.close(self._read)


_handler: _SignalHandler | None = None


def _reset_in_child() -> None:
    """In a forked worker: ignore what the parent decides on, and die of the other signals."""
    global _handler
    if _handler is not None:
        signal.set_wakeup_fd(-1)
        for number in _handler.previous:
            # Ctrl-C reaches the whole process group; the parent stops its workers itself.
            is_ignored = number in (signal.SIGINT, signal.SIGUSR1)
            signal.signal(number, signal.SIG_IGN if is_ignored else signal.SIG_DFL)
        _handler = None


os.register_at_fork(after_in_child=_reset_in_child)


@contextlib.contextmanager
def signal_handlers(until_exit: bool = False) -> Iterator[None]:
    """Handle signals inside the block; nested in another such block it does nothing.

    Outside the main thread signals cannot be handled, and whatever runs us handles them.

    Args:
        until_exit: leave the handlers in place after the block, since the process is about to end.
    """
    global _handler
    if _handler is not None:
        yield
        return
    handler = _SignalHandler()
    try:
        handler.install()
    except ValueError:
        yield
        return
    _handler = handler
    try:
        yield
    finally:
        if not until_exit:
            handler.restore()
            _handler = None


def stop_signal() -> int | None:
    """The signal that asked the process to stop, if one has."""
    return None if _handler is None else _handler.stop_signal


def raised_signal() -> int | None:
    """The signal that was raised as `SignalReceived`, if one was, even where a library caught it.

    While TensorFlow traces, it turns whatever is raised inside some conversions into a TypeError.
    """
    return None if _handler is None or not _handler.has_raised else _handler.stop_signal


def raise_if_stopped() -> None:
    """Raise if a signal has asked the process to stop.

    Raises:
        SignalReceived: one has.
    """
    number = stop_signal()
    if number is not None:
        raise SignalReceived(number)


@contextlib.contextmanager
def deadline(seconds: float | None) -> Iterator[None]:
    """Stop the process by SIGALRM when the block has run for so long; None: never.

    Without handlers (outside the main thread) nothing stops it.
    """
    if _handler is None or seconds is None:
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        end_deadline()


def end_deadline() -> None:
    """Let no deadline stop the process any more."""
    signal.setitimer(signal.ITIMER_REAL, 0)


def is_deadline(exit_code: int) -> bool:
    """Whether a command ended since its time was over."""
    return exit_code == 128 + signal.SIGALRM


def has_met_deadline() -> bool:
    """Whether it was a deadline that asked the process to stop."""
    return stop_signal() == signal.SIGALRM


def forget_deadline() -> None:
    """Go on with other work after a deadline has stopped a part of it."""
    if _handler is not None and has_met_deadline():
        _handler.stop_signal, _handler.has_raised, _handler.first = None, False, None


def take_save_request() -> bool:
    """Whether SIGUSR1 asked for a checkpoint since the last call."""
    if _handler is None or not _handler.save_requested:
        return False
    _handler.save_requested = False
    return True


@contextlib.contextmanager
def defer_signals() -> Iterator[None]:
    """Let a first signal wait until the block ends; call `raise_if_stopped` afterwards.

    Raises:
        SignalReceived: one had come before the block.
    """
    handler = _handler
    if handler is None:
        yield
        return
    handler.defer_depth += 1
    try:
        if handler.defer_depth == 1:
            raise_if_stopped()
        yield
    finally:
        handler.defer_depth -= 1


def exit_with(exit_code: int) -> None:
    """The command is done: from now on a signal ends the process with this exit code."""
    if _handler is not None:
        _handler.exit_code = exit_code
