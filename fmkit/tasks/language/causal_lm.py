"""Causal language modelling: the next token is found from those before it.

GPT, Radford et al. 2018, Improving Language Understanding by Generative Pre-Training.

B batch, T tokens of a row, D features, V tokens of the vocabulary.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import CausalLmConfig
from fmkit.core.types import DataSpec
from fmkit.models.backbone import PADDING, Backbone
from fmkit.tasks.base import Task
from fmkit.tasks.language import token_losses
from fmkit.tasks.language.token_losses import UNUSED


class CausalLm(Task):
    """Each token but the first of a row is to be found from those before it.

    Targets (B, T) are the tokens one place on, -1 where there is none; outputs are logits
    (B, T, V).

    Args:
        config: the task.
        spec: the data set; nothing of it is read.
    """

    name = "causal_lm"
    input_format = "packed"
    generates_text = True

    def __init__(self, config: CausalLmConfig, spec: DataSpec) -> None:
        self._config = config
        self._next_token_model: Any = None

    def prepare_batch(
        self, tokens: np.ndarray, random: np.random.Generator
    ) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """Tokens (B, T) -> ((tokens,), the tokens that follow, (B, T) int32)."""
        targets = np.full_like(tokens, UNUSED)
        targets[:, :-1] = np.where(tokens[:, 1:] == PADDING, UNUSED, tokens[:, 1:])
        return (tokens,), targets

    def head(self, backbone: Backbone, config: ModelConfig) -> Any:
        """Scores by the embedding of tokens, which is all that the head is.

        Raises:
            ConfigError: a token sees those after it.
        """
        token_losses.require_text(self._config, backbone, is_causal=True)
        scores = token_losses.scoring(backbone, has_bias=False)
        self._next_token_model = lambda: next_token_model(backbone, scores)
        return scores(backbone.model.output, "logits")

    def next_token_model(self) -> keras.Model:
        """From tokens (B, T) and a position in each row, (B, 1), to logits of the token after that
        position, (B, V)."""
        model: keras.Model = self._next_token_model()
        return model

    def loss(self, targets: Any, outputs: Any, weights: Any, training: bool) -> Any:
        """Mean cross-entropy of the tokens of a batch, in nats."""
        return token_losses.mean_loss(targets, outputs)

    def metrics(self) -> list[Any]:
        """Loss, accuracy and perplexity of all tokens."""
        return token_losses.metrics()


def next_token_model(backbone: Backbone, scores: token_losses.Scores) -> keras.Model:
    """From tokens (B, T) and a place in each row, (B, 1), to logits of the token after it, (B, V).

    Args:
        backbone: of a causal model.
        scores: from its vectors to logits.
    """
    # One place is scored: with 50,000 tokens the scores of all take longer than the rest.
    place = keras.Input((1,), dtype="int32", name="place")
    here = token_losses.gather_features(backbone.model.output, backbone.model.input, place)
    logits = ops.squeeze(scores(here, "next_logits"), axis=1)
    return keras.Model([backbone.model.input, place], logits, name="continuation")
