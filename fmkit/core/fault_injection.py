"""Fault injection for tests: kill, signal or fail a run at one exact instant. Off by default."""

import errno
import os
import signal
import time

VARIABLE = "FMKIT_FAULT"
"""The environment variable, `POINT:N:KIND`, such as `save.before_rename:2:kill`."""
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
"""Where a fault can be injected, in the order in which a run passes them."""
_KINDS = ("kill", "term", "int", "usr1", "hup", "sleep")

_passed: dict[str, int] = {}


def point(name: str) -> None:
    """Pass a point; at the N-th pass of the point in `FMKIT_FAULT`, cause its fault.

    Kinds: `kill` (SIGKILL), `term`, `int`, `usr1`, `hup` (that signal, to this process), an errno's
    name such as `ENOSPC` (raised as OSError), `sleep` (a minute, for a signal from outside).

    Raises:
        OSError: the variable asks for it.
        ValueError: the variable does not have the form above.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        return
    fault_point, number, kind = (*text.split(":", 2), "", "")[:3]
    is_kind = kind in _KINDS or hasattr(errno, kind)
    if fault_point not in POINTS or not number.isdigit() or not is_kind:
        raise ValueError(f"{VARIABLE}={text!r} is not POINT:N:KIND with a point of {POINTS}")
    if name != fault_point:
        return
    _passed[name] = _passed.get(name, 0) + 1
    if _passed[name] != int(number):
        return
    if kind == "sleep":
        time.sleep(60)
    elif hasattr(errno, kind):
        raise OSError(getattr(errno, kind), os.strerror(getattr(errno, kind)))
    else:
        os.kill(os.getpid(), getattr(signal, f"SIG{kind.upper()}"))


def split_content(name: str, content: bytes) -> list[bytes]:
    """The content in one piece, or in halves where a fault is to come between them."""
    if not os.environ.get(VARIABLE, "").startswith(f"{name}:"):
        return [content]
    return [content[: len(content) // 2], content[len(content) // 2 :]]
