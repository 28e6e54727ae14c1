"""Causal language modelling: predict each token from those before it.

GPT, Radford et al. 2018, Improving Language Understanding by Generative Pre-Training.

B batch, T tokens of a row, D features, V tokens of the vocabulary.
"""

from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from fmkit.config.schema.model import ModelConfig
from fmkit.models.backbone import PADDING, Backbone
from fmkit.tasks.base import Batch
from fmkit.tasks.language import token_losses
from fmkit.tasks.language.token_losses import UNUSED, TokenTask


class CausalLm(TokenTask):
    """Each token of a row but the first is predicted from those before it.

    Targets (B, T) are the next tokens, -1 where there is none; outputs are logits (B, T, V).
    """

    name = "causal_lm"
    input_format = "packed"

    def prepare_batch(self, tokens: np.ndarray, random: np.random.Generator) -> Batch:
        """Tokens (B, T) -> ((tokens,), the next tokens, (B, T) int32)."""
        targets = np.full_like(tokens, UNUSED)
        targets[:, :-1] = np.where(tokens[:, 1:] == PADDING, UNUSED, tokens[:, 1:])
        return (tokens,), targets

    def head(self, backbone: Backbone, config: ModelConfig) -> Any:
        """Logits by the token embedding: there is nothing else in the head.

        Raises:
            ConfigError: the backbone is not causal.
        """
        token_losses.require_text(self.config.name, backbone, is_causal=True)
        to_logits = token_losses.output_layer(backbone, has_bias=False)
        self.next_token_model = partial(next_token_model, backbone, to_logits)
        return to_logits(backbone.model.output, "logits")


def next_token_model(backbone: Backbone, to_logits: token_losses.OutputLayer) -> keras.Model:
    """From tokens (B, T) and a position in each row, (B, 1), to logits of the token after that
    position, (B, V).

    Args:
        backbone: of a causal model.
        to_logits: from its features to logits.
    """
    # Only one position: with 50,000 tokens the logits of all of them cost more than the rest.
    position = keras.Input((1,), dtype="int32", name="place")
    features = token_losses.gather_features(backbone.model.output, backbone.model.input, position)
    logits = ops.squeeze(to_logits(features, "next_logits"), axis=1)
    return keras.Model([backbone.model.input, position], logits, name="continuation")
