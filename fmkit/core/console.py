"""The one place that prints: results to stdout, progress and messages to stderr."""

from __future__ import annotations

import contextlib
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
out = _Console(soft_wrap=True, highlight=False, emoji=False)
err = _Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)


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


def plain(text: str) -> str:
    """Text from outside, with what a terminal would obey or not show written out: `\\x1b`."""
    return sanitize.written_out(text, kept="\n")


def clean(text: str) -> str:
    """Text from outside (file names, class names) as markup that shows it as it is, on one line."""
    # `escape` doubles a last backslash, for a tag might follow; a blank in between prevents it.
    return escape(f"{sanitize.written_out(text)} ")[:-1]


def stream(text: str) -> None:
    """A piece of a text to stdout at once, as it is but for what a terminal would obey."""
    if out.quiet:
        return
    try:
        out.file.write(sanitize.written_out(text, kept="\n\t"))
        out.file.flush()
    except OSError:  # nobody reads any more
        out.on_broken_pipe()


def say(text: str) -> None:
    """One line of progress, to stderr."""
    err.print(Text(_told(text)))


def warn(text: str) -> None:
    """Something the user should know and need not act on, to stderr."""
    err.print(Text.assemble(("warning:", "yellow"), " ", _told(text)))


def complain(message: str, hint: str = "") -> None:
    """An error's one message, to stderr."""
    err.print(Text.assemble(("error:", "bold red"), " ", _told(message)))
    if hint:
        err.print(Text(f"  {_told(hint)}"))


def _told(text: str) -> str:
    return plain(sanitize.struck_out(text))


@contextlib.contextmanager
def diverted(path: Path) -> Iterator[None]:
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
