"""Rows of questions and texts, their targets, and the loss of them."""

import io
import itertools
import unicodedata

import keras
import numpy as np
import pytest
import sentencepiece

from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import QuestionAnsweringConfig
from fmkit.core.errors import ConfigError, DataError
from fmkit.core.types import DataSpec
from fmkit.data.content.answer_spans import AnswerSpans
from fmkit.data.content.texts import Texts
from fmkit.data.examples import Examples
from fmkit.models import registry as model_registry
from fmkit.models.text.small import byte_tokenizer
from fmkit.models.tokenizers import word_alignment
from fmkit.models.tokenizers.subword import (
    BytePairModel,
    SentencePieceModel,
    WordPieceModel,
    byte_alphabet,
)
from fmkit.models.tokenizers.tokenizer import TextTokenizer
from fmkit.tasks.question_answering import span_search
from fmkit.tasks.question_answering.task import QuestionAnswering

SPEC = DataSpec("text", (), {}, annotations="spans")
CONTEXT = "Dr. O'Neil-Smith paid $5.50 (net)\nin Köln; twice, on 2024-01-31!"


def built(name="small_bert", **keys):
    config = ModelConfig(name=name, weights="none", dropout=0.0)
    backbone, task = (
        model_registry.build(config),
        QuestionAnswering(QuestionAnsweringConfig(**keys), SPEC),
    )
    return backbone, task, task.head(backbone, config)


def examples(*rows):
    """Rows (question, context, spans)."""
    questions, contexts, spans = zip(*rows, strict=True)
    return Examples(tuple(map(str, range(len(rows)))), np.zeros(len(rows), np.int32), (),
                    Texts(questions, contexts), annotations=AnswerSpans(spans))  # fmt: skip


def span(text, within=CONTEXT):
    begin = within.index(text)
    return begin, begin + len(text)


def marked_text(row, context):
    """What stands between the marks of a row, or None where that is no answer."""
    marks, words = row[:, 2], row[:, 1]
    (first,), (last,) = np.flatnonzero(np.isin(marks, (1, 3))), np.flatnonzero(marks >= 2)
    if words[first] < 0:
        assert first == last
        return None
    spans = word_alignment.split_words(context)
    return context[spans[words[first]][0] : spans[words[last]][1]]


@pytest.mark.parametrize("name", ["small_bert", "small_gpt"])
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("Köln", "Köln"),
        ("$5.50", "$5.50"),
        ("5.50", "5.50"),
        ("5", "5"),
        ("Smith", "Smith"),
        ("Neil-Sm", "Neil-Smith"),  # what begins or ends inside a word has the whole word
        ("öl", "Köln"),
        ("(net)\nin", "(net)\nin"),
        ("Dr", "Dr"),
        ("!", "!"),
        (CONTEXT, CONTEXT),
    ],
)
def test_the_fewest_words_that_hold_an_answer_are_marked(name, answer, words):
    backbone, task, _ = built(name)
    asked = examples(("Who?", CONTEXT, (span(answer),)))
    rows, origin, _ = task.encode_rows(asked, backbone.tokenizer, 512)
    assert origin.tolist() == [0]
    assert marked_text(rows[0], CONTEXT) == words


def test_a_row_has_the_tokens_of_the_pair():
    backbone, task, _ = built()
    tokenizer = backbone.tokenizer
    rows, _, uncut = task.encode_rows(examples(("Who paid?", CONTEXT, ())), tokenizer, 512)
    (whole,), _ = tokenizer.encode(["Who paid?"], [CONTEXT.replace("\n", " ")], 512)
    np.testing.assert_array_equal(rows[0][:, 0], whole)
    assert uncut.tolist() == [len(whole)]
    places = rows[0][:, 2] >= 0
    ahead = len("Who paid?") + 2
    assert np.flatnonzero(places).tolist() == [0, *range(ahead, len(whole) - 1)]
    assert rows[0][0].tolist() == [tokenizer.start, -1, 3, -1, -1]


def test_no_answer_is_where_a_causal_model_has_seen_all():
    backbone, task, _ = built("small_gpt")
    rows, _, _ = task.encode_rows(examples(("Who?", CONTEXT, ())), backbone.tokenizer, 512)
    assert rows[0][-1].tolist() == [backbone.tokenizer.end, -1, 3, -1, -1]
    assert rows[0][0, 2] == -1


def test_long_texts_are_read_in_windows_that_overlap():
    backbone, task, _ = built(stride=20)
    asked = examples(
        ("one?", CONTEXT, (span("Köln"),)), ("two?", "short", (span("short", "short"),))
    )
    rows, origin, _ = task.encode_rows(asked, backbone.tokenizer, 39)
    room = 39 - len("one?") - 3
    count = len(b"short")
    total = len(CONTEXT.replace("\n", " ").encode())
    assert origin.tolist() == [0] * len(origin[:-1]) + [1]
    assert len(origin) - 1 == 1 + -(-(total - room) // 20)
    assert all(len(each) <= 39 for each in rows)
    shown = [each[each[:, 1] >= 0] for each in rows[:-1]]
    assert all(len(each) == room for each in shown[:-1])
    for one, other in itertools.pairwise(shown):
        np.testing.assert_array_equal(one[20:, :2], other[: room - 20, :2])
    told = [marked_text(each, CONTEXT) for each in rows[:-1]]
    number = [CONTEXT[begin:end] for begin, end in word_alignment.split_words(CONTEXT)].index(
        "Köln"
    )
    whole = sum(each[:, 1].tolist().count(number) == len(" Köln".encode()) for each in shown)
    assert told.count("Köln") == whole > 0
    assert set(told) == {"Köln", None}
    assert (rows[-1][:, 1] >= 0).sum() == count


def test_questions_are_cut_and_counted():
    backbone, task, _ = built(max_question=5)
    rows, _, uncut = task.encode_rows(
        examples(("a long question", "text", ())), backbone.tokenizer, 64
    )
    assert len(rows[0]) == 5 + len("text") + 3
    assert uncut[0] == len("a long question") + len("text") + 3


def test_a_row_without_room_for_a_text_is_refused():
    backbone, task, _ = built(max_question=64)
    with pytest.raises(ConfigError, match="Expected 13 tokens or more"):
        task.encode_rows(examples(("question?", CONTEXT, ())), backbone.tokenizer, 12)


def test_texts_by_themselves_are_refused():
    backbone, task, _ = built()
    alone = Examples(("0",), np.zeros(1, np.int32), (), Texts(("a",)))
    with pytest.raises(DataError, match="each question needs a text"):
        task.encode_rows(alone, backbone.tokenizer, 64)


def test_data_without_answers_are_refused():
    with pytest.raises(ConfigError, match="the data has none"):
        QuestionAnswering(QuestionAnsweringConfig(), DataSpec("text", ("a", "b"), {}))
    with pytest.raises(ConfigError, match="examples is 0"):
        QuestionAnswering(QuestionAnsweringConfig(monitor="val_f1", watch_examples=0), SPEC)


def test_the_loss_is_the_mean_cross_entropy_of_both_ends():
    _, task, _ = built()
    marks = np.array([[0, -1, 1, 0, 2, -1], [3, -1, 0, 0, -1, -1], [0, 0, 0, 3, -1, -1]], np.int32)
    scores = np.random.default_rng(0).normal(size=(3, 6, 2)).astype(np.float32)
    wanted = []
    for row, (start, end) in zip(range(3), [(2, 4), (0, 0), (3, 3)], strict=True):
        for side, place in enumerate((start, end)):
            inside = marks[row] >= 0
            chances = np.exp(scores[row, :, side]) * inside
            wanted.append(-np.log(chances[place] / chances.sum()))
    found = keras.ops.convert_to_numpy(task.loss(marks, scores, None, True))
    assert found == pytest.approx(np.mean(wanted), rel=1e-5)


def test_accuracy_asks_for_both_ends_and_looks_at_no_question():
    _, task, _ = built()
    (accuracy,) = task.metrics()
    marks = np.array([[0, -1, 1, 2], [0, -1, 1, 2], [0, -1, 3, 0], [3, -1, 0, 0]], np.int32)
    scores = np.zeros((4, 4, 2), np.float32)
    scores[:, 1] = 9.0  # the question
    scores[0, 2, 0] = scores[0, 3, 1] = 1.0  # right
    scores[1, 2, 0] = scores[1, 0, 1] = 1.0  # the end is wrong
    scores[2, 2] = 1.0  # right
    scores[3, 2] = 1.0  # wrong
    accuracy.update_state(marks, scores)
    assert float(accuracy.result()) == 0.5


def test_scores_do_not_depend_on_how_far_a_row_is_filled_up():
    backbone, task, output = built()
    model = keras.Model(backbone.model.input, task.inference(output))
    model.get_layer("logits").set_weights(
        [np.random.default_rng(0).normal(size=(64, 2)), np.zeros(2)]
    )
    rows, _, _ = task.encode_rows(examples(("Who?", CONTEXT, ())), backbone.tokenizer, 512)
    row = rows[0][None, :, 0]
    padded = np.pad(row, ((0, 0), (0, 7)), constant_values=-1)
    one, other = (np.asarray(model.predict_on_batch(each)) for each in (row, padded))
    np.testing.assert_allclose(one, other[:, : row.shape[1]], atol=1e-5)
    assert one.shape == (1, row.shape[1], 2)


PARTS = (
    ("서울 인천에서 만났다", "인천"),  # a particle follows
    ("ไปกรุงเทพมหานคร", "กรุงเทพ"),  # Thai has no spaces
    ("いまとうきょうへいく", "とうきょう"),
    ("in the 1990s, twice", "1990"),
)


def word_piece(*pieces):
    """A vocabulary of text without accents, as BERT strips them: Korean is written in its letters,
    and Thai without its vowel signs."""
    marks = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    apart = (unicodedata.normalize("NFD", piece) for piece in pieces)
    bare = ("".join(c for c in piece if unicodedata.category(c) != "Mn") for piece in apart)
    return TextTokenizer(WordPieceModel((*marks, *bare)), "bert", 2, 3, 4, special_ids=[0])


def byte_pairs():
    merges = ("1 9", "9 0", "19 90", *(f"{a} {b}" for a, b in (("ì", "Ŀ"), ("ìĿ", "¸"))))
    letters = byte_alphabet()
    pieces = (*letters, *(merge.replace(" ", "") for merge in merges), "<s>", "</s>")
    return TextTokenizer(BytePairModel(pieces, merges), "roberta", len(pieces) - 2, len(pieces) - 1)


def sentence_piece():
    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([text for text, _ in PARTS] * 9), model_writer=file, vocab_size=60,
        hard_vocab_limit=False, character_coverage=1.0, minloglevel=2,
    )  # fmt: skip
    return TextTokenizer(SentencePieceModel(file.getvalue()), "bert", 1, 2)


TOKENIZERS = {
    "bytes": lambda: byte_tokenizer("bert"),
    "byte pairs": byte_pairs,
    "word pieces": lambda: word_piece(
        "서울", "인천", "##에서", "만났다", "ไป", "##กรุงเทพ", "##มหานคร",
        "いま", "##とうきょう", "##へいく", "in", "the", "1990", "##s", ",", "twice",
    ),
    "sentence pieces": sentence_piece,
}  # fmt: skip


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize(("text", "answer"), PARTS)
def test_an_answer_that_is_a_part_of_a_word_can_be_learned_and_given(name, text, answer):
    tokenizer, (_, task, _) = TOKENIZERS[name](), built()
    asked = examples(("Q", text, (span(answer, text),)))
    rows, _, _ = task.encode_rows(asked, tokenizer, 128)
    assert not len(task.unreachable)
    assert task.row_findings == ()
    marks = rows[0][:, 2]
    # A network that has learned the marks by heart.
    scores = np.stack([np.isin(marks, (1, 3)), marks >= 2], axis=1) * 9.0
    begin, end, *_ = span_search._best_of_window(rows[0], scores, 30)
    assert text[begin:end] == answer


def test_answers_that_no_prediction_can_hit_are_counted():
    tokenizer = word_piece("the", "1990s", "1990", "##s", "were", "good", ",", "2020", "a", "b")
    _, task, _ = built(max_answer=2)
    text, long = "the 1990s were good , 2020", "a b a"
    asked = examples(
        ("good", text, (span("1990", text),)),  # "1990s" is one token
        ("good", text, (span("the 1990s", text),)),
        ("good", text, (span("1990", text), span("2020", text))),  # one of two is enough
        ("good", text, (span("s wer", text),)),
        ("good", long, (span("a b a", long),)),  # more words than task.max_answer
        ("good", text, ()),
        ("good", long, (span("a b", long),)),
    )
    task.encode_rows(asked, tokenizer, 64)
    assert task.unreachable.tolist() == [0, 3, 4]
    (line,) = task.row_findings
    assert line.startswith("3 of 6 questions with an answer cannot be answered exactly")
    assert "'1990' of 0" in line
    task.encode_rows(asked, tokenizer, 6)  # two tokens of a text beside a question
    assert task.unreachable.tolist() == [0, 3, 4]
    task.encode_rows(asked, tokenizer, 5)  # one
    assert task.unreachable.tolist() == [0, 1, 3, 4, 6]
