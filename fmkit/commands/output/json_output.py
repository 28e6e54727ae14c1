"""`--json`: the result of a command as one JSON object on stdout, everything else on stderr.

A command calls `show` with its result as an object and a function that prints it as tables; which
of the two reaches the user is decided here. The guide's page `scripts` describes the objects.
"""

import contextlib
import dataclasses
import datetime
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fmkit.core import console, files, sanitize
from fmkit.core.errors import FmkitError

VERSION = 1
"""Of the objects: it grows when a key is renamed or removed, not when one is added."""


class _Recorder:
    """What a command has shown while its stdout is kept for the object."""

    def __init__(self) -> None:
        self.result: dict[str, Any] = {}


_recorder: _Recorder | None = None


def is_on() -> bool:
    """Whether the command was called with `--json`."""
    return _recorder is not None


def show(kind: str, content: Mapping[str, Any], view: Callable[[], object]) -> None:
    """Show a command's result; of several the last one counts, such as the sweep after its jobs.

    Args:
        kind: the name of this kind of object.
        content: its keys. Paths, dates, NumPy arrays and dataclasses may be in it.
        view: prints the same for a person, without `--json`.
    """
    if _recorder is None:
        view()
    else:
        head = {"version": VERSION, "kind": kind}
        _recorder.result = {**head, **content, **head}


def run(command: Callable[[], object]) -> None:
    """Run a command and write its object to stdout; what it printed itself is the `text` of one.

    Raises:
        Exception: whatever the command raised; the object then has it as `error`.
    """
    global _recorder
    _recorder = recorder = _Recorder()
    printed = io.StringIO()
    try:
        with _stdout_kept(printed):
            command()
    except (Exception, KeyboardInterrupt) as error:
        # Here, since it loads NumPy, and `fmkit --help` is quick.
        from fmkit.commands.output import failures

        failure = failures.as_fmkit_error(error)
        recorder.result = {
            **(recorder.result or {"version": VERSION, "kind": "error"}),
            "error": error_object(failure),
        }
        if failure is error:
            raise
        raise failure from error
    finally:
        _recorder = None
        text = printed.getvalue()
        if recorder.result:
            sys.stderr.write(text)
        _write(recorder.result or {"version": VERSION, "kind": "text", "text": text})


def error_object(error: FmkitError) -> dict[str, Any]:
    """An error as its object has it."""
    return {
        "message": sanitize.redact(error.message),
        "hint": sanitize.redact(error.hint) or None,
        "exit_code": error.exit_code,
    }


@contextlib.contextmanager
def _stdout_kept(printed: io.StringIO) -> Iterator[None]:
    """Keep what Python prints to stdout; what native code prints there goes to stderr."""
    with contextlib.suppress(OSError, ValueError):  # its reader is gone
        sys.stdout.flush()
    original = os.dup(1)
    try:
        os.dup2(2, 1)
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        os.dup2(original, 1)
        os.close(original)


def _write(content: Mapping[str, Any]) -> None:
    # ASCII, which every locale can write and no terminal takes for a control sequence.
    console.write_stdout(f"{json.dumps(files.nonfinite_to_none(plain(content)), indent=2)}\n")


def plain(value: Any) -> Any:
    """The same value of dictionaries, lists, texts and numbers; paths are absolute, dates ISO."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(map(plain, value))
    if isinstance(value, Path):
        return files.absolute_path(value)  # a script may have another current folder
    if isinstance(value, datetime.date):  # datetime, too
        return value.isoformat()
    if hasattr(value, "tolist"):  # of NumPy and pandas
        return plain(value.tolist())
    return value
