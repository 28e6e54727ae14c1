"""Numbers as people write them and fmkit does not read: named, rather than learned as classes.

A column of them has only these, plain numbers, amounts such as `$5.00`, and signs for nothing.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from fmkit.data.formats.amounts import SPACES, UNIT, amount

MISSING = ("-", "--", "\u2013", "\u2014", "?", ".", "/", "n/a", "n.a.", "na", "k.a.", "null",
           "none", "nan", "nil")  # fmt: skip
"""What people write, in lower case, where a column of numbers has none."""

_PLAIN = re.compile(r"[-+\u2212]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_UNIT = rf"(?:{UNIT})?[{SPACES}]*"
_DIGITS = r"\d+(?:[.,'’]\d+)*"
_DURATION = (
    r"(?:d|days?|tage?|h|hrs?|hours?|std|stunden?|m|mins?|minutes?|minuten?|s|secs?|seconds?)"
)
_POINT = re.compile(r"[1-9]\d{0,2}\.\d{3}")
_WHOLE = re.compile(r"\d{1,3}")
_FEW = 3  # numbers that have three digits after the point by chance
_MOST_UNITS = 5  # different units of one column, such as s, min and h
_SHARE = 0.1  # of a column's numbers that are of the kind which is named
_ORDINAL = ("e", "er", "st", "nd", "rd", "th", "o", "a", "b", "c", "ª", "º")  # of names: 2nd, 3b
_REMEDY = "Write them as plain numbers, such as 1000.50, and the unit into the column's name."
DOUBTFUL = "numbers such as {}, which may be with decimals or with thousands"
REMEDY_OF_DOUBT = (
    "Write thousands without a point, as 1003; decimals with another number of digits, as 1.0030."
)


class UnreadNumbers(NamedTuple):
    """What numbers of a column are not read.

    Attributes:
        content: as in "column price has numbers in thousands, such as $5k".
        remedy: how to write them.
        may_be_names: they are as likely classes where they repeat, such as `18-25` and `3/5`.
    """

    content: str
    remedy: str
    may_be_names: bool


class _Kind(NamedTuple):
    pattern: re.Pattern[str]
    content: str
    remedy: str = _REMEDY
    may_be_names: bool = False


def _kind(pattern: str, content: str, *more: object) -> _Kind:
    return _Kind(re.compile(pattern, re.IGNORECASE), content, *more)  # type: ignore[arg-type]


_KINDS = (
    _kind(
        rf"{_UNIT}\([{SPACES}]*{_UNIT}(?:\d{{1,3}}(?:,\d{{3}})+|\d+)(?:\.\d+)?[{SPACES}]*{_UNIT}\)",
        "negative numbers in brackets",
        "Write them with a minus sign and without separators of thousands, as -1000.50.",
    ),
    _kind(
        r"[-+]?\d{1,3}(?:,\d{3})+\.\d+|[-+]?\d{1,3}(?:,\d{3}){2,}",
        "numbers with a comma between thousands",
        "Write them without separators of thousands, as 1000.50.",
    ),
    _kind(
        r"[-+]?[1-9]\d{0,2}(?:\.\d{3}){2,}",
        "numbers with points between thousands",
        "Write them without separators of thousands, as 1000000.",
    ),
    _kind(
        r"[-+]?\d{1,3}(?:['’]\d{3})+(?:\.\d+)?",
        "numbers with an apostrophe between thousands",
        "Write them without separators of thousands, as 1000.50.",
    ),
    _kind(
        rf"-?\d+:\d\d(?::\d\d(?:\.\d+)?)?|\d+ days?,? \d+:\d\d:\d\d(?:\.\d+)?"
        rf"|(?:\d+(?:[.,]\d+)?[{SPACES}]*{_DURATION}\.?,?[{SPACES}]*){{2,}}",
        "times that fmkit does not read",
        "Write them in one unit as plain numbers, such as 105 for 1:45, and the unit, such as "
        "minutes, into the column's name.",
        True,
    ),
    _kind(
        rf"{_UNIT}{_DIGITS}[{SPACES}]*{_UNIT}k?[{SPACES}]*(?:[-\u2013\u2014]|to|bis|à)[{SPACES}]*"
        rf"{_UNIT}{_DIGITS}[{SPACES}]*{_UNIT}k?",
        "ranges of numbers, which are not read",
        "Write one number for each, such as the middle, or a few names that repeat.",
        True,
    ),
    _kind(
        rf"\d+(?:[.,]\d+)?[{SPACES}]?(?:/|of|von|out of)[{SPACES}]?\d+",
        "numbers out of a whole that fmkit does not read",
        _REMEDY,
        True,
    ),
    _kind(
        rf"[-+\u2212]?{_DIGITS}[.,][-\u2013\u2014]{{1,2}}",
        "numbers with a dash in place of decimals",
    ),
)
_OTHER_UNIT = re.compile(
    rf"[-+\u2212]?{_UNIT}[-+\u2212]?\d[\d.,]*[{SPACES}]?(?P<unit>[^\W\d_]\S{{0,11}}|°\S?|[\"'])"
    rf"|[-+\u2212]?\d[\d.,]*[{SPACES}]?(?P<scale>k|m|mio\.?|mn|bn)[{SPACES}]?(?:{UNIT})",
    re.IGNORECASE,
)


def without_missing(texts: Sequence[str]) -> list[str]:
    """The texts but those that stand for no number, if others are left."""
    return [text for text in texts if text.strip().lower() not in MISSING] or [*texts]


def unread_numbers(texts: Sequence[str]) -> UnreadNumbers | None:
    """What is in a column of numbers of which some are not read; None where it is something else.

    Args:
        texts: cells that are not empty, without white space around them.
    """
    texts = without_missing(texts)
    if not texts or all(map(amount, texts)):
        return None
    others = [text for text in texts if not (_PLAIN.fullmatch(text) or amount(text))]
    kinds = {text: _kind_of(text) for text in {*others}}
    units = {unit.lower() for text in kinds if kinds[text] is None and (unit := _unit(text))}
    if any(kind is None and not _unit(text) for text, kind in kinds.items()):
        return None
    if len(others) < _SHARE * len(texts) or not others or len(units) > _MOST_UNITS:
        return None
    first = next((kind for kind in _KINDS if kind in kinds.values()), None)
    if first is None and units <= {*_ORDINAL}:
        return None
    if first is None:
        content = "numbers with a unit that fmkit does not read"
        return UnreadNumbers(f"{content}, such as {others[0]}", _REMEDY, len(units) > 1)
    example = next(text for text in others if kinds[text] is first)
    return UnreadNumbers(f"{first.content}, such as {example}", first.remedy, first.may_be_names)


def _kind_of(text: str) -> _Kind | None:
    return next((kind for kind in _KINDS if kind.pattern.fullmatch(text)), None)


def _unit(text: str) -> str:
    match = _OTHER_UNIT.fullmatch(text)
    return (match["unit"] or match["scale"]) if match else ""


def thousands_or_decimals(texts: Sequence[str]) -> tuple[str, bool]:
    """A number such as `1.003`, which may be 1003, of a column in which nothing tells; or empty.

    All points have three digits after them and one to three before, and nothing has a leading 0.

    Returns:
        The number, and whether thousands are likely: there are whole numbers of hundreds beside it.
    """
    numbers = [text.strip().lstrip("+-") for text in without_missing(texts)]
    points = [text for text in numbers if "." in text]
    whole = [text for text in numbers if "." not in text]
    if len(points) < _FEW or not all(map(_POINT.fullmatch, points)):
        return "", False
    if not all(map(_WHOLE.fullmatch, whole)):
        return "", False
    return points[0], any(len(text) == 3 for text in whole)
