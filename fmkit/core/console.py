"""Terminal output: results to stdout, progress, warnings and errors to stderr."""

import contextlib
import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from fmkit.core import sanitize, signals
from fmkit.core.errors import ResourceError
from fmkit.core.files import DISK_FULL_ERRORS

_SLOW_SECONDS = 2.0


class PipeSafeConsole(Console):
    """A console that falls silent when its reader is gone, as with `| head`.

    Attributes:
        disk_full: the error that silenced it, where its output goes to a full disk.
    """

    disk_full: OSError | None = None

    def _check_buffer(self) -> None:
        try:
            super()._check_buffer()
        except OSError as error:
            self.silence(error)

    def silence(self, error: OSError) -> None:
        """Print nothing any more, since an attempt failed."""
        if error.errno in DISK_FULL_ERRORS:
            self.disk_full = error
        self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        """Print nothing any more; rich calls this itself where the reader is gone."""
        self.quiet = True
        # Python flushes its own streams at exit, which would fail again.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, signals.message_descriptor if self.stderr else 1)
        os.close(null)


# Without emoji: a class called `:dog:` must not become a picture.
stdout = PipeSafeConsole(soft_wrap=True, highlight=False, emoji=False)
stderr = PipeSafeConsole(stderr=True, soft_wrap=True, highlight=False, emoji=False)


def prepare_streams() -> None:
    """Make stdin, stdout and stderr safe to use, whatever the process was started with.

    The descriptor of a closed stream would go to the next file that is opened, and native libraries
    would print into that file. Characters that the locale lacks are escaped.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor: this one
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            number = 1 if name == "stdout" else 2
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115
        else:
            stream.reconfigure(errors="backslashreplace")


def escape_markup(text: str) -> str:
    """Text from outside (file names, class names) as rich markup that shows it literally."""
    # `escape` doubles a final backslash, since a tag might follow; a space in between prevents it.
    return escape(f"{sanitize.escape_invisible(text)} ")[:-1]


def write_stdout(text: str) -> None:
    """Print a piece of generated text at once, with control characters escaped."""
    if stdout.quiet:
        return
    try:
        stdout.file.write(sanitize.escape_invisible(text, keep="\n\t"))
        stdout.file.flush()
    except OSError as error:  # the reader is gone
        stdout.silence(error)


def require_complete_output() -> None:
    """Raise if results could not be printed because stdout is a file on a full disk.

    Raises:
        ResourceError: a result is cut off, though the command has done the rest of its work.
    """
    if stdout.disk_full is not None:
        raise ResourceError(
            f"the output is cut off: {stdout.disk_full.strerror}.", "Free some space and repeat."
        )


def clean(text: str) -> str:
    """Text from outside without secrets and with invisible characters escaped, `\\x1b`."""
    return sanitize.escape_invisible(sanitize.redact(text), keep="\n")


def info(text: str) -> None:
    """Print one line of progress to stderr."""
    stderr.print(Text(clean(text)))


def warning(text: str) -> None:
    """Print to stderr what the user should know and need not act on."""
    stderr.print(Text.assemble(("warning:", "yellow"), " ", clean(text)))


def error(message: str, hint: str = "") -> None:
    """Print an error message, and what to do about it, to stderr."""
    stderr.print(Text.assemble(("error:", "bold red"), " ", clean(message)))
    if hint:
        lines = clean(hint).replace("\n", "\n  ")
        stderr.print(Text(f"  {lines}"))


@contextlib.contextmanager
def redirect_stderr(path: Path) -> Iterator[None]:
    """Append what libraries write to stderr to a file instead; fmkit's own messages stay.

    TensorFlow reports missing GPU drivers when it is imported and warns as it traces, whatever
    Python's settings are: noise for whoever trains, and useful in a log. A block inside another one
    changes the file until the end of the outer one.
    """
    try:
        target = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    except OSError:  # a read-only run folder
        target = os.open(os.devnull, os.O_WRONLY)
    _flush_stderr()
    is_nested = signals.message_descriptor != 2
    original = signals.message_descriptor if is_nested else os.dup(2)
    os.dup2(target, 2)
    os.close(target)
    if is_nested:
        yield
        return
    signals.message_descriptor = original
    try:
        with _own_messages_to(original):
            yield
    finally:
        _flush_stderr()
        signals.message_descriptor = 2
        os.dup2(original, 2)
        os.close(original)


def _flush_stderr() -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.flush()


@contextlib.contextmanager
def _own_messages_to(descriptor: int) -> Iterator[None]:
    """Let the console write to a descriptor, unless Python's stderr is not the process's own."""
    try:
        is_own = not stderr.is_jupyter and sys.stderr.fileno() == 2
    except (OSError, ValueError, AttributeError):  # a test or a notebook has replaced it
        is_own = False
    if not is_own:
        yield
        return
    encoding = sys.stderr.encoding
    with open(
        descriptor, "w", encoding=encoding, errors="backslashreplace", buffering=1, closefd=False
    ) as stream:
        stderr.file = stream
        try:
            yield
        finally:
            stderr.file = None  # type: ignore[assignment]  # whatever sys.stderr is


@contextlib.contextmanager
def announce_slow(text: str, verbose: bool = True) -> Iterator[Callable[[], None]]:
    """Print a line of progress if a block takes longer than two seconds.

    Args:
        verbose: whether to print it at all.

    Yields:
        What ends the wait ahead of the block's end; it may be called more than once.
    """
    timer = threading.Timer(_SLOW_SECONDS, info, (text,))
    timer.daemon = True
    if verbose:
        timer.start()
    try:
        yield timer.cancel
    finally:
        timer.cancel()


def has_unicode() -> bool:
    """Whether stdout can show box drawings and blocks, by its encoding."""
    try:
        "├▁█".encode(stdout.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def can_animate() -> bool:
    """Whether stderr can show a bar that moves: on a terminal, or in a notebook with widgets."""
    if stderr.is_jupyter:  # which rich does not count as a terminal
        return importlib.util.find_spec("ipywidgets") is not None
    return stderr.is_terminal
