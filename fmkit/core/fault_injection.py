"""Faults on request: what a test needs to kill a run at one exact instant. Off by default."""

from __future__ import annotations

import errno
import os
import signal
import time

VARIABLE = "FMKIT_FAULT"
"""The environment variable: `POINT:N:KIND`, such as `save.before_rename:2:kill`."""
POINTS = (
    "extract.shard",
    "train.step",
    "save.before_write",
    "save.mid_write",
    "save.before_manifest",
    "save.before_rename",
    "save.after_rename",
    "rotate.mid",
    "metrics.mid_line",
    "status.write",
    "model.write",
)
"""Where a fault can be had, in the order in which a run comes by."""

_passed: dict[str, int] = {}


def point(name: str) -> None:
    """Come by a point; at the N-th time, do what the variable asks for.

    Kinds: `kill` (SIGKILL), `term`, `int`, `usr1`, `hup` (that signal, to this process), an errno's
    name such as `ENOSPC` (raised as OSError), `sleep` (a minute, for a signal from outside).

    Raises:
        OSError: the variable asks for it.
        ValueError: the variable is not of its form.
    """
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    where, number, kind = _parsed(wanted)
    if name != where:
        return
    _passed[name] = _passed.get(name, 0) + 1
    if _passed[name] != number:
        return
    if kind == "sleep":
        time.sleep(60)
    elif hasattr(errno, kind):
        raise OSError(getattr(errno, kind), os.strerror(getattr(errno, kind)))
    else:
        os.kill(os.getpid(), getattr(signal, f"SIG{kind.upper()}"))


def halves(name: str, content: bytes) -> list[bytes]:
    """The content in one piece; in two where a fault is wanted between them, at this point."""
    if not os.environ.get(VARIABLE, "").startswith(f"{name}:"):
        return [content]
    return [content[: len(content) // 2], content[len(content) // 2 :]]


def _parsed(wanted: str) -> tuple[str, int, str]:
    where, _, rest = wanted.partition(":")
    number, _, kind = rest.partition(":")
    known = hasattr(errno, kind) or kind in ("kill", "term", "int", "usr1", "hup", "sleep")
    if where not in POINTS or not number.isdigit() or not known:
        raise ValueError(f"{VARIABLE}={wanted!r} is not POINT:N:KIND with a point of {POINTS}")
    return where, int(number), kind
