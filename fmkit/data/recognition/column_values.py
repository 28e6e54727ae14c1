"""What the values of a table's columns are: labels, numbers, amounts, marks, objects, spans."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fmkit.core.errors import ConfigError
from fmkit.data.formats.amounts import amount_format, are_amounts
from fmkit.data.formats.cells import EXCEL_ERRORS, parse_cell
from fmkit.data.formats.unread_numbers import (
    DOUBTFUL,
    REMEDY_OF_DOUBT,
    UnreadNumbers,
    thousands_or_decimals,
    unread_numbers,
    without_missing,
)
from fmkit.data.sources.label_readers import MARKS, SIGNED_NO, joined_names

Columns = Mapping[str, Sequence[Any]]
"""By column, the values of the first rows."""

_DATE = re.compile(r"\d{1,4}([./-])\d{1,2}\1\d{1,4}([T ].*)?")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_GROUP = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")
_DECIMAL_COMMA = re.compile(r"[-+]?\d+(\.\d{3})*,\d+")
_NO = ("0", "0.0", "false")
_SEPARATORS = ("|", ";")
_FEW = 3  # whole numbers that may rise by chance
_NEARLY = 0.8
_FEW_AMOUNTS = 5  # different numbers with a unit that may be classes
_MANY = 20  # different whole numbers that are more likely measured than named


def as_columns(rows: Iterable[Mapping[str, Any]]) -> Columns:
    """Columns out of rows that may lack some."""
    listed = list(rows)
    names = dict.fromkeys(name for row in listed for name in row)
    return {str(name): [row.get(name) for row in listed] for name in names}


def filled(values: Sequence[Any]) -> Sequence[Any]:
    """The values that are neither empty, NaN nor an error of Excel."""
    empty = (None, "", *EXCEL_ERRORS)
    return [value for value in values if value == value and value not in empty]


def are_objects(values: Sequence[Any]) -> bool:
    """Whether all values are objects, whose cells are columns such as `data.text` as well."""
    objects = filled(values)
    return bool(objects) and all(isinstance(value, dict) for value in objects)


def are_spans(value: Any) -> bool:
    """Whether a cell is a list of parts of a text, as annotation tools write it.

    A part is `[start, end, label]`, or an object with `start` and `end`.
    """
    if not isinstance(value, list) or not value:
        return False
    return all(
        {"start", "end"} <= part.keys()
        if isinstance(part, dict)
        else isinstance(part, list)
        and len(part) == 3
        and all(isinstance(bound, int) for bound in part[:2])
        for part in value
    )


def are_rising(values: Sequence[Any]) -> bool:
    """Whether values are whole numbers, each larger than the one before, as ids are."""
    texts = [str(value) for value in filled(values)]
    if len(texts) < _FEW or not all(text.isdecimal() for text in texts):
        return False
    return all(int(first) < int(second) for first, second in itertools.pairwise(texts))


def are_flags(values: Sequence[Any]) -> bool:
    """Whether values are labels of yes or no: 1 and 0 or -1, true and false, a mark and nothing."""
    texts = {str(value).strip().lower() for value in filled(values)}
    if texts and texts <= {*MARKS}:
        return len(filled(values)) < len(values)
    if SIGNED_NO in texts and texts <= {"1", SIGNED_NO}:
        return len(filled(values)) == len(values)
    return bool(texts) and texts <= {*_NO, "1", "1.0", "true"}


def are_words(columns: Columns, flags: Sequence[str]) -> bool:
    """Whether columns of labels of yes or no say true or false, rather than 1 or 0 or a mark."""
    words = ("true", "false")
    return all(str(value).strip().lower() in words for n in flags for value in filled(columns[n]))


def are_plain_numbers(texts: Sequence[str]) -> bool:
    """Whether all texts are numbers without a unit, and there are some."""
    return bool(texts) and all(map(_NUMBER.fullmatch, texts))


def may_be_labels(values: Sequence[Any]) -> bool:
    """Whether values repeat, or are numbers, and are not dates."""
    texts = [str(value) for value in filled(values)]
    if not texts or all(map(_DATE.fullmatch, texts)):
        return False
    numbers = without_missing(texts)
    if are_plain_numbers(numbers) or are_amounts(numbers):
        return len({*numbers}) > 1
    return 1 < len({*texts}) <= max(2, len(texts) // 2)


def have_yes(values: Sequence[Any]) -> bool:
    """Whether some value of a column of labels of yes or no is a yes."""
    return any(str(value).strip().lower() not in (*_NO, SIGNED_NO) for value in filled(values))


def measured_numbers(values: Sequence[Any]) -> UnreadNumbers | None:
    """The numbers of a column that are not read, where there are too many for classes."""
    texts = [str(value).strip() for value in filled(values)]
    unread, count = unread_numbers(texts), len({*texts})
    if unread is None or _are_joined(texts, ","):
        return None
    is_measured = count > _FEW_AMOUNTS and not unread.may_be_names
    return unread if is_measured or count > len(texts) // 2 > _FEW else None


def label_task(name: str, values: Sequence[Any]) -> tuple[str, str]:
    """The task that learns labels of this kind, empty for classification; and their separator.

    Raises:
        ConfigError: they are numbers with several units, or it cannot be told which ones.
    """
    if any(isinstance(parse_cell(value), list) for value in values):
        return "multi_label", ""
    texts = [str(value).strip() for value in values]
    some = without_missing(texts)
    texts = some if are_plain_numbers(some) or are_amounts(some) else texts
    if are_plain_numbers(texts):
        example, are_thousands = thousands_or_decimals(texts)
        if are_thousands:
            raise ConfigError(f"column {name} has {DOUBTFUL.format(example)}.", REMEDY_OF_DOUBT)
        numbers = [float(text) for text in texts]
        is_measured = any(not number.is_integer() for number in numbers)
        many = len(set(numbers)) > max(_MANY, len(numbers) // 2)
        return ("regression", "") if is_measured or many else ("", "")
    if are_amounts(texts) and len({*texts}) > _FEW_AMOUNTS:
        try:
            amount_format(texts)
        except ValueError as error:
            raise ConfigError(f"column {name} {error}") from None
        return "regression", ""
    for separator in (",", "#"):  # "#" is doccano's
        if _are_joined(texts, separator):
            return "multi_label", separator
    for separator in _SEPARATORS:
        parts = Counter(part for text in texts for part in text.split(separator))
        if sum(separator in text for text in texts) > 0.1 * len(texts) > 0 and (
            len(parts) < len(texts)
        ):
            return "multi_label", "" if separator == "|" else separator
    return "", ""


def _are_joined(texts: Sequence[str], separator: str) -> bool:
    """Whether nearly all cells with a separator join labels that other cells have alone."""
    joined = {*joined_names({*texts}, separator)}
    with_separator = [text for text in texts if separator in text]
    return sum(text in joined for text in with_separator) >= _NEARLY * len(with_separator) > 0


def photos_inside(columns: Columns) -> str | None:
    """The column with photos themselves, as Hugging Face's `datasets` writes them."""
    for name, values in columns.items():
        if any(isinstance(value, dict) and "bytes" in value for value in values):
            return name
    return None


def refuse_decimal_commas(columns: Columns, names: Sequence[str]) -> None:
    """Refuse numbers such as `1.000,50`, which would be neither labels nor numbers.

    Raises:
        ConfigError: a column consists of them.
    """
    for name in names:
        values = [str(value).strip() for value in filled(columns[name])]
        if values and all(_DECIMAL_COMMA.fullmatch(value) for value in values):
            some = next((value for value in values if not _GROUP.fullmatch(value)), None)
            kind = "a decimal comma" if some else "a comma, before decimals or after thousands"
            raise ConfigError(
                f"column {name} has numbers with {kind}, such as {some or values[0]}.",
                "Write them with a point and without separators of thousands, as 1000.50.",
            )


def refuse_other_units(name: str, values: Sequence[Any]) -> None:
    """Refuse different numbers that are not read, which would each be a class.

    Raises:
        ConfigError: the column consists of them.
    """
    if unread := measured_numbers(values):
        raise ConfigError(f"column {name} has {unread.content}.", unread.remedy)
