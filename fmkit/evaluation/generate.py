"""A text that goes on, token by token, as a causal language model would have it.

The whole text is computed anew for each token, at one of few lengths: simple and exact, and for the
short texts that it is meant for, fast enough.

V tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax

from fmkit.core.errors import ConfigError
from fmkit.core.types import Message, Tokenizer
from fmkit.data.loaders.text_loader import pad
from fmkit.models.backbone import Backbone
from fmkit.models.tokenizers.chat_template import Chat

_BROKEN = "\ufffd"
"""What stands at the end of a text while only a part of a character's bytes is there."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn.

    Attributes:
        temperature: logits are divided by it; at 0 the most likely token is taken.
        top_k: only so many of the most likely tokens are drawn; None: all.
        top_p: of these only the most likely ones that together have this probability (Holtzman et
            al. 2019, The Curious Case of Neural Text Degeneration); None: all.
        max_tokens: most tokens that are added.
        seed: other seeds draw others.
    """

    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = 0.95
    max_tokens: int = 100
    seed: int = 0


@dataclass(frozen=True)
class TextGenerator:
    """A causal language model.

    Attributes:
        what: what errors call it, such as `run 2026-11-25_183706-ghvnh5`.
        task: what it learned; it has a `next_token_model`.
        backbone: its network.
    """

    what: str
    task: Any
    backbone: Backbone

    @property
    def tokenizer(self) -> Tokenizer:
        """What makes tokens of texts.

        Raises:
            ConfigError: the model does not go on with texts.
        """
        if self.backbone.tokenizer is None or self.task.next_token_model is None:
            raise ConfigError(
                f"{self.what} has task.name={self.task.name}, which writes no text.",
                "Train one that does: fmkit pretrain task=causal_lm data=text_files "
                "model=small_gpt",
            )
        return self.backbone.tokenizer


def generate_text(writer: TextGenerator, prompt: str, sampling: Sampling) -> Iterator[str]:
    """The prompt, and piece by piece what follows it, up to the token that ends a text.

    Of a text that is longer than what the model reads, the end is read.

    Args:
        writer: a causal language model.
        prompt: how the text begins; may be empty.
        sampling: how tokens are drawn.

    Raises:
        ConfigError: the model does not go on with texts.
    """
    tokenizer = writer.tokenizer
    tokens = _marked(tokenizer, tokenizer.tokens([prompt])[0])
    shown = tokenizer.text(tokens)
    yield shown
    ends = () if tokenizer.end is None else (tokenizer.end,)
    yield from _written(writer, tokens, shown, ends, sampling)


def generate_reply(
    writer: TextGenerator, chat: Chat, messages: Sequence[Message], sampling: Sampling
) -> Iterator[str]:
    """Piece by piece what the assistant answers, up to the mark that ends its message.

    Args:
        writer: a causal language model.
        chat: how its conversations are written.
        messages: what was said before.
        sampling: how tokens are drawn.

    Raises:
        ConfigError: the model does not go on with texts, or cannot read as many tokens.
    """
    tokens, most = chat.prompt(messages), writer.backbone.max_length
    if most is not None and len(tokens) >= most:
        raise ConfigError(
            f"the prompt has {len(tokens)} tokens as a conversation, and {writer.what} reads "
            f"{most}, its answer included.",
            "Shorten it, or take a model with a larger model.max_length.",
        )
    lead = chat.template.lead
    for piece in _written(writer, tokens, writer.tokenizer.text(tokens), chat.stops, sampling):
        yield piece.removeprefix(lead)
        lead = ""


def _written(
    writer: TextGenerator, tokens: np.ndarray, shown: str, ends: Sequence[int], sampling: Sampling
) -> Iterator[str]:
    """Piece by piece what follows tokens (n,), whose text is `shown`."""
    tokenizer, most = writer.tokenizer, writer.backbone.max_length
    most = len(tokens) + sampling.max_tokens if most is None else most
    model, random = writer.task.next_token_model(), np.random.default_rng(sampling.seed)
    for _ in range(sampling.max_tokens):
        window = tokens[-most:]
        rows = pad([window], most)
        logits = model.predict_on_batch([rows, np.array([[len(window) - 1]], np.int32)])
        following = sample_token(
            _allowed(np.asarray(logits, np.float64)[0], tokenizer, ends), sampling, random
        )
        if following in ends:
            break
        tokens = np.append(tokens, np.int32(following))
        whole = tokenizer.text(tokens)
        if whole.startswith(shown) and whole != shown and not whole.endswith(_BROKEN):
            yield whole[len(shown) :]
            shown = whole
    whole = tokenizer.text(tokens)
    if whole.startswith(shown) and whole != shown:
        yield whole[len(shown) :]


def _marked(tokenizer: Tokenizer, tokens: np.ndarray) -> np.ndarray:
    """Tokens of a prompt with the mark that a text begins with, as in training."""
    start = tokenizer.end if tokenizer.start is None else tokenizer.start
    if tokenizer.start is None and len(tokens):
        return tokens
    return np.concatenate([np.array([0 if start is None else start], np.int32), tokens])


def _allowed(logits: np.ndarray, tokenizer: Tokenizer, ends: Sequence[int]) -> np.ndarray:
    """Logits (V,) with those of marks that neither stand inside a text nor end it struck out."""
    barred = [each for each in tokenizer.special if each not in ends]
    logits = logits.copy()
    logits[barred] = -np.inf
    logits[tokenizer.size :] = -np.inf  # a table of vectors may be longer than the vocabulary
    return logits


def sample_token(logits: np.ndarray, sampling: Sampling, random: np.random.Generator) -> int:
    """A token by its logits, (V,) float64: temperature first, then `top_k`, then `top_p`."""
    if sampling.temperature == 0:
        return int(np.argmax(logits))
    order = np.argsort(-logits, kind="stable")
    if sampling.top_k is not None:
        order = order[: sampling.top_k]
    shares = softmax(logits[order] / sampling.temperature)
    if sampling.top_p is not None:
        # The one that brings the sum to `top_p` is in.
        count = int(np.searchsorted(np.cumsum(shares), sampling.top_p)) + 1
        order, shares = order[:count], shares[:count] / shares[:count].sum()
    return int(random.choice(order, p=shares))
