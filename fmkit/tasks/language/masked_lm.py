"""Masked language modelling: hidden tokens are found from those around them.

BERT, Devlin et al. 2018, arXiv:1810.04805.

B batch, T tokens of a row, P places of a row, D features, V tokens of the vocabulary.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import MaskedLmConfig
from fmkit.core.errors import ConfigError
from fmkit.core.types import DataSpec, Tokenizer
from fmkit.models.backbone import Backbone
from fmkit.tasks.base import Task
from fmkit.tasks.language import token_losses
from fmkit.tasks.language.token_losses import UNUSED

_HIDDEN, _REPLACED = 0.8, 0.1
"""Of the tokens to be found: how many are hidden, and how many become another one; BERT's."""


class MaskedLm(Task):
    """Tokens that were hidden are to be found.

    Inputs are tokens (B, T) and places (B, P); targets are the tokens there, (B, P), -1 where a row
    has fewer; outputs are logits of those places alone, (B, P, V).

    Args:
        config: how much is hidden.
        spec: the data set; nothing of it is read.
    """

    name = "masked_lm"
    input_format = "packed"

    def __init__(self, config: MaskedLmConfig, spec: DataSpec) -> None:
        self._config = config
        self._hiding: TokenMasking | None = None
        self._scores_everywhere: Any = None

    def prepare_batch(
        self, tokens: np.ndarray, random: np.random.Generator
    ) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """Hide tokens of a batch: ((tokens, places), targets)."""
        if self._hiding is None:
            raise RuntimeError("the head comes first: it knows the tokenizer")
        return self._hiding.hide(tokens, random)

    def head(self, backbone: Backbone, config: ModelConfig) -> Any:
        """A dense layer, GELU and a norm at each place, then scores by the embedding of tokens.

        Raises:
            ConfigError: a token sees those before it only, or none stands for a hidden one.
        """
        token_losses.require_text(self._config, backbone, is_causal=False)
        tokenizer = backbone.tokenizer
        if tokenizer is None or tokenizer.mask is None:
            raise ConfigError(
                f"task.name=masked_lm: the tokenizer of model.name={backbone.name} has no token "
                "that stands for a hidden one."
            )
        self._hiding = TokenMasking(tokenizer, self._config.mask_rate, self._config.whole_words)
        places = keras.Input((None,), dtype="int32", name="places")
        self.extra_inputs = (places,)
        features = backbone.model.output
        dense = keras.layers.Dense(features.shape[-1], activation="gelu", name="head_dense")
        norm = keras.layers.LayerNormalization(epsilon=1e-6, name="head_norm")
        scores = token_losses.scoring(backbone, has_bias=True)
        here = token_losses.gather_features(features, backbone.model.input, places)
        self._scores_everywhere = lambda: scores(norm(dense(features)), "scores")
        return scores(norm(dense(here)), "logits")

    def loss(self, targets: Any, outputs: Any, weights: Any, training: bool) -> Any:
        """Mean cross-entropy of the hidden tokens of a batch, in nats."""
        return token_losses.mean_loss(targets, outputs)

    def metrics(self) -> list[Any]:
        """Loss, accuracy and perplexity of the hidden tokens."""
        return token_losses.metrics()

    def inference(self, outputs: Any) -> Any:
        """Logits at every token, (B, T, V), float32: what to put in the place of a mask, say."""
        return self._scores_everywhere()


class TokenMasking:
    """Which tokens are hidden, and how.

    Of those that are to be found 80% become the mask, 10% any token, and 10% stay as they are, so
    that a token that is shown need not be right. Special tokens and padding are never among them.

    Args:
        tokenizer: of the model.
        rate: the share of a row's tokens, at least one of each row that has any.
        whole_words: words are chosen whole, as far as their share allows.
    """

    def __init__(self, tokenizer: Tokenizer, rate: float, whole_words: bool) -> None:
        if tokenizer.mask is None:
            raise ValueError("a tokenizer without a mask")
        self._mask, self._rate = tokenizer.mask, rate
        special = np.zeros(tokenizer.size + 1, bool)
        special[[*tokenizer.special, -1]] = True  # the last one is where padding, -1, looks
        self._special = special
        self._plain = np.flatnonzero(~special)
        self._goes_on = np.append(tokenizer.continues(), False) if whole_words else None

    def hide(
        self, tokens: np.ndarray, random: np.random.Generator
    ) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """Tokens (B, T) -> ((tokens (B, T), places (B, P)), targets (B, P)), all int32.

        P depends on T alone. Places without a target are 0.
        """
        rows, longest = tokens.shape
        width = max(1, round(self._rate * longest))
        places = np.zeros((rows, width), np.int32)
        targets = np.full((rows, width), UNUSED, np.int32)
        shown = tokens.copy()
        candidates = ~self._special[tokens]  # (B, T)
        for row in range(rows):
            chosen = self._chosen(tokens[row], np.flatnonzero(candidates[row]), random)
            places[row, : len(chosen)] = chosen
            targets[row, : len(chosen)] = tokens[row, chosen]
            fate = random.random(len(chosen))
            others = self._plain[random.integers(0, len(self._plain), len(chosen))]
            new = np.where(fate < _HIDDEN, self._mask, tokens[row, chosen])
            is_other = (fate >= _HIDDEN) & (fate < _HIDDEN + _REPLACED)
            shown[row, chosen] = np.where(is_other, others, new)
        return (shown, places), targets

    def _chosen(
        self, row: np.ndarray, candidates: np.ndarray, random: np.random.Generator
    ) -> np.ndarray:
        """Where tokens of a row are to be found, rising."""
        if not len(candidates):
            return candidates
        count = max(1, round(self._rate * len(candidates)))
        if self._goes_on is None:
            return np.sort(random.choice(candidates, count, replace=False))
        goes_on = self._goes_on[row[candidates]]
        goes_on &= np.diff(candidates, prepend=-2) == 1  # after a special token a word is new
        goes_on[0] = False
        words = np.split(candidates, np.flatnonzero(~goes_on)[1:])
        chosen: list[int] = []
        for word in random.permutation(len(words)):
            if len(chosen) + len(words[word]) <= count:
                chosen += words[word].tolist()
        if not chosen:  # every word is longer
            chosen = words[random.integers(len(words))][:count].tolist()
        return np.sort(np.array(chosen))
