"""Numbers with a unit, as spreadsheets and shops write them: `55%`, `$330,000.00`, `573.000,00 €`.

All of a column have one unit and one way of writing, which is known by its first cells: a single
cell such as `330.000 €` may be 330 or 330,000.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

_SIGNS = "$€£¥₹₽₩₺₫₴₱฿₪₦₡₵₸₿"
_CODES = (
    "USD", "EUR", "GBP", "JPY", "CNY", "RMB", "CHF", "SEK", "NOK", "DKK", "PLN", "CZK",
    "HUF", "RON", "BGN", "ISK", "CAD", "AUD", "NZD", "INR", "PKR", "BRL", "RUB", "UAH",
    "TRY", "ZAR", "KRW", "MXN", "ARS", "CLP", "COP", "SGD", "HKD", "TWD", "THB", "IDR",
    "MYR", "PHP", "VND", "ILS", "AED", "SAR", "EGP", "NGN", "KES",
)  # fmt: skip
"""Of ISO 4217."""
_WORDS = (r"kr\.?", "zł", "Kč", r"Fr\.", r"Rs\.?")
_SHARES = "%‰"
UNIT = rf"[{_SHARES}]|[A-Z]{{0,3}}[{_SIGNS}]|{'|'.join((*_CODES, *_WORDS))}"
SPACES = " \u00a0\u2009\u202f"
_AMOUNT = re.compile(
    rf"(?P<sign>[-+\u2212]?)[{SPACES}]*(?P<before>{UNIT})?[{SPACES}]*(?P<inner>[-+\u2212]?)"
    rf"(?P<digits>\.?\d(?:[\d.,'’{SPACES}]*\d)?)"
    rf"(?P<dash>[.,][-\u2013\u2014]{{1,2}})?[{SPACES}]*(?P<after>{UNIT})?"
)
_SAME = {"€": "EUR", "£": "GBP", "₹": "INR"}
_NEARLY = 0.9
_LONGEST = 100  # characters
_CONVERT = (
    "Write all of them as plain numbers, such as 1000.50, and the unit into the column's name."
)


def _pattern(decimal: str, thousands: str) -> re.Pattern[str]:
    return re.compile(
        rf"\d{{1,3}}(?:[{thousands}'’{SPACES}]\d{{3}})+(?:{decimal}\d+)?|\d*{decimal}\d+|\d+"
    )


_STYLES = {".": _pattern(r"\.", ","), ",": _pattern(",", r"\.")}
"""By the sign before decimals, numbers as they are written with it."""


class Amount(NamedTuple):
    """A number with a unit: its sign, its digits with what is between them, and the unit."""

    sign: str
    digits: str
    unit: str
    is_before: bool


def amount(text: str) -> Amount | None:
    """The number with a unit that a text is; None where it is something else."""
    match = _AMOUNT.fullmatch(text.strip()) if len(text) < _LONGEST else None
    if match is None or bool(match["before"]) == bool(match["after"]):
        return None
    if match["sign"] and match["inner"]:
        return None
    unit = match["before"] or match["after"]
    sign = (match["sign"] + match["inner"]).replace("\u2212", "-")
    digits = match["digits"] + (f"{match['dash'][0]}00" if match["dash"] else "")
    return Amount(sign, digits, _SAME.get(unit, unit), bool(match["before"]))


def are_amounts(texts: Sequence[str]) -> bool:
    """Whether nearly all texts are numbers with a unit."""
    return bool(texts) and _count(texts) >= _NEARLY * len(texts)


def _count(texts: Sequence[str]) -> int:
    return sum(amount(text) is not None for text in texts)


@dataclass(frozen=True)
class AmountFormat:
    """How the numbers of a column are written.

    Attributes:
        unit: of all of them.
        decimal: the sign before decimals, `.` or `,`.
    """

    unit: str
    decimal: str

    def plain(self, text: str) -> tuple[str, str]:
        """A number as Python writes it, or why it cannot be read."""
        parts = amount(text)
        if parts is None or parts.unit != self.unit:
            other = "has no unit" if parts is None else f"is in {parts.unit}"
            return "", f"{text[:40]!r} {other}, and others are in {self.unit}"
        if not _STYLES[self.decimal].fullmatch(parts.digits):
            return "", f"{text[:40]!r} is not a number with {self.decimal!r} before its decimals"
        whole, _, decimals = parts.digits.partition(self.decimal)
        whole = re.sub(r"\D", "", whole)
        return f"{parts.sign}{whole or 0}" + (f".{decimals}" if decimals else ""), ""


def amount_format(texts: Sequence[str]) -> AmountFormat | None:
    """How the numbers of a column are written; None where most are not numbers with a unit.

    Args:
        texts: cells that are not empty.

    Raises:
        ValueError: there are several units, or the decimals cannot be told from thousands.
    """
    if 2 * _count(texts) <= len(texts):
        return None
    amounts = [(text, parts) for text in texts if (parts := amount(text))]
    first = {parts.unit: text for text, parts in reversed(amounts)}
    if len(first) > 1:
        listed = " and ".join(f"{unit} ({text})" for unit, text in [*first.items()][:4])
        raise ValueError(f"has numbers in {listed}, and one unit can be learned. Convert them.")
    (unit,) = first
    possible = [sign for sign in _STYLES if all(_fits(sign, parts) for _, parts in amounts)]
    if not possible:
        raise ValueError(
            f"has decimals behind a point and behind a comma, such as {_examples(amounts)}. "
            + _CONVERT
        )
    formats = [AmountFormat(unit, sign) for sign in possible]
    unclear = [
        text for text, _ in amounts if len({float(format.plain(text)[0]) for format in formats}) > 1
    ]
    if unclear and unit in _SHARES:  # nobody has thousands of percent
        has_point = any("." in parts.digits for _, parts in amounts)
        return AmountFormat(unit, "." if has_point else ",")
    are_before = all(parts.is_before and "." not in parts.digits for _, parts in amounts)
    if unclear and not are_before:
        raise ValueError(
            f"has numbers such as {unclear[0]}, which may be with decimals or with thousands. "
            + _CONVERT
        )
    return formats[0]


def _fits(sign: str, parts: Amount) -> bool:
    return _STYLES[sign].fullmatch(parts.digits) is not None


def _examples(amounts: Iterable[tuple[str, Amount]]) -> str:
    """A number that is only written with a point, and one with a comma."""
    shown = [
        next((text for text, parts in amounts if _fits(a, parts) and not _fits(b, parts)), "")
        for a, b in (".,", ",.")
    ]
    return " and ".join(filter(None, shown)) or next(text for text, _ in amounts)
