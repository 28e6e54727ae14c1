"""Instruction tuning: a causal model learns the answers of conversations.

Supervised fine-tuning as in Ouyang et al. 2022, Training language models to follow instructions
with human feedback. The messages of users and the system are read, but not learned.

B batch, T tokens of a row, n tokens of a conversation, V tokens of the vocabulary.
"""

from typing import Any

import numpy as np

from fmkit.config.schema.model import ModelConfig
from fmkit.core import console
from fmkit.core.errors import DataError
from fmkit.data.content.texts import Conversations
from fmkit.models.backbone import Backbone
from fmkit.models.tokenizers import chat_template
from fmkit.tasks.base import Batch, Rows
from fmkit.tasks.language.causal_lm import CausalLm
from fmkit.tasks.language.token_losses import UNUSED


class Instruction(CausalLm):
    """Each token of an answer, and the token that ends it, is predicted from those before it.

    Targets (B, T) are the next tokens where these belong to an answer, else -1; outputs are logits
    (B, T, V). `chat_template` is set by `head`.
    """

    name = "instruction"
    input_format = "rows"

    def head(self, backbone: Backbone, config: ModelConfig) -> Any:
        """Logits by the token embedding; see `CausalLm.head`.

        Raises:
            ConfigError: the backbone is not causal, or its vocabulary lacks the special tokens of
                the template.
        """
        logits = super().head(backbone, config)
        if backbone.tokenizer is not None:  # which `require_text` has checked
            self.chat_template = chat_template.chat_for_model(config, backbone.tokenizer)
        return logits

    def encode_rows(self, examples: Any, tokenizer: Any, max_length: int) -> Rows:
        """A row per conversation: each token, and 1 where it belongs to an answer.

        A conversation that is too long is cut at its end, and left out where no answer begins
        before that.

        Raises:
            DataError: the data has no conversations, or no answer of them is left.
        """
        content = examples.content
        if not isinstance(content, Conversations):
            raise DataError(
                f"task.name={self.name} learns from conversations, such as those of data=chat."
            )
        rows, origin, uncut = [], [], []
        for index, turns in enumerate(self.chat_template.encode(content.conversations)):
            row = np.stack([turns.tokens, turns.answers], axis=1)[:max_length]
            if row[1:, 1].any():
                rows.append(row.astype(np.int32))
                origin.append(index)
                uncut.append(len(turns.tokens))
        missing = len(examples) - len(rows)
        if missing:
            message = (
                f"{missing:,} of {len(examples):,} conversations have no answer in their first "
                f"{max_length} tokens (model.max_length)"
            )
            if not rows:
                raise DataError(f"{message}.", "Set a larger model.max_length.")
            console.warning(f"{message}: left out.")
        return rows, np.array(origin, np.int64), np.array(uncut, np.int64)

    def prepare_batch(self, tokens: np.ndarray, random: np.random.Generator) -> Batch:
        """Tokens and flags (B, T, 2) -> ((tokens,), next tokens of answers, (B, T) int32)."""
        inputs, targets = super().prepare_batch(np.ascontiguousarray(tokens[..., 0]), random)
        targets[:, :-1][tokens[:, 1:, 1] != 1] = UNUSED
        return inputs, targets
