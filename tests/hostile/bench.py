"""Reads a case in a child process and tells what it cost and what it tried."""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmkit.core.errors import FmkitError

SECONDS = 2.0
"""Of processor time: how busy a machine is says nothing about a file."""
MEGABYTES = 200
MARKER = "EXECUTED"
"""A file that a payload makes in the current folder."""

_FORBIDDEN = (
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty"),
    *("socket.connect", "socket.getaddrinfo", "socket.bind", "socket.sendto"),
    *("pickle.find_class", "marshal.loads", "marshal.load", "ctypes.dlopen", "urllib.Request"),
    *("os.symlink", "os.link", "os.chmod", "os.truncate"),
)


@dataclass(frozen=True)
class Case:
    """Something to read.

    Attributes:
        make: makes it in an empty folder; its path.
        read: reads it.
        refused: whether reading must end in an error of code 2 or 4; else it must not end in any.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    refused: bool


def refused_all(cases: Sequence[Case], folder: Path) -> list[str]:
    """What is wrong with the cases, a line each; empty when all end as they must."""
    problems = []
    for number, case in enumerate(cases):
        place = folder / f"{number:04d}"
        (place / "made").mkdir(parents=True)
        (place / "work").mkdir()
        wrong = _judge(case, attempt(case.read, case.make(place / "made"), place / "work"))
        left = [str(each.name) for each in (place / "work").iterdir()]
        outside = [name for name in ("outside", MARKER) if (folder / name).exists()]
        if left or outside:
            wrong = f"files were left: {left + outside}"
        if wrong:
            problems.append(f"{case.name}: {wrong}")
    return problems


def _judge(case: Case, found: dict[str, Any]) -> str:
    if found["events"]:
        return f"it tried {found['events'][:5]}"
    if found["seconds"] > SECONDS or found["megabytes"] > MEGABYTES:
        return f"it took {found['seconds']:.1f} s and {found['megabytes']:.0f} MB"
    if not case.refused:
        return "" if found["code"] == 0 else f"refused: {found['told']}"
    if found["code"] not in (2, 4):
        return f"not refused: {found['code']} {found['told']}"
    message = found["told"]
    return "" if 10 < len(message) < 600 and "\n" not in message else f"says {message!r}"


def attempt(read: Callable[[Path], Any], path: Path, work: Path) -> dict[str, Any]:
    """Read in a child: exit code, message, seconds, megabytes more than before, events."""
    receiver, sender = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            _in_child(read, path, work, sender)
        finally:
            os._exit(70)
    os.close(sender)
    with os.fdopen(receiver, "rb") as stream:
        content = stream.read()
    os.waitpid(child, 0)
    nothing = {"code": "died", "told": "", "seconds": 0.0, "megabytes": 0.0, "events": []}
    return json.loads(content) if content else nothing


def _in_child(read: Callable[[Path], Any], path: Path, work: Path, sender: int) -> None:
    os.chdir(work)
    resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
    events: list[str] = []
    watching = True

    def hook(event: str, arguments: tuple) -> None:
        if not watching:
            return
        if event in _FORBIDDEN:
            # An import unmarshals the module's own bytecode; that is none of the file's.
            if "importlib" not in sys._getframe(1).f_code.co_filename:
                events.append(event)
        elif event == "open" and isinstance(arguments[0], str):
            written = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if written and not arguments[0].startswith(("/tmp/fmkit-", os.devnull)):  # noqa: S108
                events.append(f"open {arguments[0]}")

    sys.addaudithook(hook)
    before, began = _resident(), time.process_time()
    code: int | str = 0
    told = ""
    try:
        read(path)
    except FmkitError as error:
        code, told = error.exit_code, error.message
    except BaseException as error:
        code, told = "crash", repr(error)
    watching = False
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    result = {
        "code": code,
        "told": told,
        "seconds": time.process_time() - began,
        "megabytes": max(0, peak - before) / 1e6,
        "events": events,
    }
    os.write(sender, json.dumps(result).encode())
    os._exit(0)


def _resident() -> int:
    """Bytes of memory in use; the peak of a child begins with what it got from its parent."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
