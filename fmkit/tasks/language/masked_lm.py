"""Masked language modelling: predict hidden tokens from those around them.

BERT, Devlin et al. 2018, arXiv:1810.04805.

B batch, T tokens of a row, P predicted positions of a row, D features, V tokens of the vocabulary.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ConfigError
from fmkit.core.types import Tokenizer
from fmkit.models.backbone import Backbone
from fmkit.tasks.base import Batch
from fmkit.tasks.language import token_losses
from fmkit.tasks.language.token_losses import UNUSED, TokenTask

_HIDDEN, _REPLACED = 0.8, 0.1
"""Shares of the predicted tokens that become the mask, and a random token; BERT's."""


class MaskedLm(TokenTask):
    """Hidden tokens are predicted.

    Inputs are tokens (B, T) and positions (B, P); targets are the tokens there, (B, P), -1 where a
    row has fewer; outputs are logits at those positions alone, (B, P, V).
    """

    name = "masked_lm"
    input_format = "packed"
    _masking: TokenMasking | None = None

    def prepare_batch(self, tokens: np.ndarray, random: np.random.Generator) -> Batch:
        """Hide tokens of a batch: ((tokens, positions), targets)."""
        if self._masking is None:
            raise RuntimeError("call `head` first: it knows the tokenizer")
        return self._masking.mask(tokens, random)

    def head(self, backbone: Backbone, config: ModelConfig) -> Any:
        """A dense layer, GELU and a norm at each position, then logits by the token embedding.

        Raises:
            ConfigError: the backbone is causal, or its tokenizer has no mask token.
        """
        token_losses.require_text(self.config.name, backbone, is_causal=False)
        tokenizer = backbone.tokenizer
        if tokenizer is None or tokenizer.mask is None:
            raise ConfigError(
                f"task.name=masked_lm: the tokenizer of model.name={backbone.name} has no mask "
                "token.",
                "Take a model that has one, such as model=small_bert or model=minilm.",
            )
        self._masking = TokenMasking(tokenizer, self.config.mask_rate, self.config.whole_words)
        positions = keras.Input((None,), dtype="int32", name="places")
        self.extra_inputs = (positions,)
        features = backbone.model.output
        dense = keras.layers.Dense(features.shape[-1], activation="gelu", name="head_dense")
        norm = keras.layers.LayerNormalization(epsilon=1e-6, name="head_norm")
        to_logits = token_losses.output_layer(backbone, has_bias=True)
        gathered = token_losses.gather_features(features, backbone.model.input, positions)
        self._all_logits = lambda: to_logits(norm(dense(features)), "scores")
        return to_logits(norm(dense(gathered)), "logits")

    def inference(self, outputs: Any) -> Any:
        """Logits at every position, (B, T, V) float32, such as those that fill in a mask."""
        return self._all_logits()


class TokenMasking:
    """Which tokens are predicted, and how they are hidden.

    80% of them become the mask, 10% a random token, and 10% stay, so that a token that is shown
    need not be right. Special tokens and padding are never among them.

    Args:
        tokenizer: of the model.
        rate: the share of a row's tokens, at least one of each row that has any.
        whole_words: words are chosen whole, as far as their share allows.
    """

    def __init__(self, tokenizer: Tokenizer, rate: float, whole_words: bool) -> None:
        if tokenizer.mask is None:
            raise ValueError("a tokenizer without a mask")
        self._mask, self._rate = tokenizer.mask, rate
        # Padding is -1, which indexes the last element.
        special = np.isin(np.arange(tokenizer.size + 1), [*tokenizer.special_ids, tokenizer.size])
        self._special = special
        self._replacements = np.flatnonzero(~special)
        self._continues = np.append(tokenizer.is_continuation(), False) if whole_words else None

    def mask(self, tokens: np.ndarray, random: np.random.Generator) -> Batch:
        """Tokens (B, T) -> ((tokens (B, T), positions (B, P)), targets (B, P)), all int32.

        P depends on T alone. Positions without a target are 0.
        """
        count, longest = tokens.shape
        width = max(1, round(self._rate * longest))
        positions = np.zeros((count, width), np.int32)
        targets = np.full((count, width), UNUSED, np.int32)
        masked = tokens.copy()
        candidates = ~self._special[tokens]  # (B, T)
        for row in range(count):
            chosen = self._choose(tokens[row], np.flatnonzero(candidates[row]), random)
            positions[row, : len(chosen)] = chosen
            targets[row, : len(chosen)] = tokens[row, chosen]
            draw = random.random(len(chosen))
            number = random.integers(0, len(self._replacements), len(chosen))
            replacements = self._replacements[number]
            values = np.where(draw < _HIDDEN, self._mask, tokens[row, chosen])
            is_replaced = (draw >= _HIDDEN) & (draw < _HIDDEN + _REPLACED)
            masked[row, chosen] = np.where(is_replaced, replacements, values)
        return (masked, positions), targets

    def _choose(
        self, row: np.ndarray, candidates: np.ndarray, random: np.random.Generator
    ) -> np.ndarray:
        """The positions of a row that are predicted, ascending."""
        if not len(candidates):
            return candidates
        count = max(1, round(self._rate * len(candidates)))
        if self._continues is None:
            return np.sort(random.choice(candidates, count, replace=False))
        continues = self._continues[row[candidates]]
        continues &= np.diff(candidates, prepend=-2) == 1  # a special token ends a word
        continues[0] = False
        words = np.split(candidates, np.flatnonzero(~continues)[1:])
        chosen: list[int] = []
        for word in random.permutation(len(words)):
            if len(chosen) + len(words[word]) <= count:
                chosen += words[word].tolist()
        if not chosen:  # every word is longer
            chosen = words[random.integers(len(words))][:count].tolist()
        return np.sort(np.array(chosen))
