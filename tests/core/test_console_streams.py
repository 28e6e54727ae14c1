"""A broken terminal or pipe does not end a command."""

import errno
import subprocess
import sys

import pytest

from fmkit.core.console import PipeSafeConsole


class Broken:
    """A stream to a terminal that was closed."""

    def __init__(self, number):
        self.number, self.writes = number, 0

    def write(self, text):
        self.writes += 1
        raise OSError(self.number, "gone")

    def flush(self):
        raise OSError(self.number, "gone")

    def isatty(self):
        return False


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO, errno.ENOSPC])
def test_a_stream_that_is_gone_is_left_alone(number, monkeypatch):
    monkeypatch.setattr("os.dup2", lambda one, other: None)  # the stream of the tests stays
    stream = Broken(number)
    shown = PipeSafeConsole(file=stream)
    for line in ("one", "two"):
        shown.print(line)
    assert stream.writes == 1


def run(shell, code="print('x')"):
    return subprocess.run(
        ["sh", "-c", shell, sys.executable, code], capture_output=True, timeout=60
    )


FILE = """
from fmkit.core import console
console.prepare_streams()
import os, sys, tempfile
with tempfile.TemporaryFile() as stream:
    console.info("lost"); console.stdout.print("lost"); os.write(2, b"native")
    sys.stdin.read() if sys.stdin else None
    stream.seek(0)
    sys.exit(0 if stream.fileno() > 2 and stream.read() == b"" else 1)
"""


@pytest.mark.parametrize("words", ["finetune --cfg job", "check --info", "finetune --hydra-help"])
def test_what_hydra_prints_may_lose_its_reader(words):
    shell = '("$0" -m fmkit $1; echo "$?" >&2) | (exec <&-; sleep 1)'
    done = run(shell, words)
    assert (done.stdout, done.stderr) == (b"", b"0\n")


def test_a_file_never_gets_the_number_of_a_stream_that_was_closed():
    assert run('"$0" -c "$1" <&- >&- 2>&-', FILE).returncode == 0


@pytest.mark.parametrize(
    "shell",
    [
        '"$0" -m fmkit.cli runs <&- >&- 2>&-',
        'env -i PYTHONPATH="$PYTHONPATH" LC_ALL=C "$0" -m fmkit.cli runs',
    ],
)
def test_commands_end_by_their_own_result(shell, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(shell)
    assert done.returncode == 0, done.stderr


CLASSES = """
import sys
from fmkit.core import console
console.prepare_streams()
console.stdout.print("Z\\u00fcrich")
"""


def test_a_name_that_the_locale_does_not_have_is_escaped():
    done = run('PYTHONIOENCODING=ascii "$0" -c "$1"', CLASSES)
    assert done.stdout == b"Z\\xfcrich\n"
