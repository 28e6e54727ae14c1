"""A trained network of texts as methods see it: texts in, outputs out, however many.

N texts or pairs, B batch, n tokens, K outputs, W words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from fmkit.core.errors import ConfigError
from fmkit.core.types import Tokenizer
from fmkit.data.loaders.text_loader import pad
from fmkit.evaluation.load_run import LoadedRun
from fmkit.explain.text_words import TextWords, read_tokens

Texts = tuple[str, ...]
"""A text, or the two of a pair."""


@dataclass(frozen=True)
class TextNetwork:
    """A trained network of texts.

    Attributes:
        model: tokens (B, n) -> logits or numbers (B, K).
        tokenizer: makes the tokens.
        max_length: most tokens that it reads of a text.
        batch_size: texts per step.
    """

    model: keras.Model
    tokenizer: Tokenizer
    max_length: int
    batch_size: int = 32

    @classmethod
    def of_run(cls, trained: LoadedRun, batch_size: int = 32) -> "TextNetwork":
        """The network of a run.

        Raises:
            ConfigError: it does not read texts.
        """
        tokenizer, length = trained.backbone.tokenizer, trained.backbone.max_length
        if tokenizer is None or length is None:
            raise ConfigError(f"run {trained.run.id} does not read texts.")
        return cls(trained.model, tokenizer, length, batch_size)

    def outputs(self, texts: Sequence[Texts]) -> np.ndarray:
        """Outputs (N, K) float32 of texts or pairs, those of like length in one batch."""
        firsts = [text[0] for text in texts]
        seconds = [text[1] for text in texts] if len(texts[0]) == 2 else None
        rows, _ = self.tokenizer.encode(firsts, seconds, self.max_length)
        order = np.argsort([len(row) for row in rows], kind="stable")
        outputs = np.zeros((len(rows), int(self.model.output.shape[-1])), np.float32)
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            batch = pad([rows[number] for number in chosen], self.max_length)
            # Not traced: a text with each of its words left out has few batches.
            values: Any = self.model(ops.convert_to_tensor(batch), training=False)
            outputs[chosen] = ops.convert_to_numpy(values)
        return outputs

    def tokens(self, words: TextWords) -> tuple[np.ndarray, np.ndarray]:
        """Tokens (n,) of a text as far as they are read, and the word of each; see `read_tokens`"""
        return read_tokens(self.tokenizer, words, self.max_length)

    def read(self, words: TextWords) -> np.ndarray:
        """Which words of a text have a token that is read, (W,) bool."""
        return np.isin(np.arange(len(words)), self.tokens(words)[1])
