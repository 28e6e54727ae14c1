"""Token classification: a tag for each word, such as entities and parts of speech.

One token of each word predicts its tag, the first one as in BERT, or in causal models the last one
(see `models.tokenizers.word_alignment`); other tokens have no target.

B batch, T tokens, K tags, D features.
"""

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
from fmkit.tasks.base import Batch, Rows
from fmkit.tasks.language import token_losses
from fmkit.tasks.language.token_losses import UNUSED, TokenTask
from fmkit.tasks.token_classification.entity_f1 import EntityF1

WORD, TAG = 1, 2
"""Columns of a row: the word that a token stands for, and that word's tag."""


class TokenClassification(TokenTask):
    """Softmax cross-entropy over the tags of each word.

    Inputs are tokens (B, T); targets are tags at one token of each word, (B, T) int32, -1
    elsewhere; outputs are logits (B, T, K).

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
        super().__init__(config, spec)
        self._tags = spec.names
        self._scheme = tags.tag_scheme(spec.names)
        self._is_causal = False

    def encode_rows(self, examples: Any, tokenizer: Tokenizer, max_length: int) -> Rows:
        """Sentences as rows (n, 3): token, word and tag; see `word_alignment`.

        Where there are no tags, as in sentences to predict, each is -1.
        """
        if not isinstance(examples.content, Sentences):
            raise TypeError("sentences are expected")
        sentences, rows = examples.content.words, []
        encoded = word_alignment.build_rows(tokenizer, sentences, max_length, self._is_causal)
        of_rows = zip(encoded.tokens, encoded.words, encoded.origin, strict=True)
        for tokens, words, origin in of_rows:
            tag = np.full(len(tokens), UNUSED, np.int32)
            if examples.annotations is not None:
                has_word = words >= 0
                tag[has_word] = examples.annotations.values[origin][words[has_word]]
            rows.append(np.stack([tokens, words, tag], axis=1))
        return rows, encoded.origin, encoded.uncut

    def prepare_batch(self, rows: np.ndarray, random: np.random.Generator) -> Batch:
        """Rows (B, T, 3) -> ((tokens,), tags)."""
        return (rows[..., 0],), rows[..., TAG]

    def head(self, backbone: Backbone, config: ModelConfig) -> Any:
        """Dropout, an optional hidden layer, and logits at every token, (B, T, K).

        Raises:
            ConfigError: the backbone does not read texts.
        """
        token_losses.require_text(self.config.name, backbone)
        self._is_causal = backbone.is_causal
        return heads.logits(len(self._tags))(heads.hidden(backbone.model.output, config))

    def metrics(self) -> list[Any]:
        """Loss and accuracy by word and, where tags mark entities, their F1."""
        loss, accuracy, _ = super().metrics()
        return [loss, accuracy, *([] if self._scheme is None else [EntityF1(self._scheme)])]

    def inference(self, outputs: Any) -> Any:
        """Probabilities at every token, (B, T, K) float32; `word_alignment` says which count."""
        return keras.layers.Softmax(dtype="float32", name="probabilities")(outputs)
