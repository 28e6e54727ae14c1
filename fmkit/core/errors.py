"""The errors a user can meet, each with its exit status, and the one way to word them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class FmkitError(Exception):
    """An error that is told to the user in one clean message, without a traceback.

    Args:
        message: what came and what was allowed, in one line.
        hint: what to do about it; printed on a line of its own.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class ConfigError(FmkitError):
    """The command line or the config is wrong. Nothing was trained."""

    exit_code = 2


class DataError(FmkitError):
    """The data is wrong. Nothing was trained, unless a file broke under way."""

    exit_code = 3


class ArtifactError(FmkitError):
    """A run, a checkpoint or a file of weights was refused."""

    exit_code = 4


class NonFiniteError(FmkitError):
    """The loss left the finite numbers."""

    exit_code = 5


class ResourceError(FmkitError):
    """Disk or memory ran out."""

    exit_code = 6


class FreezeError(FmkitError):
    """Weights moved that were to stay frozen: a defect, and the run is not to be trusted."""


class Interrupted(FmkitError):
    """A signal stopped the run after a checkpoint was saved."""

    def __init__(self, message: str, hint: str = "", signal_number: int = 2) -> None:
        super().__init__(message, hint)
        self.exit_code = 128 + signal_number


MAX_LINES = 10
"""Lines of a list of problems."""


def short_repr(value: object, most: int = 120) -> str:
    """A value as a message shows it: `repr`, with the middle of a long one left out."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 200:
        return f"a whole number of {value.bit_length()} bits"
    text = repr(value)
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}...{text[-most // 4 :]} ({len(text):,} characters)"


def closest_names(name: str, allowed: Iterable[str], most: int = 3) -> list[str]:
    """The allowed names that look most like `name`, best first; none when nothing is close."""
    if len(name) > 100:  # nobody mistypes that much, and comparing takes its time
        return []
    names = [str(each) for each in allowed]
    found = difflib.get_close_matches(name, names, n=most, cutoff=0.65)
    if not found:  # a whole word of the name is a good clue too: `lr` in `learning_rate` is not
        found = [each for each in names if len(name) > 2 and (name in each or each in name)][:most]
    return found


def received(what: str, came: object, allowed: Iterable[str] | str = (), hint: str = "") -> str:
    """Word an error: what came, what was allowed, did you mean, what to do.

    Args:
        what: the thing that is wrong, such as a config key or a file.
        came: the value that came.
        allowed: the allowed names, or a phrase such as `a number above 0`.
        hint: what to do, as a sentence.
    """
    parts = [f"{what}: received {short_repr(came)}."]
    if isinstance(allowed, str):
        if allowed:
            parts.append(f"Expected {allowed}.")
    else:
        names = [str(each) for each in allowed]
        close = closest_names(str(came), names)
        if close:
            parts.append(f"Did you mean {' or '.join(close)}?")
        if names and (not close or len(names) <= 12):
            parts.append(f"Allowed: {join_names(names)}.")
    if hint:
        parts.append(hint)
    return " ".join(parts)


def join_names(names: Sequence[str], most: int = 20) -> str:
    """Names joined by commas, cut after `most` of them with a count of the rest."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def combine_messages(problems: Sequence[str], most_lines: int = MAX_LINES) -> str:
    """One message for one problem, a numbered list for several.

    Args:
        problems: each a text of one line or more.
        most_lines: what comes later is counted and left out.
    """
    if len(problems) == 1:
        return problems[0]
    told, lines = [f"{len(problems)} problems:"], 0
    for number, problem in enumerate(problems, start=1):
        lines += problem.count("\n") + 1
        if lines > most_lines - (number < len(problems)):
            told.append(f"... and {len(problems) - number + 1} more.")
            break
        told.append(f"{number}. {problem}")
    return "\n".join(told)


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a config: the key and the message."""

    key: str
    message: str
