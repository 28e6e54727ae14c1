"""Quantities as the config writes them, with their units.

Durations of training (`500 steps`, `10 epochs`, `5%`), intervals that may be times (`10 minutes`)
and amounts of memory or disk (`4 GiB`, `25%`).
"""

import math
import re
from dataclasses import dataclass
from typing import Any

from fmkit.core import machine
from fmkit.core.errors import ConfigError, received

STEPS, EPOCHS, PERCENT = "steps", "epochs", "%"

_TEXT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-z]+|%)?", re.ASCII)
_WORDS = {"step": STEPS, STEPS: STEPS, "epoch": EPOCHS, EPOCHS: EPOCHS, PERCENT: PERCENT}
_MAX = 1e15  # above this a float no longer counts single steps
_DURATIONS = "`500 steps`, `10 epochs`, `0.5 epochs` or `5%`"
_AT_LEAST = " and at least "


@dataclass(frozen=True)
class Duration:
    """A length of training.

    Attributes:
        amount: how many of the unit, at least 0; whole for steps, at most 100 for percent.
        unit: `steps` (batches), `epochs`, or `%` of a total that the caller knows.
        least: of epochs, the steps that they have at least: as many whole epochs as that takes.
    """

    amount: float
    unit: str
    least: int = 0

    def __str__(self) -> str:
        if self.unit == PERCENT:
            return f"{self.amount:g}%"
        return f"{self.amount:g} {self.unit}" + (
            f"{_AT_LEAST}{self.least} steps" if self.least else ""
        )

    def steps(self, steps_per_epoch: int, total_steps: int | None = None) -> int:
        """The length in steps, rounded to the nearest, halves up.

        A length above 0 is at least one step, so that no phase vanishes by rounding.

        Args:
            steps_per_epoch: batches in an epoch.
            total_steps: what 100% stands for, in steps.

        Raises:
            ConfigError: the duration is a share, and there is no total to take it of.
        """
        epochs = self.amount
        if self.least:
            epochs = max(epochs, -(-self.least // steps_per_epoch))
        exact = self.amount if self.unit == STEPS else epochs * steps_per_epoch
        if self.unit == PERCENT:
            if total_steps is None:
                allowed = "`500 steps` or `10 epochs` (no share of a total)"
                raise ConfigError(received("duration", str(self), allowed))
            exact = self.amount * total_steps / 100
        return max(math.floor(exact + 0.5), 1 if self.amount > 0 else 0)


def parse_duration(value: int | float | str, unit: str) -> Duration:
    """Read a duration.

    Args:
        value: `500 steps`, `1 step`, `10 epochs`, `0.5 epochs`, `5%`, or a bare number; of epochs
            also `4 epochs and at least 100 steps`.
        unit: what a bare number counts: `steps`, `epochs` or `%`.

    Raises:
        ConfigError: it is none of these, negative, a part of a step, or more than 100%.
    """
    allowed = f"{_DURATIONS}, or a bare number of {'percent' if unit == PERCENT else unit}"
    refusal = ConfigError(received("duration", value, allowed))
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise refusal
    least = 0
    if isinstance(value, str):
        text, _, minimum = value.strip().lower().partition(_AT_LEAST)
        match = _TEXT.fullmatch(text)
        if match is None or (match[2] or unit) not in _WORDS:
            raise refusal
        amount, unit = float(match[1]), _WORDS[match[2] or unit]
        if minimum:
            steps = re.fullmatch(r"(\d{1,15})\s*steps?", minimum.strip(), re.ASCII)
            if steps is None or unit != EPOCHS:
                raise refusal
            least = int(steps[1])
    else:
        amount = float(value) if abs(value) < _MAX else math.inf
    is_countable = unit != STEPS or amount.is_integer()
    if not (0 <= amount < _MAX and is_countable) or (unit == PERCENT and amount > 100):
        raise refusal
    return Duration(amount, unit, least)


def steps_problem(key: str, value: Any) -> str:
    """What is wrong with a duration whose bare number counts steps; empty when nothing is."""
    try:
        parse_duration(str(value), STEPS)
    except ConfigError:
        return received(key, str(value), "`500 steps`, `2 epochs` or `5%`")
    return ""


def epochs_problem(key: str, value: Any) -> str:
    """What is wrong with the length of a phase; empty when nothing is."""
    try:
        if parse_duration(str(value), EPOCHS).steps(steps_per_epoch=1000) >= 1:
            return ""
    except ConfigError:
        allowed = "`500 steps`, `10 epochs`, `4 epochs and at least 100 steps`"
        return received(key, str(value), f"{allowed}, or a number of epochs")
    phase = key.rpartition(".")[0]
    return received(key, str(value), "a length above 0", f"To leave the phase out: ~{phase}")


def smoothing_problem(key: str, value: Any) -> str:
    """What is wrong with the label smoothing of a phase; empty when nothing is."""
    try:
        is_allowed = value in (None, "auto") or 0 <= float(value) < 1
    except ValueError:
        is_allowed = False
    return "" if is_allowed else received(key, value, "`auto`, or a number from 0 to below 1")


def temperature_problem(key: str, value: Any) -> str:
    """What is wrong with the temperature of a phase's head; empty when nothing is."""
    try:
        is_allowed = value in (None, "auto") or 1 <= float(value) < math.inf
    except ValueError:
        is_allowed = False
    return "" if is_allowed else received(key, value, "`auto`, or a number of 1 or more")


_TIMES = {
    **dict.fromkeys(("second", "sec", "s"), 1.0),
    **dict.fromkeys(("minute", "min", "m"), 60.0),
    **dict.fromkeys(("hour", "hr", "h"), 3600.0),
    **dict.fromkeys(("day", "d"), 86400.0),
}
_INTERVALS = "`10 minutes`, `30 seconds`, `1 hour` or `500 steps`, or a bare number of minutes"


@dataclass(frozen=True)
class Interval:
    """How often something is done: after so many steps, or so many seconds; one of them is None."""

    steps: int | None = None
    seconds: float | None = None

    def is_over(self, steps: int, seconds: float) -> bool:
        """Whether so many steps or seconds since the last time are enough."""
        if self.steps is not None:
            return steps >= self.steps
        return self.seconds is not None and seconds >= self.seconds


def parse_interval(value: int | float | str) -> Interval:
    """Read an interval.

    Args:
        value: `500 steps`, `10 minutes`, `10 min`, `30 seconds`, `30 s`, `1 hour`, `1 h`, or a bare
            number of minutes.

    Raises:
        ConfigError: it is none of these, or 0.
    """
    match = _TEXT.fullmatch(str(value).strip().lower())
    amount, word = (float(match[1]), match[2] or "minutes") if match else (0.0, "")
    if _WORDS.get(word) == STEPS and amount >= 1 and amount.is_integer() and amount < _MAX:
        return Interval(steps=int(amount))
    unit = _TIMES.get(word.removesuffix("s") or "s")
    if unit is None or not 0 < amount < _MAX or isinstance(value, bool):
        raise ConfigError(received("interval", value, _INTERVALS))
    return Interval(seconds=amount * unit)


def interval_problem(key: str, value: Any) -> str:
    """What is wrong with an interval; empty when nothing is."""
    try:
        parse_interval(str(value))
    except ConfigError as error:
        return f"{key}: {error.message}"
    return ""


_TIME = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-z]+)\s*", re.ASCII)
_EXAMPLES = "a time with its unit, such as `20 min`, `90 s`, `1h 30m` or `0.5 h`"


def parse_time(value: int | float | str) -> float:
    """Seconds of a time: `20 min`, `90s`, `1h 30m`, `0.5 h`, `2 hours`, `1 day`.

    Raises:
        ConfigError: it has no unit, or another one; the units do not go down; or it is 0.
    """
    text = str(value).strip().lower()
    refusal = ConfigError(received("time", value, _EXAMPLES))
    seconds, position, last = 0.0, 0, math.inf
    while match := _TIME.match(text, position):
        unit = _TIMES.get(match[2].removesuffix("s") or "s", math.inf)
        if unit >= last:
            raise refusal
        seconds, last, position = seconds + float(match[1]) * unit, unit, match.end()
    if position < len(text) or not 0 < seconds < _MAX:
        raise refusal
    return seconds


def time_problem(key: str, value: Any) -> str:
    """What is wrong with a time; empty when nothing is."""
    text = str(value).strip()
    if re.fullmatch(r"\d+(\.\d*)?", text, re.ASCII):
        hint = f"Write {key}='{text} min' or {key}='{text} s'."
        return received(key, value, _EXAMPLES, hint)
    try:
        parse_time(text)
    except ConfigError:
        return received(key, value, _EXAMPLES)
    return ""


def format_time(seconds: float) -> str:
    """Seconds as `3.2 s`, `4 min 05 s` or `2 h 03 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


_BYTES = {
    "b": 1,
    **{f"{prefix}b": 1000**power for power, prefix in enumerate("kmgt", start=1)},
    **{f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgt", start=1)},
}
BUDGET, LIMIT = "runtime.memory_budget", "runtime.cache_limit"
"""Keys that take an amount; only the budget of memory may be a share."""


def bytes_problem(key: str, value: Any) -> str:
    """What is wrong with an amount of memory or disk; empty when nothing is."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%|[a-zA-Z]+)\s*", str(value))
    unit = match[2].lower() if match else ""
    if match is None or unit not in (("%", *_BYTES) if key == BUDGET else _BYTES):
        share = ", or a share of the free memory such as `25%`" if key == BUDGET else ""
        return received(key, str(value), f"an amount such as `4 GiB` or `500 MiB`{share}")
    if unit == "%" and float(match[1]) > 100:
        return received(key, str(value), "at most 100%")
    return ""


def parse_bytes(text: str, key: str = BUDGET) -> int:
    """Bytes from a text; a share is taken of the memory that is free now.

    Raises:
        ConfigError: the text is not an amount, or the free memory is not known.
    """
    if problem := bytes_problem(key, text):
        raise ConfigError(problem)
    number, unit = re.findall(r"[\d.]+|[%a-zA-Z]+", str(text))
    if unit != "%":
        return int(float(number) * _BYTES[unit.lower()])
    free = machine.free_memory()
    if free is None:
        raise ConfigError(
            f"{key} is a share, but this system does not tell its free memory.",
            "Give an amount, such as `4 GiB`.",
        )
    return int(free * float(number) / 100)
