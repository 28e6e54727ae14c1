"""Numbers with a unit: their values, and what cannot be told."""

import pytest

from fmkit.data.formats.amounts import amount_format
from fmkit.data.formats.unread_numbers import thousands_or_decimals, unread_numbers

READ = [
    (["55%", "12.5 %"], [55, 12.5]),
    (["12,5 %", "7 %"], [12.5, 7]),
    (["12.345%", "1%"], [12.345, 1]),
    (["$330,000.00", "$5.00"], [330_000, 5]),
    (["$330,000", "$5,500"], [330_000, 5_500]),
    (["573.000,00 €", "12,00 €"], [573_000, 12]),
    (["1.000.000 €", "573.000 €"], [1_000_000, 573_000]),
    (["5 €", "EUR 6.50"], [5, 6.5]),
    (["-$5.00", "$-6", "\u2212$7"], [-5, -6, -7]),
    (["1\u00a0000,50 zł", "3 zł"], [1000.5, 3]),
    (["CHF 1'000.50"], [1000.5]),
    (["CHF 1'350.–", "CHF 900.-"], [1350, 900]),
    (["1.350,– €", "99,50 €"], [1350, 99.5]),
    (["R$ .5"], [0.5]),
]


@pytest.mark.parametrize(("texts", "numbers"), READ, ids=[texts[0] for texts, _ in READ])
def test_the_numbers_of_a_column(texts, numbers):
    format = amount_format(texts)
    assert [float(format.plain(text)[0]) for text in texts] == numbers


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["$5", "7 €"], r"EUR \(7 €\) and \$ \(\$5\)"),
        (["573.000 €", "12.000 €"], "573.000 €, which may be with decimals or with thousands"),
        (["$330.000"], "decimals or with thousands"),
        (["1.5 €", "1,5 €"], "behind a point and behind a comma, such as 1.5 € and 1,5 €"),
    ],
)
def test_what_cannot_be_told_is_refused(texts, said):
    with pytest.raises(ValueError, match=said):
        amount_format(texts)


@pytest.mark.parametrize(
    "texts", [["330k"], ["12 kg"], ["12"], ["$"], ["$5 or so"], ["5 € EUR"], []]
)
def test_other_texts_are_not_numbers_with_a_unit(texts):
    assert amount_format(texts) is None


@pytest.mark.parametrize(
    ("text", "said"), [("7 €", "is in EUR"), ("7", "has no unit"), ("$7,5", "before its decimals")]
)
def test_a_cell_that_differs_from_its_column_is_named(text, said):
    assert said in amount_format(["$330,000.00"]).plain(text)[1]


UNREAD = {
    "accounting": (["(3,723.00)", "421.00", "2,926.00"], "negative numbers in brackets"),
    "negative amounts": (["$(45.00)", "$12.00", "$7.00"], "negative numbers in brackets"),
    "commas": (["421.00", "2,926.00", "17.50"], "a comma between thousands"),
    "points": (["1.234.567", "1.000.000"], "points between thousands"),
    "apostrophes": (["1'350", "950"], "an apostrophe between thousands"),
    "clock": (["1:45", "0:08", "2:00"], "times"),
    "words": (["1h 30m", "2h 53m", "0h 20m"], "times"),
    "timedelta": (["1 days 01:45:00", "0 days 00:30:00"], "times"),
    "ranges": (["£45,000 - £50,000", "£50,000 - £55,000"], "ranges of numbers"),
    "scales": (["3/5", "4/5"], "out of a whole"),
    "dashes": (["1350.–", "40.-"], "a dash in place of decimals"),
    "thousands": (["$0.35k", "$1.2k"], "a unit that fmkit does not read, such as $0.35k"),
    "degrees": (["13 °C", "-2 °C"], "a unit that fmkit does not read"),
    "beside plain ones": (["13", "15", "17 kg"], "a unit that fmkit does not read, such as 17 kg"),
}


@pytest.mark.parametrize("name", UNREAD)
@pytest.mark.parametrize("blank", [[], ["-", "n/a"]], ids=["filled", "with blanks"])
def test_numbers_that_are_not_read_are_named(name, blank):
    texts, content = UNREAD[name]
    assert content in unread_numbers([*texts, *blank]).content


@pytest.mark.parametrize(
    "texts",
    [["1", "2.5"], ["$5", "$6"], ["3 cats", "a dog"], ["good", "bad"], ["27", "2,14"], ["-"], []],
    ids=str,
)
def test_what_is_read_or_not_a_number_is_not_named(texts):
    assert unread_numbers(texts) is None


def test_points_that_may_be_between_thousands():
    assert thousands_or_decimals(["972", "1.003", "1.289", "1.500"]) == ("1.003", True)
    assert thousands_or_decimals(["1.003", "1.289", "1.500"]) == ("1.003", False)
    for decimals in (["972", "1.003", "1.28"], ["972", "0.003", "1.289", "2.1"], ["5", "7"]):
        assert thousands_or_decimals(decimals) == ("", False)
