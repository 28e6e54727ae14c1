"""Deletion and insertion over words: a bag of words whose weights are known, by a plain loop."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy.special import softmax

from fmkit.explain.answers import Answers
from fmkit.explain.deletion_insertion import STEPS
from fmkit.explain.randomised_weights import rank_correlations
from fmkit.explain.text_network import TextNetwork
from fmkit.explain.text_words import find_words
from fmkit.explain.word_checks import ScoredText, text_curves
from fmkit.models.text.small import byte_tokenizer

NAMES = ["b", "k", "q", "x", "zz", "c", "m", "yy"]
ANSWERS = Answers(None, "classes", ("first", "second"))


@pytest.fixture(scope="module")
def bag():
    """Two logits, the sums of two numbers of each token that is not padding."""
    tokenizer = byte_tokenizer("bert")
    tokens = keras.Input((None,), dtype="int32")
    embedding = keras.layers.Embedding(tokenizer.size, 2)
    mask = ops.cast(ops.expand_dims(tokens >= 0, -1), "float32")
    model = keras.Model(tokens, ops.sum(embedding(ops.maximum(tokens, 0)) * mask, axis=1))
    embedding.embeddings.assign(np.random.default_rng(4).normal(size=(tokenizer.size, 2)))
    return TextNetwork(model, tokenizer, 64)


def value(network, names, target):
    logits = network.outputs([(" ".join(names),)]).astype(np.float64)
    return softmax(logits, axis=1)[0, target]


def test_curves_are_those_of_a_loop_over_the_words(bag):
    words = find_words([" ".join(NAMES)])
    alone = [value(bag, [name], 1) for name in NAMES]
    text = ScoredText(words, np.ones(8, bool), 1, np.array(alone))
    curves = text_curves(bag, ANSWERS, text, np.random.default_rng(0))
    order = np.argsort(alone)[::-1]
    for kind, rows in curves.items():
        assert rows.shape[1] == STEPS + 1
        for step, count in enumerate(np.rint(np.linspace(0, 1, STEPS + 1) * 8).astype(int)):
            chosen = {*order[:count].tolist()}
            kept = [name for k, name in enumerate(NAMES) if (k in chosen) == (kind == "insertion")]
            assert rows[0, step] == pytest.approx(value(bag, kept, 1), abs=1e-5)
        assert len({*rows[:, 0].round(5)}) == 1
    assert curves["deletion"][0].mean() < curves["deletion"][1:].mean(axis=1).min()
    assert curves["insertion"][0].mean() > curves["insertion"][1:].mean(axis=1).max()


def test_words_that_are_not_read_are_in_no_text(bag):
    words = find_words([" ".join(NAMES)])
    is_read = np.arange(8) < 3
    text = ScoredText(words, is_read, 0, np.arange(8.0))
    curves = text_curves(bag, ANSWERS, text, np.random.default_rng(0))
    assert curves["deletion"][0, 0] == pytest.approx(value(bag, NAMES[:3], 0), abs=1e-5)
    assert curves["insertion"][0, -1] == pytest.approx(value(bag, NAMES[:3], 0), abs=1e-5)


def test_scores_of_texts_of_any_length_are_compared():
    first = [np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0]), np.array([4.0])]
    second = [np.array([3.0, 2.0, 1.0]), np.array([5.0, 9.0]), np.array([4.0])]
    assert rank_correlations(first, second).tolist() == [-1.0, 1.0, 0.0]
