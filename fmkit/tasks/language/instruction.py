"""Instruction tuning: a causal model learns the answers of conversations.

Supervised fine-tuning as in Ouyang et al. 2022, Training language models to follow instructions
with human feedback; what users and the system say is read, and not learned.

B batch, T tokens of a row, n tokens of a conversation, V tokens of the vocabulary.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fmkit.config.schema.model import ModelConfig
from fmkit.core import console
from fmkit.core.errors import DataError
from fmkit.data.content.texts import Conversations
from fmkit.models.backbone import PADDING, Backbone
from fmkit.models.tokenizers import chat_template as chat
from fmkit.tasks.language.causal_lm import CausalLm
from fmkit.tasks.language.token_losses import UNUSED


class Instruction(CausalLm):
    """Each token of an answer, and the mark after it, is to be found from those before it.

    Targets (B, T) are the tokens one place on where they are of an answer, else -1; outputs are
    logits (B, T, V).

    Attributes:
        chat_template: how conversations are written; set by `head`.
    """

    name = "instruction"
    input_format = "rows"

    def head(self, backbone: Backbone, config: ModelConfig) -> Any:
        """Scores by the embedding of tokens; see `CausalLm.head`.

        Raises:
            ConfigError: a token sees those after it, or the vocabulary lacks the template's marks.
        """
        logits = super().head(backbone, config)
        if backbone.tokenizer is not None:  # which `require_text` has seen to
            self.chat_template = chat.of(config, backbone.tokenizer)
        return logits

    def encode_rows(
        self, examples: Any, tokenizer: Any, max_length: int
    ) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        """A row a conversation: each token, and 1 beside those of answers.

        A conversation that is too long is cut at its end, and left out where no answer begins
        before that.

        Raises:
            DataError: the data has no conversations, or none of them has an answer left.
        """
        content = examples.content
        if not isinstance(content, Conversations):
            raise DataError(f"task.name={self.name} learns from conversations, as data=chat has.")
        rows, origin, uncut = [], [], []
        for place, found in enumerate(self.chat_template.encode(content.conversations)):
            row = np.stack([found.tokens, found.answers], axis=1)[:max_length]
            if row[1:, 1].any():
                rows.append(row.astype(np.int32))
                origin.append(place)
                uncut.append(len(found.tokens))
        missing = len(examples) - len(rows)
        if missing:
            told = f"{missing:,} of {len(examples):,} conversations have no answer in their first "
            told += f"{max_length} tokens (model.max_length)"
            if not rows:
                raise DataError(f"{told}.", "Set a larger model.max_length.")
            console.warning(f"{told}: left out.")
        return rows, np.array(origin, np.int64), np.array(uncut, np.int64)

    def prepare_batch(
        self, tokens: np.ndarray, random: np.random.Generator
    ) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """Tokens and flags (B, T, 2) -> ((tokens,), what follows in answers, (B, T) int32)."""
        numbers, flags = tokens[..., 0], tokens[..., 1]
        targets = np.full_like(numbers, UNUSED)
        is_answer = (flags[:, 1:] == 1) & (numbers[:, 1:] != PADDING)
        targets[:, :-1] = np.where(is_answer, numbers[:, 1:], UNUSED)
        return (np.ascontiguousarray(numbers),), targets
