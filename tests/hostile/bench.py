"""Reads a hostile file in a child process and measures its cost and its attempted effects."""

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
"""Processor time, which does not depend on how busy the machine is."""
MEGABYTES = 200
MARKER = "EXECUTED"
"""A file that a payload creates in the current folder."""

_FORBIDDEN = (
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty"),
    *("socket.connect", "socket.getaddrinfo", "socket.bind", "socket.sendto"),
    *("pickle.find_class", "marshal.loads", "marshal.load", "ctypes.dlopen", "urllib.Request"),
    *("os.symlink", "os.link", "os.chmod", "os.truncate"),
)


@dataclass(frozen=True)
class Case:
    """A file or folder to read.

    Attributes:
        make: creates it in an empty folder; returns its path.
        read: reads it.
        refused: whether reading must raise an error of exit code 2 or 4; else it must succeed.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    refused: bool


def refused_all(cases: Sequence[Case], folder: Path) -> list[str]:
    """Problems with the cases, one line each; empty when all end as they must."""
    problems = []
    for number, case in enumerate(cases):
        base = folder / f"{number:04d}"
        (base / "made").mkdir(parents=True)
        (base / "work").mkdir()
        problem = _problem(case, attempt(case.read, case.make(base / "made"), base / "work"))
        created = [path.name for path in (base / "work").iterdir()]
        created += [name for name in ("outside", MARKER) if (folder / name).exists()]
        if created:
            problem = f"files were created: {created}"
        if problem:
            problems.append(f"{case.name}: {problem}")
    return problems


def _problem(case: Case, result: dict[str, Any]) -> str:
    message = result["message"]
    if result["events"]:
        return f"it tried {result['events'][:5]}"
    if result["seconds"] > SECONDS or result["megabytes"] > MEGABYTES:
        return f"it took {result['seconds']:.1f} s and {result['megabytes']:.0f} MB"
    if not case.refused:
        return "" if result["code"] == 0 else f"refused: {message}"
    if result["code"] not in (2, 4):
        return f"not refused: {result['code']} {message}"
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
    died = {"code": "died", "message": "", "seconds": 0.0, "megabytes": 0.0, "events": []}
    return json.loads(content) if content else died


def _in_child(read: Callable[[Path], Any], path: Path, work: Path, sender: int) -> None:
    os.chdir(work)
    resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
    events: list[str] = []
    watching = True

    def hook(event: str, arguments: tuple) -> None:
        if not watching:
            return
        if event in _FORBIDDEN:
            # An import unmarshals the module's own bytecode; it does not come from the file.
            if "importlib" not in sys._getframe(1).f_code.co_filename:
                events.append(event)
        elif event == "open" and isinstance(arguments[0], str):
            written = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if written and not arguments[0].startswith(("/tmp/fmkit-", os.devnull)):  # noqa: S108
                events.append(f"open {arguments[0]}")

    sys.addaudithook(hook)
    before, start = _resident(), time.process_time()
    code: int | str = 0
    message = ""
    try:
        read(path)
    except FmkitError as error:
        code, message = error.exit_code, error.message
    except BaseException as error:
        code, message = "crash", repr(error)
    watching = False
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    result = {
        "code": code,
        "message": message,
        "seconds": time.process_time() - start,
        "megabytes": max(0, peak - before) / 1e6,
        "events": events,
    }
    os.write(sender, json.dumps(result).encode())
    os._exit(0)


def _resident() -> int:
    """Bytes of memory in use; the peak of a child includes the memory of its parent."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
