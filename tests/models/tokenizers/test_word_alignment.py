import io

import numpy as np
import pytest
import sentencepiece

from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ConfigError
from fmkit.models import registry as model_registry
from fmkit.models.tokenizers import training, word_alignment
from fmkit.models.tokenizers.subword import SentencePieceModel, WordPieceModel
from fmkit.models.tokenizers.tokenizer import TextTokenizer

TEXT = "Dr. O'Neil-Smith paid 3.5 euros (net) in\tKöln; twice, on 2024-01-31!"


@pytest.fixture(scope="module", params=["small_bert", "small_gpt"])
def tokenizer(request):
    return model_registry.build(ModelConfig(name=request.param, weights="none")).tokenizer


def test_words_have_the_tokens_of_the_whole_text(tokenizer):
    words = word_alignment.add_spaces(TEXT, word_alignment.split_words(TEXT))
    (found,) = word_alignment.tokenize_words(tokenizer, [words])
    (whole,) = tokenizer.tokens([TEXT.replace("\t", " ")])
    np.testing.assert_array_equal(found.tokens, whole)


def test_each_token_knows_its_word(tokenizer):
    words = word_alignment.add_spaces(TEXT, word_alignment.split_words(TEXT))
    (found,) = word_alignment.tokenize_words(tokenizer, [words])
    assert len(found.words) == len(found.tokens)
    for number, word in enumerate(words):
        (alone,) = tokenizer.tokens([word])
        np.testing.assert_array_equal(found.tokens[found.words == number], alone)


def test_spans_are_the_words_and_nothing_between_them_is_lost_but_space():
    spans = word_alignment.split_words(TEXT)
    kept = "".join(TEXT[begin:end] for begin, end in spans)
    assert kept == "".join(TEXT.split())


def test_a_text_without_words_has_no_tokens(tokenizer):
    (found,) = word_alignment.tokenize_words(tokenizer, [[]])
    assert found.tokens.shape == found.words.shape == (0,)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("一个字。", ["一", "个", "字", "。"]),
        ("用5km路", ["用", "5km", "路"]),
        ("cafe\u0301s!", ["cafe\u0301s", "!"]),  # an accent of its own
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("snake_case x\u0301", ["snake_case", "x\u0301"]),
        ("서울은 크다", ["서울은", "크다"]),
    ],
)
def test_words_of_other_scripts_are_whole(text, words):
    assert [text[begin:end] for begin, end in word_alignment.split_words(text)] == words


def test_wordpiece_has_the_tokens_of_the_whole_text_in_other_scripts():
    letters = [*"abcdefghijklmnopqrstuvwxyz一个字हिन्दी", "é"]
    pieces = WordPieceModel(
        ("[UNK]", *dict.fromkeys([*letters, *(f"##{each}" for each in letters)]))
    )
    tokenizer = TextTokenizer(pieces, "bert", None, None, special_ids=(0,))
    for text in ("cafe\u0301s 一个字 so", "हिन्दी", "a\u00adb", "caf\u00e9"):
        words = word_alignment.add_spaces(text, word_alignment.split_words(text))
        (found,) = word_alignment.tokenize_words(tokenizer, [words])
        (whole,) = pieces.tokens([text])
        np.testing.assert_array_equal(found.tokens, whole)


def test_words_that_are_glued_together_get_no_space_of_sentence_pieces():
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["don't say 1990-1995 (or 95), I do", "do I say so, or don't I?"]),
        model_writer=written, vocab_size=60, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    tokenizer = TextTokenizer(SentencePieceModel(written.getvalue()), "causal", 1, 2)
    for text in ("I don't say 1990-1995 (or 95), so", "(1995)", "so I do"):
        words = word_alignment.add_spaces(text, word_alignment.split_words(text))
        (found,) = word_alignment.tokenize_words(tokenizer, [words])
        assert tokenizer.decode(found.tokens) == text
        assert sorted(set(found.words)) == list(range(len(words)))
    (alone,) = word_alignment.tokenize_words(tokenizer, [["1995", "-", "don"]])
    assert tokenizer.decode(alone.tokens) == "1995-don"


@pytest.mark.parametrize("kind", ["word_piece", "byte_pair"])
def test_words_are_those_that_the_library_tells(kind):
    texts = [
        TEXT,
        "don't we'll",
        "cafe\u0301s 一个字",
        "a\x00b \x07 c",
        "🙂👍🏽 soft\u00adly",
        "",
        "x" * 150,
    ]
    made = training.train(training.VocabularySettings(kind, 400, 1), lambda: iter(texts))
    words = [word_alignment.add_spaces(each, word_alignment.split_words(each)) for each in texts]
    library = made.pieces.to_library()
    expected = library.encode_batch(words, is_pretokenized=True, add_special_tokens=False)
    for ours, theirs in zip(word_alignment.tokenize_words(made, words), expected, strict=True):
        assert ours.tokens.tolist() == theirs.ids
        assert ours.words.tolist() == theirs.word_ids


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
    made = word_alignment.build_rows(tokenizer, found, longest, is_causal)
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
    made = word_alignment.build_rows(tokenizer, [words], 64)
    (expected,), uncut = tokenizer.encode([" ".join(words)], None, 64)
    np.testing.assert_array_equal(made.tokens[0], expected)
    assert made.uncut.tolist() == uncut.tolist()


def test_words_of_a_row_that_goes_on_have_words_around_them():
    tokenizer = model_registry.build(ModelConfig(name="small_bert", weights="none")).tokenizer
    assert len(tokenizer.tokens([" a"])[0]) == 2

    def owned(is_causal):  # 16 tokens and two marks: 8 words, of which 2 are read twice
        made = word_alignment.build_rows(tokenizer, [["a"] * 20], 18, is_causal)
        return [each[each >= 0].tolist() for each in made.words]

    assert owned(False) == [[*range(7)], [*range(7, 13)], [*range(13, 20)]]
    assert owned(True) == [[*range(8)], [*range(8, 14)], [*range(14, 20)]]


def test_a_word_longer_than_a_row_is_cut_and_counted(tokenizer):
    made = word_alignment.build_rows(tokenizer, [["a", "xyz" * 100, "b"]], 12)
    owned = [each[each >= 0].tolist() for each in made.words]
    assert sorted(each for row in owned for each in row) == [0, 1, 2]
    assert max(map(len, made.tokens)) == 12
    assert made.uncut.max() > 12


def test_words_without_tokens_and_sentences_without_words(tokenizer):
    made = word_alignment.build_rows(tokenizer, [["\u0007", "a", "\u200b\u0007"], []], 16)
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
            word_alignment.build_rows(tokenizer, [["a"]], marks)
