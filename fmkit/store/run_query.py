"""Conditions on runs (`test.accuracy>0.9`), their order, and how many: what lists of runs share.

The command line and the local page read the same expressions by this one parser.
"""

import datetime
import fnmatch
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fmkit.core.errors import ConfigError, plural, received, short_repr
from fmkit.store import lock, run_index
from fmkit.store.run_index import RunSummary
from fmkit.store.run_table import AGE, RunTable

_OPERATORS = ("==", "!=", ">=", "<=", "!~", "=", ">", "<", "~")  # those of two characters first
_CONDITION = re.compile(rf"([^\s=<>!~]+)\s*({'|'.join(_OPERATORS)})\s*(.*)", re.DOTALL)
_AROUND = re.compile(rf"\s*({'|'.join(_OPERATORS)})\s*")
_TIME = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(?:(s|sec)|(m|min)|(h|hour)|(d|day)|(w|week))s?", re.I)
_SECONDS = (1.0, 60.0, 3600.0, 86400.0, 604800.0)  # of the groups of `_TIME`
_DATES = ("started", "ended", "heartbeat")
_NULL = ("null", "none")
EXAMPLES = "'test.accuracy>0.9', model.name=small_cnn, 'age<2d', 'name~lr'"


@dataclass(frozen=True)
class Condition:
    """One condition on a run.

    Attributes:
        key: as `RunTable` has them.
        operator: `=`, `!=`, `<`, `<=`, `>`, `>=`, `~` (fits a pattern with `*` and `?`, or has it
            in it) or `!~`.
        value: a number, a date, a time such as `2d`, a text, or `null`.
    """

    key: str
    operator: str
    value: str

    def holds(self, actual: Any) -> bool:
        """Whether a value fulfils it; a run without one (None) fulfils only `=null`.

        Raises:
            ConfigError: numbers or dates are compared with something else.
        """
        if self.operator in ("=", "!=") and self.value.lower() in _NULL:
            return (actual is None) == (self.operator == "=")
        if actual is None:
            return False
        if self.operator in ("~", "!~"):
            return self._fits(str(actual)) == (self.operator == "~")
        if self.operator in ("=", "!="):
            return self._equals(actual) == (self.operator == "=")
        value, limit = self._comparable(actual)
        return {
            ">": value > limit, "<": value < limit, ">=": value >= limit, "<=": value <= limit,
        }[self.operator]  # fmt: skip

    @property
    def asks_for_null(self) -> bool:
        """Whether runs without a value are what it is about."""
        return self.value.lower() in _NULL

    def _fits(self, actual: str) -> bool:
        pattern, text = self.value.lower(), actual.lower()
        return fnmatch.fnmatchcase(text, pattern if set(pattern) & {*"*?["} else f"*{pattern}*")

    def _equals(self, actual: Any) -> bool:
        if isinstance(actual, bool):
            return self.value.lower() == str(actual).lower()
        first, second = _number(actual), _number(self.value)
        if first is not None and second is not None:
            return first == second
        return str(actual) == self.value

    def _comparable(self, actual: Any) -> tuple[Any, Any]:
        """Both sides as numbers or as texts."""
        if self.key in _DATES:
            limit = lock.timestamp(self.value)
            if limit is None:
                raise ConfigError(received(self.key, self.value, "a date, such as 2026-11-30"))
            return lock.timestamp(str(actual)) or 0.0, limit
        value, limit = _number(actual), _number(self.value)
        if limit is None and (self.key == AGE or self.key.endswith("seconds")):
            match = _TIME.fullmatch(self.value)
            if match:
                unit = next(k for k, word in enumerate(match.groups()[1:]) if word)
                limit = float(match[1]) * _SECONDS[unit]
        if value is not None and limit is not None:
            return value, limit
        if value is None and limit is None and not isinstance(actual, bool):
            return str(actual), self.value
        expected = "a time, such as 2d, 3h or 90 min" if self.key == AGE else "a number"
        if value is None:
            raise ConfigError(
                f"{self.key}{self.operator}{self.value}: {self.key} has values that are not "
                f"numbers, such as {short_repr(actual, 40)}.",
                "Compare it with = or ~.",
            )
        raise ConfigError(received(self.key, self.value, expected))


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def parse_words(words: Sequence[str]) -> list[Condition]:
    """The conditions in words of a command line, all of which must hold.

    A word may have several, with or without `and` between them: `'test.accuracy > 0.9 and age<2d'`.

    Raises:
        ConfigError: a word is not a condition.
    """
    conditions: list[Condition] = []
    for word in words:
        parts = _split(word)
        if len(parts) > 1 and all(map(_CONDITION.fullmatch, parts)):
            conditions += map(_condition, parts)
        elif word.lower() != "and":
            conditions.append(_condition(word))
    return conditions


def parse_text(text: str) -> list[Condition]:
    """The conditions in a text with blanks between them, and with quotes as in a shell.

    Raises:
        ConfigError: a part is not a condition.
    """
    try:
        words = shlex.split(_AROUND.sub(r"\1", text))
    except ValueError as error:
        raise ConfigError(f"{short_repr(text)}: a quote is not closed.") from error
    return [_condition(word) for word in words if word.lower() != "and"]


def _split(word: str) -> list[str]:
    return [part for part in _AROUND.sub(r"\1", word).split() if part.lower() != "and"]


def is_condition(word: str) -> bool:
    """Whether a word has a key and an operator."""
    return _CONDITION.fullmatch(word) is not None


def _condition(word: str) -> Condition:
    match = _CONDITION.fullmatch(word)
    if match is None:
        raise ConfigError(
            f"the condition {short_repr(word)} has no operator and no value.",
            f"Such as: {EXAMPLES}. Put < and > in quotes, since the shell takes them for files.",
        )
    key, operator, value = match.groups()
    if not value:
        raise ConfigError(f"the condition {short_repr(word)} has no value.", f"Such as: {EXAMPLES}")
    return Condition(key, "=" if operator == "==" else operator, value)


@dataclass(frozen=True)
class Query:
    """Which runs a list has, and in which order.

    Attributes:
        conditions: all of them hold.
        sort: keys, the first one first; with `-` before it the largest value comes first.
        limit: of rows; None: all.
    """

    conditions: Sequence[Condition] = ()
    sort: Sequence[str] = ()
    limit: int | None = None


def parse_keys(text: str) -> list[str]:
    """Names with commas between them."""
    return [key.strip() for key in text.split(",") if key.strip()]


def parse_count(key: str, text: str) -> int:
    """A number of rows; ConfigError if it is not one."""
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:12]) < 10**9:
        raise ConfigError(received(key, text, "a number of rows, 1 or more"))
    return int(text)


@dataclass(frozen=True)
class Selection:
    """What a query selects.

    Attributes:
        runs: those that are shown, in order.
        values: of each key that was asked for, those of the runs that are shown.
        matching: how many fulfil the conditions, beyond the limit too.
        without_value: by key of a condition or of the order, how many runs have no value.
        remarks: in sentences, what is left out or last.
    """

    runs: list[RunSummary]
    values: dict[str, list[Any]]
    matching: int
    without_value: dict[str, int]
    remarks: list[str]


def select(table: RunTable, query: Query, columns: Sequence[str] = ()) -> Selection:
    """The runs that a query asks for, with the values of `columns`.

    Raises:
        ConfigError: no run has a key, or a value cannot be compared.
    """
    sort = [(key.lstrip("-+"), key.startswith("-")) for key in query.sort]
    asked = [*(row.key for row in query.conditions), *(key for key, _ in sort), *columns]
    values = _values(table, asked)
    rows, without, remarks = list(range(len(table.runs))), dict[str, int](), []
    for condition in query.conditions:
        column = values[condition.key]
        if not condition.asks_for_null:
            without[condition.key] = sum(value is None for value in column)
        rows = [row for row in rows if condition.holds(column[row])]
    remarks += [
        f"{plural(count, 'run')} without {key} {'is' if count == 1 else 'are'} left out"
        for key, count in without.items()
        if count
    ]
    for key, falls in reversed(sort):
        column = values[key]
        rows.sort(key=lambda row: _rank(column[row]), reverse=falls)
        rows.sort(key=lambda row: column[row] is None)
        missing = sum(column[row] is None for row in rows)
        if missing and key not in without:
            without[key] = missing
            verb = "is" if missing == 1 else "are"
            remarks.append(f"{plural(missing, 'run')} without {key} {verb} last")
    shown = rows[: query.limit]
    if len(shown) < len(rows):
        remarks.append(f"{len(shown):,} of {len(rows):,} runs are shown")
    return Selection(
        [table.runs[row] for row in shown],
        {key: [values[key][row] for row in shown] for key in dict.fromkeys(asked)},
        len(rows), {key: count for key, count in without.items() if count}, remarks,
    )  # fmt: skip


def rows(selection: Selection, columns: Sequence[str] = ()) -> list[dict[str, Any]]:
    """A row per run: the id and `columns`, or all of its summary and the values asked for."""
    result = []
    for number, run in enumerate(selection.runs):
        asked = {key: values[number] for key, values in selection.values.items()}
        own = {"id": run.id} if columns else run_index.row(run)
        shown = columns or [key for key in asked if key not in own]
        result.append(own | {key: asked[key] for key in shown})
    return result


def _values(table: RunTable, keys: Sequence[str]) -> dict[str, list[Any]]:
    """A value per run and key.

    Raises:
        ConfigError: no run has one of the keys.
    """
    columns = table.columns(keys)
    unknown = [key for key, column in columns.items() if column is None]
    if unknown and table.runs:
        names = table.keys()
        problems = [received("key", key, names) for key in unknown]
        hint = f"{len(names):,} keys: those of config.yaml and status.json, and SPLIT.METRIC."
        raise ConfigError(" ".join(problems), hint)
    return {key: column or [] for key, column in columns.items()}


def _rank(value: Any) -> tuple[int, float, str]:
    """What values are sorted by: numbers and times before texts."""
    number = _number(value)
    if number is not None and number == number:
        return 0, number, ""
    return 1, 0.0, str(value)


def age_text(seconds: float) -> str:
    """Seconds since a run started, as `3 d 4 h`, `12 min` or `40 s`."""
    span = datetime.timedelta(seconds=max(0, round(seconds)))
    hours, minutes = divmod(span.seconds // 60, 60)
    if span < datetime.timedelta(minutes=1):
        return f"{span.seconds} s"
    if span.days:
        return f"{span.days} d {hours} h"
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
