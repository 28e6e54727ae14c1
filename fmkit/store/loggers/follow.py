"""The loggers of a run that trains: each a process that follows the run's folder.

Whatever happens to one, training goes on: it is a line in log.txt and one warning. The end of a
run waits a limited time for them; what they could not send, `fmkit runs sync RUN` sends.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fmkit.core import console, files, signals

END_SECONDS = 60.0
"""How long the end of a run waits for a logger, and"""
MODEL_SECONDS = 600.0
"""how long where it sends the model."""
FAILED_SECONDS = 15.0
"""How long for one that does not work: it tries once more."""
STOPPED_SECONDS = 10.0
"""How long a run waits that was stopped, or has failed."""
_LOOK_SECONDS = 0.05
_MODULE = "fmkit.store.loggers.process"


class Follower:
    """A process that sends a run to one tracker, from now until `close`.

    Args:
        folder: the run's; its config.yaml is written.
        name: of the tracker.
        settings: its section of the config.
        with_model: send the model and the best checkpoint at the end, too.
        log: writes a line into the run's log.
        warns: print a warning where it fails.

    Attributes:
        failure: why it does not work, or did not at the end; empty where it does.
        url: where the record can be looked at, once that is known.
        place: what the record is kept in.
        rows: of metrics.jsonl that it has sent by its last event.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        settings: Mapping[str, Any],
        with_model: bool = False,
        log: Callable[[str], object] = lambda line: None,
        warns: bool = True,
    ) -> None:
        self.folder, self.name, self._log = folder, name, log
        self.failure, self.is_done, self.rows = "", False, 0
        self.url: str | None = None
        self.place: str | None = None
        self._has_warned = not warns
        self.seconds = MODEL_SECONDS if with_model else END_SECONDS
        task = {
            "folder": files.absolute_path(folder), "logger": name, "settings": dict(settings),
            "with_model": with_model, "process": os.getpid(), "seconds": self.seconds,
        }  # fmt: skip
        try:
            process: Any = self._start()
            self._process: Any = process
            self._stdin, self._stdout = process.stdin, process.stdout
            self._stdin.write(json.dumps(task) + "\n")  # a command line is public
            self._stdin.flush()
        except OSError as error:
            self._process = None
            self._fail(f"its process did not start: {error.strerror or error}")
            return
        self._reader = threading.Thread(target=self._read, name=f"logger-{name}", daemon=True)
        self._reader.start()

    def _start(self) -> subprocess.Popen[str]:
        paths = [path for path in sys.path if path and not path.endswith(".zip")]
        return subprocess.Popen(  # noqa: S603 - our own module
            # -P: nothing of the current folder is imported, such as wandb's own folder there
            [sys.executable, "-P", "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # Ctrl-C is for the training, which then ends it
        )

    def _read(self) -> None:
        """Take the process's events, in a thread."""
        for line in self._stdout:
            with contextlib.suppress(ValueError, TypeError, KeyError):
                self._take(dict(json.loads(line)))
        if not self.is_done and not self.failure:
            self._fail("its process ended unexpectedly")

    def _take(self, event: Mapping[str, Any]) -> None:
        kind = event["event"]
        self.rows = int(event.get("rows") or self.rows)
        if kind == "failed":
            self._fail(str(event["reason"]), str(event.get("where") or ""))
            return
        self.url, self.place = event.get("url"), event.get("place")
        self.failure, self.is_done = "", kind == "done"
        if kind == "open":
            state = "works again" if event.get("again") else "logging to"
            self.write(f"{self.name}: {state} {self.url or self.place or ''}".rstrip())

    def _fail(self, reason: str, where: str = "") -> None:
        if reason != self.failure:
            self.write(f"{self.name}: {reason}{f' ({where})' if where else ''}")
        self.failure = reason
        if not self._has_warned:
            self._has_warned = True
            console.warning(
                f"{self.name} does not work: {reason.rstrip('.')}. The run goes on, and "
                "metrics.jsonl has everything."
            )

    def write(self, line: str) -> None:
        """Log a line."""
        with contextlib.suppress(OSError):
            self._log(f"logger {line}")

    def row(self) -> dict[str, Any]:
        """Where the record is, whether it is complete, and why not."""
        return {
            **{"name": self.name, "url": self.url, "place": self.place},
            **{"complete": self.is_done, "reason": self.failure or None},
        }

    def end(self) -> None:
        """Let it send the rest: the run has ended."""
        if self._process is not None:
            with contextlib.suppress(OSError, ValueError):
                self._stdin.write("end\n")  # a forked worker may keep the pipe open
                self._stdin.close()

    def close(self, seconds: float) -> None:
        """Wait until it has sent the rest, for so long at most; then it is killed.

        A signal that arrives meanwhile ends the wait.
        """
        self.end()
        process = self._process
        if process is None:
            return
        began, stopped = time.monotonic(), signals.stop_signal()
        while process.poll() is None and time.monotonic() - began < seconds:
            if signals.stop_signal() != stopped:
                break
            time.sleep(_LOOK_SECONDS)
        if process.poll() is None and not self.is_done and not self.failure:
            self._fail(f"it was not finished after {time.monotonic() - began:.0f} s")
        with contextlib.suppress(OSError):  # it, and what its client has started
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self._reader.join(1.0)


class Followers:
    """The loggers of a run, from the moment that it has a record until its end."""

    def __init__(self, followers: Sequence[Follower] = ()) -> None:
        self._followers = list(followers)

    def close(self, limit: float | None = None) -> list[dict[str, Any]]:
        """Let each send the rest; a second call does nothing.

        Args:
            limit: seconds for all of them; None: what each may take.

        Returns:
            The row of each.
        """
        followers, self._followers = self._followers, []
        began, rows = time.monotonic(), []
        for follower in followers:
            follower.end()
        for follower in followers:
            seconds = min(follower.seconds, FAILED_SECONDS if follower.failure else math.inf)
            if limit is not None:
                seconds = max(1.0, min(seconds, limit - (time.monotonic() - began)))
            with console.announce_slow(f"waiting for {follower.name}, at most {seconds:.0f} s"):
                follower.close(seconds)
            if not follower.is_done:
                folder = shlex.quote(files.display_path(follower.folder))
                hint = f"what {follower.name} lacks of this run, `fmkit runs sync {folder}` sends"
                follower.write(hint)
                console.info(hint)
            rows.append(follower.row())
        return rows
