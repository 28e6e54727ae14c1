"""Exceptions that users see, with their exit codes, and helpers that word error messages."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


class FmkitError(Exception):
    """An error that the user sees as one message, without a traceback. By itself: a defect of ours.

    Args:
        message: the value received and what was expected, mostly in one line.
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
    """The data is wrong. Nothing was trained, unless a file broke during training."""

    exit_code = 3


class ArtifactError(FmkitError):
    """A run folder, a checkpoint or a weights file is missing, damaged or unsafe to read."""

    exit_code = 4


class NonFiniteError(FmkitError):
    """The loss became NaN or infinite."""

    exit_code = 5


class ResourceError(FmkitError):
    """Disk space or memory ran out."""

    exit_code = 6


class FreezeError(FmkitError):
    """Frozen weights changed during training: a defect, so the run cannot be trusted."""


class Interrupted(FmkitError):
    """A signal (Ctrl-C, SIGTERM) stopped the run after a checkpoint was saved."""

    def __init__(self, message: str, hint: str = "", signal_number: int = 2) -> None:
        super().__init__(message, hint)
        self.exit_code = 128 + signal_number


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those behind it; a chain may lead back into itself."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def short_repr(value: object, limit: int = 120) -> str:
    """`repr` of a value for a message, with the middle of a long one left out."""
    if isinstance(value, int) and value.bit_length() > 200:  # Python refuses to print huge ones
        return f"an integer of {value.bit_length()} bits"
    text = repr(value)
    if len(text) <= limit:
        return text
    return f"{text[: limit // 2]}...{text[-limit // 4 :]} ({len(text):,} characters)"


def closest_names(name: str, allowed: Iterable[str], limit: int = 3) -> list[str]:
    """The allowed names that are most similar to `name`, best first; empty when none is close."""
    if len(name) > 100:  # not a typing error, and comparing takes quadratic time
        return []
    names = [str(candidate) for candidate in allowed]
    close = difflib.get_close_matches(name, names, n=limit, cutoff=0.65)
    if not close and len(name) > 2:  # one contains the other; two letters are in too many names
        close = [other for other in names if name in other or other in name][:limit]
    return close


def received(subject: str, value: object, allowed: Iterable[str] | str = (), hint: str = "") -> str:
    """Word an error: the value received, what was allowed, did you mean, what to do.

    Args:
        subject: what is wrong, such as a config key or a file.
        value: the value received.
        allowed: the allowed names, or a phrase such as `a number above 0`.
        hint: what to do, as a sentence.
    """
    parts = [f"{subject}: received {short_repr(value)}."]
    if isinstance(allowed, str):
        if allowed:
            parts.append(f"Expected {allowed}.")
    else:
        names = [str(name) for name in allowed]
        close = closest_names(str(value), names)
        if close:
            parts.append(f"Did you mean {' or '.join(close)}?")
        if names and (not close or len(names) <= 12):
            parts.append(f"Allowed: {join_names(names)}.")
    if hint:
        parts.append(hint)
    return " ".join(parts)


def join_names(names: Sequence[str], limit: int = 20) -> str:
    """Names joined by commas; after `limit` of them a count of the rest."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def plural(count: int, noun: str, plural_noun: str = "") -> str:
    """A count with its noun: `1 photo`, `2,000 photos`, `2 entries` with `entries` given."""
    return f"{count:,} {noun if count == 1 else plural_noun or f'{noun}s'}"


def combine_messages(problems: Sequence[str], max_lines: int = 10) -> str:
    """One message for one problem, a numbered list for several.

    Args:
        max_lines: problems after so many lines are left out and counted.
    """
    if len(problems) == 1:
        return problems[0]
    parts, lines = [f"{len(problems)} problems:"], 0
    for number, problem in enumerate(problems, start=1):
        lines += problem.count("\n") + 1
        if lines > max_lines - (number < len(problems)):  # a line for the count of the rest
            parts.append(f"... and {len(problems) - number + 1} more.")
            break
        parts.append(f"{number}. {problem}")
    return "\n".join(parts)


@dataclass(frozen=True)
class Problem:
    """A problem with a config: the key and the message."""

    key: str
    message: str
