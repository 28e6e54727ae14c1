"""Vocabularies made of texts: what is in them, that they can be repeated, and what is refused."""

import itertools
import os
import random
import re
import subprocess
import sys
from collections import Counter

import pytest

from fmkit.config.rules import MIN_BYTE_PAIRS
from fmkit.config.schema.commands import TokenizerConfig
from fmkit.config.schema.keys import key_infos
from fmkit.core.errors import ConfigError, DataError
from fmkit.models.tokenizers import tokenizer, training
from fmkit.models.tokenizers.subword import PATTERNS, byte_alphabet, byte_letters
from fmkit.models.tokenizers.training import (
    BERT_SPECIAL_TOKENS,
    BYTE_SPECIAL_TOKENS,
    VocabularySettings,
)

DRAWN = random.Random(0)
SYLLABLES = ["ba", "ru", "ké", "Tol", "ni", "x", "schi", "9", "42", "'s", "-", "über"]
WORDS = ["".join(DRAWN.choices(SYLLABLES, k=DRAWN.randint(1, 4))) for _ in range(400)]
TEXTS = [" ".join(DRAWN.choices(WORDS, weights=range(400, 0, -1), k=30)) for _ in range(200)]


def train(kind, size=600, texts=TEXTS, **settings):
    return training.train(VocabularySettings(kind, size, **settings), lambda: iter(texts))


def test_bytes_come_first_and_merges_after_them_by_frequency():
    found = train("byte_pair", size=300)
    vocabulary, merges = found.pieces.vocabulary, found.pieces.merges
    assert vocabulary[: len(BYTE_SPECIAL_TOKENS)] == BYTE_SPECIAL_TOKENS
    assert vocabulary[len(BYTE_SPECIAL_TOKENS) : MIN_BYTE_PAIRS] == byte_alphabet()
    assert len(BYTE_SPECIAL_TOKENS) + 256 == MIN_BYTE_PAIRS
    assert vocabulary[MIN_BYTE_PAIRS:] == tuple(each.replace(" ", "") for each in merges)
    assert (found.start, found.end, found.mask) == (1, 2, 3)
    pairs = Counter()
    for word in (each for text in TEXTS for each in re.findall(r" ?[^\W\d]+", text)):
        letters = [byte_letters()[each] for each in word.encode()]
        pairs.update(itertools.pairwise(letters))
    assert merges[0] in {" ".join(pair) for pair in pairs if pairs[pair] == max(pairs.values())}


def test_every_letter_of_a_word_piece_vocabulary_begins_and_goes_on_a_word():
    found = train("word_piece", texts=["Straße straße, 不好 ok!"] * 3)
    vocabulary = found.pieces.vocabulary
    assert vocabulary[: len(BERT_SPECIAL_TOKENS)] == BERT_SPECIAL_TOKENS
    assert {"ß", "##ß", "S", "##S", ",", "不", "!"} <= set(vocabulary)
    assert not {"##,", "##不", " "} & set(vocabulary)
    assert {"Straße", "straße", "ok"} <= set(vocabulary)
    (row,) = found.tokens(["Straße不 koß!"])
    assert found.decode(row) == "Straße 不 koß!"
    assert 1 not in row
    assert found.tokens(["ü"])[0].tolist() == [1]


@pytest.mark.parametrize(("lowercase", "strip_accents"), [(True, False), (True, True)])
def test_letters_are_counted_as_the_normalizer_writes_them(lowercase, strip_accents):
    texts = ["ÉTÉ été İ Ǆ 한 e\u0301"] * 2
    found = train("word_piece", texts=texts, lowercase=lowercase, strip_accents=strip_accents)
    letters = {each.removeprefix("##") for each in found.pieces.vocabulary[5:]}
    assert ("é" in letters) == (not strip_accents)
    assert not any(each.isupper() for each in letters)
    assert 1 not in found.tokens(texts)[0]


def test_rare_letters_are_left_out():
    texts = ["abc abc abd"] * 2 + ["☃"]
    vocabulary = train("word_piece", texts=texts, min_frequency=2).pieces.vocabulary
    assert "☃" not in vocabulary
    assert {"d", "##d", "abc"} <= set(vocabulary)
    assert "☃" in train("word_piece", texts=texts, min_frequency=1).pieces.vocabulary


def test_the_size_is_kept_and_fewer_pieces_are_no_error():
    for kind in ("byte_pair", "word_piece"):
        assert train(kind, size=320).size == 320
        assert train(kind, size=100_000).size < 3000
        assert train(kind, size=100_000, min_frequency=50).size < train(kind, 100_000).size


PROGRAM = """
import hashlib, sys
sys.path.insert(0, {here!r})
from test_training import train
for kind in ("byte_pair", "word_piece"):
    print(train(kind, min_frequency=1).fingerprint())
"""


def test_the_same_texts_give_the_same_vocabulary_whatever_the_threads():
    here = os.path.dirname(__file__)  # noqa: PTH120
    found = set()
    for threads in ("1", "2", "5"):
        environment = {**os.environ, "RAYON_NUM_THREADS": threads}
        words = [sys.executable, "-c", PROGRAM.format(here=here)]
        found.add(subprocess.check_output(words, env=environment, text=True))
    mine = [train(kind, min_frequency=1).fingerprint() for kind in ("byte_pair", "word_piece")]
    assert found == {"\n".join([*mine, ""])}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_writes_every_text_and_no_piece_looks_like_a_mark(pattern):
    mark = BYTE_SPECIAL_TOKENS[2]
    texts = [f"{mark} {mark}{mark}", *TEXTS[:20]] * 3
    found = train("byte_pair", texts=texts, size=700, pattern=pattern, min_frequency=1)
    told = [*TEXTS[20:24], f"{mark}不 \t\n 2025-11", "☃"]
    rows = found.tokens(told)
    assert [found.decode(each) for each in rows] == told
    assert not set(found.special_ids) & {int(each) for row in rows for each in row}


def test_the_patterns_of_the_config_are_those_that_there_are():
    assert set(key_infos(TokenizerConfig)["pattern"].choices) == set(PATTERNS)


def test_what_cannot_be_made_is_refused():
    with pytest.raises(ConfigError, match=r"size: received 20. Expected [0-9]+ or more"):
        train("word_piece", size=20)
    for kind in ("byte_pair", "word_piece"):
        for texts in ([], ["", " \n"]):
            with pytest.raises(DataError, match="no letter"):
                train(kind, texts=texts)


def test_an_error_of_the_texts_comes_through():
    def broken():
        yield "fine"
        raise DataError("the disk is gone")

    for kind in ("byte_pair", "word_piece"):
        with pytest.raises(DataError, match="the disk is gone"):
            training.train(VocabularySettings(kind, 400), broken)


@pytest.mark.parametrize("kind", ["byte_pair", "word_piece"])
def test_it_is_loaded_as_it_was_saved(kind, tmp_path):
    found = train(kind)
    found.save(tmp_path, {"data": "mine"})
    loaded = tokenizer.load(tmp_path)
    assert loaded.fingerprint() == found.fingerprint()
    assert loaded.pieces == found.pieces
    assert (loaded.start, loaded.end, loaded.mask) == (found.start, found.end, found.mask)
    assert loaded.special_ids == found.special_ids


def test_figures_are_counted():
    found = train("word_piece", texts=["grün gut"] * 3, size=100)
    figures = training.measure(found, iter(["grün gut", "gut ☃"]))
    assert (figures.characters, figures.bytes, figures.words) == (13, 16, 4)
    assert (figures.tokens, figures.unknown, figures.unknown_share) == (4, 1, 0.25)
    assert (figures.tokens_per_word, figures.bytes_per_token) == (1.0, 4.0)
    assert training.longest_pieces(found, 2) == ["grün", "gut"]
    bytes_of = train("byte_pair", texts=["grün gut"] * 3, size=270)
    figures = training.measure(bytes_of, iter(["☃"]))
    assert (figures.tokens, figures.unknown, figures.bytes_per_token) == (3, 0, 1.0)
    assert "grün" in training.longest_pieces(bytes_of)
    assert training.measure(found, iter([])).unknown_share == 0
