"""Rate limit for repeated actions, such as lines of progress: at most one in an interval."""

import time


class Throttle:
    """Says when an action is due that may happen once in an interval.

    Args:
        seconds: length of the interval.
        delay: seconds before the first action, if not an interval; 0 makes it due at once.
    """

    def __init__(self, seconds: float, delay: float | None = None) -> None:
        self._seconds = seconds
        self._next = time.monotonic() + (seconds if delay is None else delay)

    def is_due(self) -> bool:
        """Whether an interval has passed since this was last true; then the next one begins."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True
