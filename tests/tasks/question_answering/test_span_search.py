"""The best part of a text, against trying all of them."""

import keras
import numpy as np
import pytest

from fmkit.core.errors import NonFiniteError
from fmkit.data.content.answer_spans import AnswerSpans
from fmkit.data.content.texts import Texts
from fmkit.data.examples import Examples
from fmkit.data.loaders.text_loader import Encoded, TextLoader, TokenRows
from fmkit.models.text.small import byte_tokenizer
from fmkit.models.tokenizers import word_alignment
from fmkit.tasks.question_answering import span_search
from fmkit.tasks.question_answering.rows import IN_TEXT

CONTEXT = "Köln lies on the Rhine, 5km off."


class Scored:
    """A network whose scores are known by the token's number."""

    def __init__(self, scores):
        self.scores = scores

    def predict(self, batches, verbose, callbacks=()):
        found = [self.scores[np.maximum(tokens, 0)] for tokens, _ in batches.as_numpy_iterator()]
        longest = max(each.shape[1] for each in found)
        wide = [np.pad(e, ((0, 0), (0, longest - e.shape[1]), (0, 0))) for e in found]
        return np.concatenate(wide)


def content(rows, origin, contexts):
    questions = tuple(f"q{each}" for each in range(len(contexts)))
    source = Examples(questions, np.zeros(len(contexts), np.int32), (),
                      Texts(questions, tuple(contexts)),
                      annotations=AnswerSpans(((),) * len(contexts)))  # fmt: skip
    encoded = Encoded(TokenRows(rows, np.array([len(each) for each in rows])),
                      np.array(origin), source)  # fmt: skip
    ids = tuple(map(str, range(len(rows))))
    examples = Examples(ids, np.zeros(len(rows), np.int32), (), encoded)
    loader = TextLoader(
        examples, examples.labels, tokenizer=byte_tokenizer("bert"), max_length=64, batch_size=3,
        prepare_batch=lambda rows, _: ((np.ascontiguousarray(rows[:, :, 0]),),
                                 np.ascontiguousarray(rows[:, :, 2])),
    )  # fmt: skip
    return encoded, loader


def row_of(first, words):
    """A null token, a question of one token, then a token each with its word."""
    words = np.asarray(words, int)
    row = np.full((len(words) + 2, 5), -1, np.int32)
    row[:, 0] = np.arange(first, first + len(row))
    row[2:, 1], row[2:, 2] = words, IN_TEXT
    row[2:, 3:] = np.reshape(word_alignment.split_words(CONTEXT), (-1, 2))[words]
    row[0, 2] = 3  # the right one is none
    return row


def by_trying(rows, scores, most_words):
    best, null = (-np.inf, None), np.inf
    for row in rows:
        null = min(null, scores[row[0, 0]].sum())
        for i in range(2, len(row)):
            for j in range(i, len(row)):
                if row[j, 1] - row[i, 1] < most_words:
                    value = scores[row[i, 0], 0] + scores[row[j, 0], 1]
                    best = max(best, (value, (int(row[i, 1]), int(row[j, 1]))))
    return best, null


@pytest.mark.parametrize("most_words", [1, 2, 5, 100])
def test_the_best_span_of_all_windows_is_found(most_words):
    random = np.random.default_rng(most_words)
    spans = word_alignment.split_words(CONTEXT)
    count = len(spans)
    windows = [np.sort(random.integers(0, count, random.integers(1, 20))) for _ in range(7)]
    origin = [0, 0, 1, 2, 2, 2, 3]
    rows, start = [], 0
    for each in windows:
        rows.append(row_of(start, each))
        start += len(each) + 2
    scores = random.normal(size=(start, 2))
    encoded, loader = content(rows, origin, [CONTEXT] * 4)
    found = span_search.find_answers(Scored(scores), loader, encoded, np.arange(7), most_words)
    np.testing.assert_array_equal(found.positions, range(4))
    for place in range(4):
        own = [rows[each] for each in range(7) if origin[each] == place]
        (value, (first, last)), null = by_trying(own, scores, most_words)
        assert found.scores[place] == pytest.approx(value)
        assert found.no_answer_scores[place] == pytest.approx(null)
        begin, end = spans[first][0], spans[last][1]
        assert found.texts[place] == CONTEXT[begin:end]
        assert found.spans[place].tolist() == [begin, end]


def test_probabilities_and_losses_are_those_of_a_softmax_over_the_places():
    random = np.random.default_rng(0)
    row = row_of(0, [0, 0, 1, 2])
    scores = random.normal(size=(6, 2))
    encoded, loader = content([row], [0], [CONTEXT])
    found = span_search.find_answers(Scored(scores), loader, encoded, np.arange(1), 100)
    open_scores = scores[[0, 2, 3, 4, 5]]  # the question is no place for an answer
    chances = np.exp(open_scores) / np.exp(open_scores).sum(axis=0)
    pairs = {(i, j): chances[i, 0] * chances[j, 1] for i in range(1, 5) for j in range(i, 5)}
    assert found.confidence[0] == pytest.approx(max(pairs.values()))
    assert found.no_answer_confidence[0] == pytest.approx(chances[0].prod())
    assert found.losses[0] == pytest.approx(-np.log(chances[0]).mean())


def test_a_text_without_tokens_has_no_answer():
    encoded, loader = content([row_of(0, [])], [0], ["\u200b"])
    found = span_search.find_answers(Scored(np.zeros((2, 2))), loader, encoded, np.arange(1), 5)
    assert found.texts == [""]
    assert found.null_scores[0] > 1000


def test_scores_that_are_not_finite_are_told():
    encoded, loader = content([row_of(0, [0])], [0], [CONTEXT])
    with pytest.raises(NonFiniteError, match="1 of 1 windows"):
        span_search.find_answers(Scored(np.full((3, 2), np.nan)), loader, encoded, np.arange(1), 5)


def test_one_network_scores_batches_of_all_lengths():
    tokens = keras.Input((None,), dtype="int32")
    learner = keras.Model(tokens, keras.layers.Embedding(100, 2)(tokens))
    rows = [row_of(0, [0] * each) for each in (3, 30, 5, 1)]
    encoded, loader = content(rows, range(4), [CONTEXT] * 4)
    found = span_search.build_scorer(learner, encoded).predict(loader.ordered(range(4)), verbose=0)
    assert found.shape == (4, 64, 2)
    for row, scores in zip(rows, found, strict=True):
        wanted = learner.predict_on_batch(row[None, :, 0])[0]
        np.testing.assert_allclose(scores[: len(row)], wanted, atol=1e-6)
