"""Answers that are a part of a word: told from whole words, and counted by `fmkit check`."""

import numpy as np
import pytest

from fmkit.data.content.answer_spans import AnswerSpans, is_part_of_word
from fmkit.data.content.texts import Texts
from fmkit.data.examples import Examples
from fmkit.data.quality.target_checks import target_findings


@pytest.mark.parametrize(
    ("text", "answer", "is_part"),
    [
        ("서울 인천에서 만났다", "인천", True),
        ("ไปกรุงเทพมหานคร", "กรุงเทพ", True),
        ("とうきょうへ", "とうきょう", True),
        ("the 1990s", "1990", True),
        ("Köln", "öl", True),
        ("the 1990s", "1990s", False),
        ("in Köln.", "Köln", False),
        ("O'Neil", "Neil", False),
        ("$5.50", "5.50", False),
        ("他住在北京市", "北京", False),  # each character is a word
    ],
)
def test_a_part_of_a_word_is_told_from_words(text, answer, is_part):
    begin = text.index(answer)
    assert is_part_of_word(text, (begin, begin + len(answer))) == is_part


def test_questions_with_such_answers_alone_are_counted():
    text = "in the 1990s"
    spans = (((7, 11),), ((7, 12),), ((7, 11), (3, 6)), (), ((8, 12),))
    examples = Examples(
        tuple("abcde"), np.zeros(5, np.int32), (), Texts(("q",) * 5, (text,) * 5),
        annotations=AnswerSpans(spans),
    )  # fmt: skip
    (finding,) = target_findings(examples, {"all": np.arange(5)})
    assert (finding.kind, finding.count, finding.is_error) == ("answer_in_word", 2, False)
    assert "Of 4 questions with an answer, 2 have one" in finding.why
    assert "'1990' of a" in finding.why
