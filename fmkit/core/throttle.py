"""Do something now and then: at most once in an interval, such as lines of progress."""

from __future__ import annotations

import time


class Throttle:
    """Says when an action is due that may happen once in an interval.

    Args:
        seconds: length of the interval.
        first_is_due: whether the first call is due at once; else an interval must pass before it.
    """

    def __init__(self, seconds: float, first_is_due: bool = False) -> None:
        self._seconds = seconds
        self._last = float("-inf") if first_is_due else time.monotonic()

    def is_due(self) -> bool:
        """Whether an interval has passed since this was last true; then the next one begins."""
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True
