"""Numbers with a unit: their values, and what cannot be told."""

import pytest

from fmkit.data.formats.amounts import amount_format

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
