"""Attributions of words: those of a model whose attributions are known, and what they add up to."""

import keras
import numpy as np
import pytest
from keras import ops

from fmkit.config.schema.model import ModelConfig
from fmkit.data.loaders.text_loader import pad
from fmkit.explain.text_network import TextNetwork
from fmkit.explain.text_words import find_words
from fmkit.explain.word_attributions import (
    TOLERANCE,
    embedding_problem,
    integrated_gradients,
    occlusion,
)
from fmkit.models import heads
from fmkit.models.text.small import byte_tokenizer, small_bert, small_gpt

TEXT = "an unbelievably good film, and I liked it"


@pytest.fixture(scope="module")
def bag():
    """Sums of two numbers of each token that is not padding: a linear bag of words."""
    tokenizer = byte_tokenizer("bert")
    tokens = keras.Input((None,), dtype="int32")
    embedding = keras.layers.Embedding(tokenizer.size, 2)
    vectors = embedding(ops.maximum(tokens, 0))
    mask = ops.cast(ops.expand_dims(tokens >= 0, -1), "float32")
    model = keras.Model(tokens, ops.sum(vectors * mask, axis=1))
    table = np.random.default_rng(0).normal(size=(tokenizer.size, 2)).astype(np.float32)
    embedding.embeddings.assign(table)
    return TextNetwork(model, tokenizer, 64), table


def score(target):
    return lambda outputs: ops.convert_to_tensor(outputs)[:, target]


def test_a_linear_model_is_explained_by_its_weights(bag):
    network, table = bag
    words = find_words([TEXT])
    tokens, owners = network.tokens(words)
    made = integrated_gradients(network.model, tokens, owners, len(words), score(1))
    expected = [table[tokens[owners == k], 1].sum() for k in range(len(words))]
    np.testing.assert_allclose(made.scores, expected, atol=1e-4)
    assert made.total == pytest.approx(sum(expected), abs=1e-4)
    assert made.error < 1e-4


def test_leaving_words_out_is_what_a_loop_over_the_texts_gives(bag):
    network, _ = bag
    names = ["an", "unbelievably", "good", "film", "and", "I", "liked", "it"]
    words = find_words([" ".join(names)])
    made = occlusion(words, network.read(words), network.outputs, score(0))

    def value(text):
        rows, _ = network.tokenizer.encode([text], None, 64)
        return float(ops.convert_to_numpy(network.model(pad(rows, 64)))[0, 0])

    for k in range(len(names)):
        rest = " ".join(names[:k] + names[k + 1 :])
        assert made.scores[k] == pytest.approx(value(" ".join(names)) - value(rest), abs=1e-4)


def test_words_that_are_not_read_have_no_score(bag):
    network, _ = bag
    short = TextNetwork(network.model, network.tokenizer, 12)
    words = find_words([TEXT])
    tokens, owners = short.tokens(words)
    assert short.read(words).tolist() == [True, True] + [False] * 7
    for made in (
        integrated_gradients(short.model, tokens, owners, len(words), score(0)),
        occlusion(words, short.read(words), short.outputs, score(0)),
    ):
        assert made.scores[:2].all()
        assert not made.scores[2:].any()


@pytest.mark.slow
@pytest.mark.parametrize("make", [small_bert, small_gpt], ids=["bert", "gpt"])
def test_attributions_of_transformers_add_up_to_the_change_of_the_score(make):
    keras.utils.set_random_seed(3)
    config = ModelConfig(name=make.__name__, weights="none")
    backbone = make(config)
    outputs = heads.classification_head(backbone, 3, config)
    model = keras.Model(backbone.model.input, outputs)
    kernel = np.random.default_rng(1).normal(size=(64, 3))
    model.get_layer("logits").kernel.assign(kernel)
    network = TextNetwork(model, backbone.tokenizer, backbone.max_length)
    words = find_words(["a good film"])
    tokens, owners = network.tokens(words)
    made = integrated_gradients(model, tokens, owners, len(words), score(2))
    assert made.error <= TOLERANCE
    assert abs(made.total) > 0.1
    after = network.outputs([words.texts])[0, 2]
    # The path ends at the text itself: its start is the score without any word's vector.
    assert after - made.total == pytest.approx(start_of(model, tokens, owners), abs=1e-3)


def start_of(model, tokens, owners):
    """The score of a text whose words have zero vectors, by a table in which they do."""
    embedding = max(
        (layer for layer in model.layers if isinstance(layer, keras.layers.Embedding)),
        key=lambda layer: layer.input_dim,
    )
    table = np.asarray(embedding.embeddings)
    changed = table.copy()
    changed[np.unique(tokens[owners >= 0])] = 0.0
    embedding.embeddings.assign(changed)
    value = ops.convert_to_numpy(model(tokens[None], training=False))[0, 2]
    embedding.embeddings.assign(table)
    return float(value)


def test_a_model_without_an_embedding_of_tokens_is_named():
    tokens = keras.Input((None,), dtype="int32")
    outputs = keras.layers.Dense(2)(ops.cast(ops.expand_dims(tokens[:, 0], -1), "float32"))
    assert "no keras.layers.Embedding" in embedding_problem(keras.Model(tokens, outputs))
