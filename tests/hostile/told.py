"""A command line run in this process, and whether what it told is fit for a person."""

import contextlib
import io
import time
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from fmkit.cli import main
from fmkit.commands import evaluate, generate, predict, training_run

MAX_LINES = 12
MAX_SECONDS = 2.0


@dataclass(frozen=True)
class Case:
    """A broken config, and a fragment of what must be told about it.

    Attributes:
        words: the command line; in `--config-dir=@` the folder of the files.
        said: fragment of the message.
        files: by path in the folder, what the file holds.
        code: the exit status.
    """

    words: tuple[str, ...]
    said: str
    files: dict[str, bytes] = field(default_factory=dict)
    code: int = 2


@dataclass(frozen=True)
class Told:
    """What came of a command line."""

    code: int
    out: str
    err: str
    seconds: float


def _no_job(*_: object, **__: object) -> None:
    raise AssertionError("a job began")


def tell(words: tuple[str, ...]) -> Told:
    """Run a command line; one that is let through is a defect and no hour of training."""
    out, err = io.StringIO(), io.StringIO()
    began = time.process_time()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.multiple(training_run, train=_no_job),
        mock.patch.object(evaluate, "evaluate_run", _no_job),
        mock.patch.object(predict, "predict_inputs", _no_job),
        mock.patch.object(generate, "generate_text", _no_job),
    ):
        code = main(list(words))
    return Told(code, out.getvalue(), err.getvalue(), time.process_time() - began)


def run(case: Case, folder: Path) -> Told:
    """Write the files of a case and run it."""
    write(folder, case.files)
    return tell(
        tuple(word.replace("--config-dir=@", f"--config-dir={folder}") for word in case.words)
    )


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def fault(told: Told, said: str, code: int = 2) -> str:
    """What is wrong with what was told; empty when nothing is."""
    shown = told.err.strip()
    faults = {
        f"exit status {told.code}": told.code != code,
        f"{said!r} is not said": said not in shown,
        "a traceback": "Traceback" in shown,
        f"{shown.count(chr(10)) + 1} lines": shown.count("\n") >= MAX_LINES,
        "a control character": any(not each.isprintable() for each in shown.replace("\n", "")),
        f"{told.seconds:.1f} s": told.seconds > MAX_SECONDS,
        "something on stdout": bool(told.out) and code != 0,
    }
    found = [name for name, is_so in faults.items() if is_so]
    return f"{', '.join(found)}: {shown[:300]}" if found else ""
