"""Text generation with a causal language model, token by token.

The whole text is computed again for each token, at one of few lengths: simple and exact, and fast
enough for short texts.

V tokens of the vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax

from fmkit.config.schema.commands import GenerateConfig
from fmkit.core.errors import ConfigError
from fmkit.core.types import Message, Tokenizer
from fmkit.data.loaders.text_loader import pad
from fmkit.models.backbone import Backbone
from fmkit.models.tokenizers.chat_template import Chat

_INCOMPLETE = "\ufffd"
"""The end of a decoded text while only some of a character's bytes have been generated."""


@dataclass(frozen=True)
class TextGenerator:
    """A causal language model.

    Attributes:
        name: in messages, such as `run 2026-11-25_183706-ghvnh5`.
        task: what it learned; it has a `next_token_model`.
        backbone: its network.
    """

    name: str
    task: Any
    backbone: Backbone

    @property
    def tokenizer(self) -> Tokenizer:
        """The backbone's.

        Raises:
            ConfigError: the model cannot generate text.
        """
        if self.backbone.tokenizer is None or self.task.next_token_model is None:
            raise ConfigError(
                f"{self.name} has task.name={self.task.name}, which does not generate text.",
                "Train a model that does: fmkit pretrain task=causal_lm data=text_files "
                "model=small_gpt",
            )
        return self.backbone.tokenizer


def generate_text(generator: TextGenerator, prompt: str, sampling: GenerateConfig) -> Iterator[str]:
    """The prompt, and piece by piece what follows, up to the token that ends a text.

    Of a text that is longer than the model's maximum length, the end is read.

    Args:
        generator: a causal language model.
        prompt: how the text begins; may be empty.
        sampling: how tokens are sampled.

    Raises:
        ConfigError: the model cannot generate text.
    """
    tokenizer = generator.tokenizer
    tokens = tokenizer.tokens([prompt])[0]
    if tokenizer.start is not None or not len(tokens):
        # A text begins as in training: with its own token, or with the one that ends another text.
        start = tokenizer.end if tokenizer.start is None else tokenizer.start
        tokens = np.concatenate([np.array([0 if start is None else start], np.int32), tokens])
    text = tokenizer.decode(tokens)
    yield text
    stops = () if tokenizer.end is None else (tokenizer.end,)
    yield from _continue(generator, tokens, text, stops, sampling)


def generate_reply(
    generator: TextGenerator, chat: Chat, messages: Sequence[Message], sampling: GenerateConfig
) -> Iterator[str]:
    """Piece by piece the assistant's answer, up to the token that ends its message.

    Args:
        generator: a causal language model.
        chat: its chat template.
        messages: of the conversation so far.
        sampling: how tokens are sampled.

    Raises:
        ConfigError: the model cannot generate text, or cannot read as many tokens.
    """
    tokens, max_length = chat.prompt(messages), generator.backbone.max_length
    if max_length is not None and len(tokens) >= max_length:
        raise ConfigError(
            f"the prompt has {len(tokens)} tokens as a conversation, and {generator.name} reads "
            f"{max_length}, its answer included.",
            "Shorten the prompt, or take a model with a larger model.max_length.",
        )
    lead = chat.template.lead
    text = generator.tokenizer.decode(tokens)
    for piece in _continue(generator, tokens, text, chat.stops, sampling):
        yield piece.removeprefix(lead)
        lead = ""


def _continue(
    generator: TextGenerator,
    tokens: np.ndarray,
    text: str,
    stops: Sequence[int],
    sampling: GenerateConfig,
) -> Iterator[str]:
    """Piece by piece what follows tokens (n,), whose text is `text`."""
    tokenizer, max_length = generator.tokenizer, generator.backbone.max_length
    max_length = len(tokens) + sampling.max_tokens if max_length is None else max_length
    model, random = generator.task.next_token_model(), np.random.default_rng(sampling.seed)
    refused = [token for token in tokenizer.special_ids if token not in stops]
    for _ in range(sampling.max_tokens):
        window = tokens[-max_length:]
        rows = pad([window], max_length)
        outputs = model.predict_on_batch([rows, np.array([[len(window) - 1]], np.int32)])
        logits = np.array(outputs, np.float64)[0]
        logits[refused] = -np.inf
        logits[tokenizer.size :] = -np.inf  # an embedding may have more rows than the vocabulary
        token = sample_token(logits, sampling, random)
        if token in stops:
            break
        tokens = np.append(tokens, np.int32(token))
        whole = tokenizer.decode(tokens)
        if whole.startswith(text) and whole != text and not whole.endswith(_INCOMPLETE):
            yield whole[len(text) :]
            text = whole
    whole = tokenizer.decode(tokens)
    if whole.startswith(text) and whole != text:
        yield whole[len(text) :]


def sample_token(logits: np.ndarray, sampling: GenerateConfig, random: np.random.Generator) -> int:
    """A token by its logits, (V,) float64: temperature first, then `top_k`, then `top_p`.

    Of `top_p`: Holtzman et al. 2019, The Curious Case of Neural Text Degeneration.
    """
    if sampling.temperature == 0:
        return int(np.argmax(logits))
    order = np.argsort(-logits, kind="stable")
    if sampling.top_k is not None:
        order = order[: sampling.top_k]
    probabilities = softmax(logits[order] / sampling.temperature)
    if sampling.top_p is not None:
        # The token that brings the sum to `top_p` is included.
        count = int(np.searchsorted(np.cumsum(probabilities), sampling.top_p)) + 1
        order, probabilities = order[:count], probabilities[:count]
        probabilities = probabilities / probabilities.sum()
    return int(random.choice(order, p=probabilities))
