"""Token classification: a tag for each word, such as entities and parts of speech.

One token of each word predicts its tag, the first one as in BERT, or in causal models the last one
(see `models.tokenizers.word_alignment`); other tokens have no target.

B batch, T tokens, K tags, D features.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.task import TokenClassificationConfig
from fmkit.core.errors import ConfigError
from fmkit.core.types import DataSpec, Tokenizer
from fmkit.data.content import tags
from fmkit.data.content.tags import Tags
from fmkit.data.content.texts import Sentences
from fmkit.models import heads
from fmkit.models.backbone import Backbone
from fmkit.models.tokenizers import word_alignment
from fmkit.tasks.base import Task
from fmkit.tasks.language import token_losses
from fmkit.tasks.language.token_losses import UNUSED
from fmkit.tasks.token_classification.entity_f1 import EntityF1

WORD, TAG = 1, 2
"""Columns of a row: the word that a token stands for, and that word's tag."""


class TokenClassification(Task):
    """Softmax cross-entropy over the tags of each word.

    Inputs are tokens (B, T); targets are tags at one token of each word, (B, T) int32, -1
    elsewhere; outputs are logits (B, T, K).

    Args:
        config: of the task.
        spec: the data set, whose tags are the outputs.

    Raises:
        ConfigError: the data has no tags.
    """

    name = "token_classification"
    input_format = "rows"

    def __init__(self, config: TokenClassificationConfig, spec: DataSpec) -> None:
        if spec.annotations != Tags.kind:
            raise ConfigError(
                "task.name=token_classification needs a tag for each word, and the data has none.",
                "Take data=conll or data=token_table.",
            )
        self._config = config
        self._tags = spec.names
        self._scheme = tags.tag_scheme(spec.names)
        self._is_causal = False

    def encode_rows(
        self, examples: Any, tokenizer: Tokenizer, max_length: int
    ) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        """Sentences as rows (n, 3): token, word and tag; see `word_alignment`.

        Where there are no tags, as in sentences to predict, each is -1.
        """
        if not isinstance(examples.content, Sentences):
            raise TypeError("sentences are expected")
        encoded = word_alignment.build_rows(
            tokenizer, examples.content.words, max_length, self._is_causal
        )
        rows = []
        for tokens, words, origin in zip(
            encoded.tokens, encoded.words, encoded.origin, strict=True
        ):
            tag = np.full(len(tokens), UNUSED, np.int32)
            if examples.annotations is not None:
                has_word = words >= 0
                tag[has_word] = examples.annotations.values[origin][words[has_word]]
            rows.append(np.stack([tokens, words, tag], axis=1))
        return rows, encoded.origin, encoded.uncut

    def prepare_batch(
        self, rows: np.ndarray, random: np.random.Generator
    ) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """Rows (B, T, 3) -> ((tokens,), tags)."""
        return (rows[..., 0],), rows[..., TAG]

    def head(self, backbone: Backbone, config: ModelConfig) -> Any:
        """Dropout, an optional hidden layer, and logits at every token, (B, T, K).

        Raises:
            ConfigError: the backbone does not read texts.
        """
        token_losses.require_text(self._config, backbone)
        self._is_causal = backbone.is_causal
        return heads.logits(len(self._tags))(heads.hidden(backbone.model.output, config))

    def loss(self, targets: Any, outputs: Any, weights: Any, training: bool) -> Any:
        """Mean cross-entropy of the words of a batch, in nats."""
        return token_losses.mean_loss(targets, outputs)

    def metrics(self) -> list[Any]:
        """Loss and accuracy by word and, where tags mark entities, their F1."""
        metrics: list[Any] = [
            token_losses.TokenLoss(name="loss"), token_losses.TokenAccuracy(name="accuracy")
        ]  # fmt: skip
        return metrics if self._scheme is None else [*metrics, EntityF1(self._scheme)]

    def inference(self, outputs: Any) -> Any:
        """Probabilities at every token, (B, T, K) float32; `word_alignment` says which count."""
        return keras.layers.Softmax(dtype="float32", name="probabilities")(outputs)
