"""The next token: targets, and the model that goes on with a text."""

import keras
import numpy as np

from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import CausalLmConfig
from fmkit.core.types import DataSpec
from fmkit.models.registry import build
from fmkit.tasks.language.causal_lm import CausalLm


def test_a_target_is_the_token_after_and_none_is_padding():
    task = CausalLm(CausalLmConfig(), DataSpec("text", (), {}))
    tokens = np.array([[5, 6, 7, 8], [5, 6, -1, -1]], np.int32)
    (shown,), targets = task.prepare_batch(tokens, np.random.default_rng(0))
    np.testing.assert_array_equal(shown, tokens)
    np.testing.assert_array_equal(targets, [[6, 7, 8, -1], [6, -1, -1, -1]])


def test_the_continuation_scores_as_the_trained_network_does():
    task = CausalLm(CausalLmConfig(), DataSpec("text", (), {}))
    config = ModelConfig("small_gpt", "none", max_length=16)
    backbone = build(config)
    whole = keras.Model(backbone.model.input, task.head(backbone, config))
    tokens = np.random.default_rng(0).integers(4, 260, (2, 16)).astype(np.int32)
    tokens[1, 9:] = -1
    logits = whole.predict(tokens, verbose=0)
    places = np.array([[15], [8]], np.int32)
    found = task.next_token_model().predict([tokens, places], verbose=0)
    np.testing.assert_allclose(found, logits[[0, 1], [15, 8]], rtol=1e-4, atol=1e-5)
    changed = tokens.copy()
    changed[0, 12:] = 9
    later = whole.predict(changed, verbose=0)
    np.testing.assert_allclose(later[0, :12], logits[0, :12], rtol=1e-4, atol=1e-5)
