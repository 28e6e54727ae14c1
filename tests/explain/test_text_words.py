"""The words of a text, the tokens that they have, and the text without some of them."""

import numpy as np
import pytest

from fmkit.explain.text_words import SPECIAL, find_words, read_tokens
from fmkit.models.text.small import byte_tokenizer
from fmkit.models.tokenizers.subword import WordPieceModel
from fmkit.models.tokenizers.tokenizer import TextTokenizer

TEXT = "Don't worry: it's\nan unbelievably good film! 日本 \u2018rock'n'roll\u2019"
WORDS = ["Don't", "worry", ":", "it's", "an", "unbelievably", "good", "film", "!", "日", "本",
         "\u2018", "rock'n'roll", "\u2019"]  # fmt: skip


def word_pieces():
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##believ", "##ably", "good", "film", "!"]
    return TextTokenizer(WordPieceModel(tuple(pieces)), "bert", 2, 3, special_ids=[0])


@pytest.mark.parametrize(
    "tokenizer",
    [byte_tokenizer("bert"), byte_tokenizer("causal"), word_pieces()],
    ids=["bytes", "causal", "words"],
)
@pytest.mark.parametrize("pair", [(), ("A second text, as long.",)], ids=["text", "pair"])
@pytest.mark.parametrize("length", [12, 40, 200])
def test_tokens_are_those_that_the_model_reads_and_each_is_of_its_word(tokenizer, pair, length):
    words = find_words([TEXT, *pair])
    assert words.names()[: len(WORDS)] == WORDS
    row, owners = read_tokens(tokenizer, words, length)
    (expected,), _ = tokenizer.encode([TEXT], list(pair) or None, length)
    np.testing.assert_array_equal(row, expected)
    is_special = np.isin(row, tokenizer.special_ids)
    np.testing.assert_array_equal(owners == SPECIAL, is_special)
    assert (np.diff(owners[~is_special]) >= 0).all()
    for number, name in enumerate(words.names()):
        written = tokenizer.decode(row[owners == number]).strip()
        if written and tokenizer.pieces.vocabulary[1] != "[UNK]":  # the last one may be cut
            assert name.startswith(written.rstrip("\ufffd"))
    if length == 200 and tokenizer.pieces.vocabulary[1] == "[UNK]":
        assert [tokenizer.decode(row[owners == k]) for k in (5, 6)] == ["unbelievably", "good"]


def test_a_tokenizer_that_cannot_tell_where_its_tokens_are_reads_word_by_word(monkeypatch):
    tokenizer, words = byte_tokenizer("bert"), find_words(["so  good"])
    whole = [np.array([[0, 8]] * 8)]
    monkeypatch.setattr(tokenizer, "offsets", lambda texts, rows: whole)
    row, owners = read_tokens(tokenizer, words, 20)
    assert tokenizer.decode(row) == "so good"
    assert owners.tolist() == [SPECIAL, 0, 0, 1, 1, 1, 1, 1, SPECIAL]


def test_words_are_left_out_with_one_of_their_spaces():
    words = find_words([TEXT, "and so on"])
    assert words.without([]) == words.texts
    assert words.without([1, 2])[0].startswith("Don't it's\nan")
    assert words.without([0, 16]) == (TEXT.removeprefix("Don't "), "and so")
    assert words.without([15, 15, 14])[1] == "on"
    assert words.only([6, 7, 8, 14]) == ("good film!", "and")
    assert words.only([]) == ("", "")


def test_what_is_not_read_is_cut():
    words = find_words(["one two three four", "five six"])
    cut = words.cut(np.array([True, True, True, False, True, False]))
    assert cut.texts == ("one two three", "five")
    assert cut.without([1]) == ("one three", "five")
    assert cut.only([0, 4]) == ("one", "five")
