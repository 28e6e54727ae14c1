"""Pieces of HTML: what comes from outside is text, whatever it is."""

import re
from html.parser import HTMLParser

import pytest
from markupsafe import Markup

from fmkit.report import html

HOSTILE = ['<script>alert(1)</script>', '"><img src=x onerror=alert(1)>', "a'b\"c&d", "two\nlines",
           "\u202egnp.exe", "\ud800", "{{ 7*7 }}", "$\\frac{1}{2}$", "</style><b>"]  # fmt: skip


def content(markup):
    """Tags and texts as a browser reads them."""
    tags, texts = [], []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            tags.append((tag, dict(attrs)))

        def handle_data(self, data):
            texts.append(data)

    Reader().feed(str(markup))
    return tags, "".join(texts)


@pytest.mark.parametrize("word", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("make", [
    lambda word: html.element("p", word, title=word), html.name, html.code, html.note, html.command,
    lambda word: html.table([word], [[word]], word), lambda word: html.pairs([(word, word)]),
    lambda word: html.details(word, word), lambda word: html.join([word, word]),
], ids=range(9))  # fmt: skip
def test_words_from_outside_make_no_tags(make, word):
    markup = make(word)
    expected, _ = content(make("harmless"))
    tags, text = content(markup)
    assert [tag for tag, _ in tags] == [tag for tag, _ in expected]
    assert [sorted(attributes) for _, attributes in tags] == [
        sorted(attributes) for _, attributes in expected
    ]
    assert not re.search("[\u202a-\u202e\ud800]", text)
    str(markup).encode()  # a page is UTF-8


def test_a_name_is_one_line_and_keeps_its_direction_to_itself():
    assert html.name("a\nb") == Markup("<bdi>a\\nb</bdi>")
    assert html.name("\u202eabc") == Markup("<bdi>\\u202eabc</bdi>")
    assert len(html.name("x" * 10_000)) < 300


@pytest.mark.parametrize(("value", "text"), [
    (None, "–"), (1234567, "1,234,567"), (0.5, "0.5000"), (0.00001234, "1.23e-05"), (0.0, "0.0000"),
    (float("nan"), "–"), (True, "True"), ("x", "x"), (12345678.9, "1.23e+07"),
])  # fmt: skip
def test_numbers(value, text):
    assert html.number(value) == text


def test_a_table_sorts_by_values_and_not_by_texts():
    table = html.table(
        ["class", "share"], [["a", html.Cell("50%", 0.5)], ["b", None]], sortable=True
    )
    tags, _ = content(table)
    cells = [attributes for tag, attributes in tags if tag == "td"]
    assert [cell.get("data-value") for cell in cells] == ["0.5", None]
    assert html.table(["a"], []) is None
