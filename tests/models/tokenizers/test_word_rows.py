"""Every word of a sentence has its place in one row, and what is around it beside it."""

import numpy as np
import pytest

from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ConfigError
from fmkit.models import registry as model_registry
from fmkit.models.tokenizers import word_rows


@pytest.fixture(scope="module", params=["small_bert", "small_gpt"])
def tokenizer(request):
    return model_registry.build(ModelConfig(name=request.param, weights="none")).tokenizer


def sentences(count=60):
    drawn = np.random.default_rng(0)
    letters = list("abcdefg")
    return [
        ["".join(drawn.choice(letters, drawn.integers(1, 9))) for _ in range(drawn.integers(0, 30))]
        for _ in range(count)
    ]


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("longest", [3, 10, 17, 400])
def test_each_word_belongs_to_one_row_and_a_token_of_its_own_tells_it(
    tokenizer, longest, is_causal
):
    found = sentences()
    made = word_rows.build_rows(tokenizer, found, longest, is_causal)
    assert max(map(len, made.tokens)) <= longest
    assert (np.diff(made.origin) >= 0).all()
    assert set(made.origin.tolist()) == set(range(len(found)))
    seen, marks = (
        [[] for _ in found],
        len(tokenizer.special_tokens[0]) + len(tokenizer.special_tokens[2]),
    )
    for tokens, words, origin in zip(made.tokens, made.words, made.origin, strict=True):
        for token, word in zip(tokens, words, strict=True):
            if word >= 0:
                seen[origin].append(int(word))
                text = found[origin][word] if word == 0 else f" {found[origin][word]}"
                (whole,) = tokenizer.tokens([text])
                assert token == (whole[: longest - marks][-1] if is_causal else whole[0])
    assert seen == [list(range(len(each))) for each in found]


def test_a_short_sentence_is_one_row_as_the_tokenizer_encodes_it(tokenizer):
    words = ["one", "two", "x", "three"]
    made = word_rows.build_rows(tokenizer, [words], 64)
    (expected,), uncut = tokenizer.encode([" ".join(words)], None, 64)
    np.testing.assert_array_equal(made.tokens[0], expected)
    assert made.uncut.tolist() == uncut.tolist()


def test_words_of_a_row_that_goes_on_have_words_around_them():
    tokenizer = model_registry.build(ModelConfig(name="small_bert", weights="none")).tokenizer
    assert len(tokenizer.tokens([" a"])[0]) == 2

    def owned(is_causal):  # 16 tokens and two marks: 8 words, of which 2 are read twice
        made = word_rows.build_rows(tokenizer, [["a"] * 20], 18, is_causal)
        return [each[each >= 0].tolist() for each in made.words]

    assert owned(False) == [[*range(7)], [*range(7, 13)], [*range(13, 20)]]
    assert owned(True) == [[*range(8)], [*range(8, 14)], [*range(14, 20)]]


def test_a_word_longer_than_a_row_is_cut_and_counted(tokenizer):
    made = word_rows.build_rows(tokenizer, [["a", "xyz" * 100, "b"]], 12)
    owned = [each[each >= 0].tolist() for each in made.words]
    assert sorted(each for row in owned for each in row) == [0, 1, 2]
    assert max(map(len, made.tokens)) == 12
    assert made.uncut.max() > 12


def test_words_without_tokens_and_sentences_without_words(tokenizer):
    made = word_rows.build_rows(tokenizer, [["\u0007", "a", "\u200b\u0007"], []], 16)
    (spaced,) = tokenizer.tokens([" \u0007"])
    rows = [each[each >= 0].tolist() for each in made.words]
    assert 1 in rows[0]
    assert rows[1] == []
    if not len(spaced):  # WordPiece drops control characters
        assert rows[0] == [1]


def test_marks_that_leave_no_room_are_refused(tokenizer):
    marks = len(tokenizer.special_tokens[0]) + len(tokenizer.special_tokens[2])
    if marks:
        with pytest.raises(ConfigError, match=f"{marks + 1} tokens or more"):
            word_rows.build_rows(tokenizer, [["a"]], marks)
