"""Acts at a chosen place of the program: a fault point's n-th pass, or a function's n-th call."""

from __future__ import annotations

import functools
import importlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fmkit.core import fault_injection

Action = Callable[[], None]


def at(place: str, number: int, action: Action) -> None:
    """Have the action happen in this process, for good: call it in a victim only.

    Args:
        place: a point of `faults.POINTS`, or `module:name` or `module:class.name` of a function,
            which is to be looked up at each call.
        number: at which pass, counted from 1.
        action: what to do; then the program goes on.
    """
    if ":" not in place:
        _wrap(fault_injection, "point", number, action, only=place)
        return
    module, _, name = place.partition(":")
    owner: Any = importlib.import_module(module)
    *outer, name = name.split(".")
    for each in outer:
        owner = getattr(owner, each)
    _wrap(owner, name, number, action)


def _wrap(owner: Any, name: str, number: int, action: Action, only: str = "") -> None:
    original, passed = getattr(owner, name), 0

    @functools.wraps(original)
    def wrapped(*words: Any, **named: Any) -> Any:
        nonlocal passed
        if not only or words[0] == only:
            passed += 1
            if passed == number:
                action()
        return original(*words, **named)

    setattr(owner, name, wrapped)


def signalled(numbers: Sequence[int], gaps: Sequence[float], stamp: str = "signalled") -> Action:
    """Send signals to this process from another one, the first after the first gap.

    The moment of the first goes into the file `stamp`, in monotonic seconds.
    """

    def send() -> None:
        victim = os.getpid()
        if os.fork():
            if not gaps[0]:
                time.sleep(0.02)  # so that it comes here and not a little later
            return
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
        for number, gap in zip(numbers, gaps, strict=True):
            time.sleep(gap)
            if not Path(stamp).exists():
                Path(stamp).write_text(repr(time.monotonic()))
            try:
                os.kill(victim, number)
            except ProcessLookupError:
                break
        os._exit(0)

    return send
