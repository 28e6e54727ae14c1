"""`TimeLimit`: when a run is to have ended. Without a framework: it counts before that is imported.

By a margin before the deadline the run is planned to have ended (`train/time_plan`). By a margin
after it a signal stops what was not planned so, such as a machine that has become slow: like Ctrl-C
it leaves a checkpoint to resume from (`core/signals`).
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fmkit.config import units
from fmkit.core import machine
from fmkit.core.errors import ConfigError

RECORD = "time_limit"
"""The key of the status that has the limit, what was measured, and the changes."""
NOTE = (
    "The lengths of phases depend on the speed of the machine, too: the same command may train for "
    "longer or shorter. fmkit resume repeats the changes that are recorded here."
)
REPORT_TAKES = 2.0
"""Seconds of the report at the end of a run, about."""
_BEFORE_SECONDS, _BEFORE_SHARE = 1.0, 0.02
_AFTER_SHARE, _STOP_SHARE, _STOP_SECONDS = 0.03, 0.04, 1.5
"""A run that was not planned to end in time is stopped so long after its deadline, and before it
where the end of the process takes a large part of the limit."""


@dataclass
class TimeLimit:
    """A limit on the time of a run.

    Attributes:
        text: as in the config.
        deadline: by `clock`, when the run is to have ended.
        replans: what an earlier limit planned for later steps is planned anew.
        clock: seconds, monotonic.
        contention: by which seconds that are estimates for a quiet machine are multiplied.
        seconds: from `text`.
    """

    text: str
    deadline: float
    replans: bool = False
    clock: Callable[[], float] = time.monotonic
    contention: Callable[[], float] = machine.contention
    seconds: float = field(init=False)

    def __post_init__(self) -> None:
        self.seconds = units.parse_time(self.text)

    @classmethod
    def starting(cls, text: str, began: float, replans: bool = False) -> "TimeLimit":
        """A limit that counts from a monotonic time on."""
        return cls(text, began + units.parse_time(text), replans)

    @classmethod
    def remaining(cls, record: Mapping[str, Any], seconds: float) -> "TimeLimit | None":
        """What is left of the limit on record after so many seconds of the run; None: too little.

        Args:
            record: as `to_record` made it.
        """
        limit = cls(record["limit"], 0.0)
        left = limit.seconds - (seconds - record["used_before"])
        limit.deadline = limit.clock() + left
        return limit if limit.left > 0 else None

    def to_record(self, seconds: float) -> dict[str, Any]:
        """For the status of a run that has taken so many seconds."""
        used = self.clock() - (self.deadline - self.seconds)
        return {"limit": self.text, "used_before": round(seconds - used, 3), "note": NOTE}

    @property
    def left(self) -> float:
        """Seconds until the run is to have ended, less the margin."""
        margin = _BEFORE_SECONDS * self.contention() + _BEFORE_SHARE * self.seconds
        return self.deadline - margin - self.clock()

    @property
    def hard_seconds(self) -> float:
        """Seconds until the run is stopped as by a signal."""
        stopping = _STOP_SECONDS * self.contention()
        after = min(_AFTER_SHARE * self.seconds, _STOP_SHARE * self.seconds - stopping)
        return self.deadline + after - self.clock()

    def too_short(self, happened: str, needed: float) -> ConfigError:
        """The error about a limit that is over before anything is trained.

        Args:
            happened: until now, as a clause.
            needed: seconds that are missing at least.
        """
        spent = self.seconds - (self.deadline - self.clock())
        enough = math.ceil((spent + needed) * 1.25 / 10) * 10
        return ConfigError(
            f"runtime.time_limit={self.text} is too short: {happened}.",
            f"Try runtime.time_limit='{enough} s'.",
        )
