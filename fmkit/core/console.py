"""The one place that prints: results to stdout, progress and messages to stderr."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from fmkit.core import sanitize


class _Console(Console):
    """A console that falls silent when its reader has gone, as with `| head`; the work goes on."""

    def _check_buffer(self) -> None:
        try:
            super()._check_buffer()
        except OSError:  # a terminal that was closed, a full disk
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        """Print no more."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2 if self.stderr else 1)
        os.close(nowhere)


# A class called `:dog:` is not to become a picture, so emoji are off.
stdout = _Console(soft_wrap=True, highlight=False, emoji=False)
stderr = _Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)


def prepare_streams() -> None:
    """Make the process's own streams safe to print to, whatever it was started with.

    A stream that was closed would give its number to the next file that is opened, and what native
    libraries print would land in there. A character that the locale does not have is escaped.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            number = 1 if name == "stdout" else 2
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115
        else:
            stream.reconfigure(errors="backslashreplace")


def escape_text(text: str) -> str:
    """Text from outside, with what a terminal would obey or not show written out: `\\x1b`."""
    return sanitize.escape_invisible(text, kept="\n")


def escape_markup(text: str) -> str:
    """Text from outside (file names, class names) as markup that shows it as it is, on one line."""
    # `escape` doubles a last backslash, for a tag might follow; a blank in between prevents it.
    return escape(f"{sanitize.escape_invisible(text)} ")[:-1]


def write_stdout(text: str) -> None:
    """A piece of a text to stdout at once, as it is but for what a terminal would obey."""
    if stdout.quiet:
        return
    try:
        stdout.file.write(sanitize.escape_invisible(text, kept="\n\t"))
        stdout.file.flush()
    except OSError:  # nobody reads any more
        stdout.on_broken_pipe()


def info(text: str) -> None:
    """One line of progress, to stderr."""
    stderr.print(Text(_told(text)))


def warning(text: str) -> None:
    """Something the user should know and need not act on, to stderr."""
    stderr.print(Text.assemble(("warning:", "yellow"), " ", _told(text)))


def error(message: str, hint: str = "") -> None:
    """An error's one message, to stderr."""
    stderr.print(Text.assemble(("error:", "bold red"), " ", _told(message)))
    if hint:
        stderr.print(Text(f"  {_told(hint)}"))


def _told(text: str) -> str:
    return escape_text(sanitize.redact(text))


@contextlib.contextmanager
def redirect_stderr(path: Path) -> Iterator[None]:
    """Send what native libraries write to stderr to the end of a file.

    TensorFlow tells about missing GPU drivers when it is imported, past every Python setting.
    Nobody without a GPU can use that, and somebody with one may need it.
    """
    try:
        target = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    except OSError:  # a run that may only be read
        target = os.open(os.devnull, os.O_WRONLY)
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    kept = os.dup(2)
    try:
        os.dup2(target, 2)
        yield
    finally:
        with contextlib.suppress(OSError):
            sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(target)


def wants_traceback() -> bool:
    """Whether the user asked to see tracebacks: `FMKIT_TRACEBACK=1`."""
    return os.environ.get("FMKIT_TRACEBACK", "") not in ("", "0")


def can_animate() -> bool:
    """Whether stderr can show a bar that moves: on a terminal, or in a notebook with widgets."""
    if stderr.is_jupyter:  # which rich does not count as a terminal
        return importlib.util.find_spec("ipywidgets") is not None
    return stderr.is_terminal
