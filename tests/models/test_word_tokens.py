import numpy as np
import pytest

from fmkit.config.schema import ModelConfig
from fmkit.models import table, word_tokens

TEXT = "Dr. O'Neil-Smith paid 3.5 euros (net) in\tKöln; twice, on 2024-01-31!"


@pytest.fixture(scope="module", params=["small_bert", "small_gpt"])
def tokenizer(request):
    return table.build(ModelConfig(name=request.param, weights="none")).tokenizer


def test_words_have_the_tokens_of_the_whole_text(tokenizer):
    words = word_tokens.spaced(TEXT, word_tokens.split(TEXT))
    (found,) = word_tokens.of_words(tokenizer, [words])
    (whole,) = tokenizer.tokens([TEXT.replace("\t", " ")])
    np.testing.assert_array_equal(found.tokens, whole)


def test_each_token_knows_its_word(tokenizer):
    words = word_tokens.spaced(TEXT, word_tokens.split(TEXT))
    (found,) = word_tokens.of_words(tokenizer, [words])
    assert len(found.words) == len(found.tokens)
    for number, word in enumerate(words):
        (alone,) = tokenizer.tokens([word])
        np.testing.assert_array_equal(found.tokens[found.words == number], alone)


def test_spans_are_the_words_and_nothing_between_them_is_lost_but_space():
    spans = word_tokens.split(TEXT)
    kept = "".join(TEXT[begin:end] for begin, end in spans)
    assert kept == "".join(TEXT.split())


def test_a_text_without_words_has_no_tokens(tokenizer):
    (found,) = word_tokens.of_words(tokenizer, [[]])
    assert found.tokens.shape == found.words.shape == (0,)
