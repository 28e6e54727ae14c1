"""Runs a command line in this process, and checks that its message is fit for a person."""

import contextlib
import io
import time
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from fmkit.cli import main
from fmkit.commands import evaluate, generate, predict
from fmkit.commands.training import training_run

MAX_LINES = 12
MAX_SECONDS = 2.0


@dataclass(frozen=True)
class Case:
    """A broken command line or config, and a fragment of the message that it must cause.

    Attributes:
        arguments: the command line; `--config-dir=@` stands for the folder of the files.
        expected: fragment of the message.
        files: content of files by path in the folder.
        exit_code: the expected exit code.
    """

    arguments: tuple[str, ...]
    expected: str
    files: dict[str, bytes] = field(default_factory=dict)
    exit_code: int = 2


@dataclass(frozen=True)
class CliResult:
    """Exit code, output and processor time of a command line."""

    exit_code: int
    stdout: str
    stderr: str
    seconds: float


def _no_job(*_: object, **__: object) -> None:
    raise AssertionError("a job began")


def run_cli(arguments: tuple[str, ...]) -> CliResult:
    """Run a command line; one that is not refused is a defect, without an hour of training."""
    out, err = io.StringIO(), io.StringIO()
    start = time.process_time()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.multiple(training_run, train=_no_job),
        mock.patch.object(evaluate, "evaluate_run", _no_job),
        mock.patch.object(predict, "predict_inputs", _no_job),
        mock.patch.object(generate, "generate_text", _no_job),
    ):
        code = main(list(arguments))
    return CliResult(code, out.getvalue(), err.getvalue(), time.process_time() - start)


def run_case(case: Case, folder: Path) -> CliResult:
    """Write the files of a case and run it."""
    write_files(folder, case.files)
    option = f"--config-dir={folder}"
    return run_cli(tuple(word.replace("--config-dir=@", option) for word in case.arguments))


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def find_fault(result: CliResult, expected: str, exit_code: int = 2) -> str:
    """What is wrong with a result; empty when nothing is.

    Args:
        result: of a command line.
        expected: fragment that its message must have.
        exit_code: the expected one.
    """
    message = result.stderr.strip()
    checks = {
        f"exit code {result.exit_code}": result.exit_code != exit_code,
        f"{expected!r} is missing": expected not in message,
        "a traceback": "Traceback" in message,
        f"{message.count(chr(10)) + 1} lines": message.count("\n") >= MAX_LINES,
        "a control character": not message.replace("\n", "").isprintable(),
        f"{result.seconds:.1f} s": result.seconds > MAX_SECONDS,
        "output on stdout": bool(result.stdout) and exit_code != 0,
    }
    faults = [name for name, is_fault in checks.items() if is_fault]
    return f"{', '.join(faults)}: {message[:300]}" if faults else ""
