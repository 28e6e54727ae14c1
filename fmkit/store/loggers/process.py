"""The process that sends a run to one tracker while another one trains: `follow` starts it.

A tracker's client imports much, starts threads, waits for servers and runs native code: in a
process of its own nothing of that delays, ends or changes the training. It reads the run's folder
as anybody could. What to do comes as a line of JSON on stdin; a line `end`, or the end of stdin,
means that training is over, however that came. To stdout goes a line of JSON an event,
`{"event": "open" | "failed" | "done", ...}`.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from fmkit.core import optional_packages, sanitize
from fmkit.core.errors import FmkitError
from fmkit.store import run_dir
from fmkit.store.loggers import mlflow, wandb
from fmkit.store.loggers.session import Session
from fmkit.store.loggers.tracker import Tracker

SECONDS = 2.0
"""Between two looks at metrics.jsonl."""
_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 60.0
_GRACE = 5.0
"""Seconds beyond those that it is given at the end, before it ends itself."""
_MAX_REASON = 300
_SECRETS = ("KEY", "TOKEN", "PASSWORD", "SECRET")


def tracker(name: str, settings: dict[str, Any], folder: Path, process: int) -> Tracker:
    """The tracker of that name, not open yet.

    Args:
        settings: its section of the config.
        folder: the run's.
        process: id of the one that trains.
    """
    if name == "mlflow":
        return mlflow.MlflowTracker(settings)
    return wandb.WandbTracker(settings, folder / run_dir.LOGGERS, process)


def variables(name: str) -> dict[str, str]:
    """Environment variables of a tracker's client that are set unless the user has set them."""
    return mlflow.ENVIRONMENT if name == "mlflow" else wandb.ENVIRONMENT


def main() -> None:
    """Send the run that stdin names, until stdin ends."""
    events = _own_stdout()
    task = json.loads(sys.stdin.readline())
    for name, value in variables(task["logger"]).items():
        os.environ.setdefault(name, value)
    with contextlib.suppress(OSError):
        os.nice(10)  # training comes first
    ended = threading.Event()
    threading.Thread(target=_watch, args=(ended, task["seconds"]), daemon=True).start()
    folder = Path(task["folder"])
    session = Session(
        folder, task["logger"],
        tracker(task["logger"], task["settings"], folder, task["process"]), task["with_model"],
    )  # fmt: skip
    _follow(session, ended, events)
    with contextlib.suppress(OSError, ValueError):
        events.flush()
    os._exit(0)  # a client's threads and exit handlers could wait for a server


def _follow(session: Session, ended: threading.Event, events: Any) -> None:
    """Send what there is, again and again; then the rest."""
    pause, has_failed, is_announced = SECONDS, False, False
    while not ended.is_set():
        try:
            session.send()
        except BaseException as error:  # a client may raise SystemExit
            pause = min(max(pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
            _tell(events, "failed", reason=reason(error), rows=session.rows)
            has_failed = True
        else:
            if has_failed or not is_announced:
                _tell(events, "open", url=session.url, place=session.place, again=has_failed)
            pause, has_failed, is_announced = SECONDS, False, True
        ended.wait(pause)
    try:
        session.finish()
    except BaseException as error:
        _tell(events, "failed", reason=reason(error), rows=session.rows, final=True)
    else:
        _tell(events, "done", url=session.url, place=session.place, rows=session.rows)


def reason(error: BaseException) -> str:
    """The first line of an error, without the values of secret environment variables."""
    lines = error.message if isinstance(error, FmkitError) else str(error)
    first = next((line.strip() for line in lines.splitlines() if line.strip()), "")
    for name, value in os.environ.items():
        if len(value) > 3 and any(word in name.upper() for word in _SECRETS):
            first = first.replace(value, sanitize.REDACTED)
    first = sanitize.redact(first)
    if isinstance(error, ModuleNotFoundError) and error.name in optional_packages.PACKAGES:
        first += f". Run: {optional_packages.PACKAGES[error.name].install}"
    text = f"{type(error).__name__}: {first}" if first else type(error).__name__
    return text if len(text) <= _MAX_REASON else f"{text[:_MAX_REASON]}..."


def _watch(ended: threading.Event, seconds: float) -> None:
    """Note the end of stdin; if nobody ends this process long after it, do so."""
    with contextlib.suppress(OSError, ValueError):
        while sys.stdin.readline() not in ("", "end\n"):
            pass
    ended.set()
    threading.Event().wait(seconds + _GRACE)
    os._exit(1)


def _own_stdout() -> Any:
    """A stream of our own to the process that reads the events; what clients print is dropped."""
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(null, descriptor)
    return stream


def _tell(events: Any, event: str, **content: Any) -> None:
    if event == "failed" and (error := sys.exc_info()[1]) is not None:
        frames = traceback.extract_tb(error.__traceback__)
        content["where"] = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
    with contextlib.suppress(OSError, ValueError):  # nobody reads any more
        events.write(json.dumps({"event": event, **content}) + "\n")


if __name__ == "__main__":
    main()
