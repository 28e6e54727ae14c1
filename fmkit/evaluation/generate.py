"""Text generation with a causal language model, token by token.

A text is read once, and then a token at a time, as far as the model keeps the keys and values of
what it has read (`CachedDecoder`). Where it does not, and beyond its maximum length, where each
token moves the window that is read, the whole window is computed again for each token. The logits
are the same up to rounding.

B texts at once, T tokens, V tokens of the vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import keras
import numpy as np
from scipy.special import softmax

from fmkit.config.schema.commands import GenerateConfig
from fmkit.core import console
from fmkit.core.errors import ConfigError
from fmkit.core.types import Message, Tokenizer
from fmkit.data.loaders.text_loader import pad
from fmkit.models.backbone import Backbone
from fmkit.models.text.cached_decoder import CachedDecoder
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

    @cached_property
    def model(self) -> keras.Model:
        """From tokens (B, T) and a position in each row, (B, 1), to logits (B, V)."""
        model: keras.Model = self.task.next_token_model()
        return model

    @cached_property
    def cached_decoder(self) -> CachedDecoder | None:
        """The same with a cache of keys and values; None where the model cannot have one."""
        shape, max_length = self.backbone.cache_shape, self.backbone.max_length
        if shape is None or max_length is None:
            console.info(
                f"{self.name} keeps no keys and values of the text so far, so each token takes a "
                "pass over the whole text."
            )
            return None
        return CachedDecoder(self.model, shape, max_length)

    def read(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        """Logits of the token after each of B texts, (n,) int32 each: (B, V)."""
        longest = max(map(len, windows))
        max_length = self.backbone.max_length
        tokens = pad(windows, longest if max_length is None else max_length)
        lengths = np.array([len(window) for window in windows], np.int32)
        if self.cached_decoder is not None:
            return self.cached_decoder.read(tokens, lengths)
        return np.asarray(self.model.predict_on_batch([tokens, lengths[:, None] - 1]))


class Continuation:
    """A text that is being continued.

    Args:
        tokens: of the text so far, (n,) int32.
        tokenizer: the model's.
        stops: the tokens that end a text.
        sampling: how tokens are sampled.

    Attributes:
        tokens: as given, and those sampled since.
        is_done: whether nothing more is to be sampled.
    """

    def __init__(
        self,
        tokens: np.ndarray,
        tokenizer: Tokenizer,
        stops: Sequence[int],
        sampling: GenerateConfig,
    ) -> None:
        self.tokens = tokens.tolist()
        self.is_done = False
        self._tokenizer, self._stops, self._sampling = tokenizer, stops, sampling
        self._random = np.random.default_rng(sampling.seed)
        self._refused = [token for token in tokenizer.special_ids if token not in stops]
        self._longest = len(tokens) + sampling.max_tokens
        # Texts of single tokens do not add up to the text of all: a character has several, a space
        # is left out at the beginning. So those of the last piece are decoded with the new ones.
        self._begin, self._end, self._shown = 0, len(tokens), tokenizer.decode(tokens)

    def window(self, max_length: int | None) -> np.ndarray:
        """The end of the text, as much as the model reads, (n,) int32."""
        tokens = self.tokens if max_length is None else self.tokens[-max_length:]
        return np.array(tokens, np.int32)

    def add(self, logits: np.ndarray) -> str:
        """Sample a token; the text that it completes, empty inside of a character.

        Args:
            logits: of the next token, (V,).
        """
        logits = np.array(logits, np.float64)
        logits[self._refused] = -np.inf
        logits[self._tokenizer.size :] = -np.inf  # an embedding may have more rows than tokens
        token = sample_token(logits, self._sampling, self._random)
        if token in self._stops:
            self.is_done = True
        else:
            self.tokens.append(token)
            self.is_done = len(self.tokens) >= self._longest
        text = self._tokenizer.decode(np.array(self.tokens[self._begin :], np.int32))
        if not text.startswith(self._shown) or text == self._shown:
            return ""
        if text.endswith(_INCOMPLETE) and not self.is_done:
            return ""
        piece = text[len(self._shown) :]
        self._begin, self._end = self._end, len(self.tokens)
        self._shown = self._tokenizer.decode(np.array(self.tokens[self._begin :], np.int32))
        return piece


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
    tokens, stops = _text_tokens(generator.tokenizer, prompt)
    yield generator.tokenizer.decode(tokens)
    text = Continuation(tokens, generator.tokenizer, stops, sampling)
    yield from (piece for _, piece in continue_all(generator, [text]))


def generate_texts(
    generator: TextGenerator,
    prompts: Sequence[str],
    sampling: GenerateConfig,
    conversation: tuple[Chat, Sequence[Message]] | None = None,
) -> list[str]:
    """What `generate_text` or `generate_reply` gives for each of several prompts, in one batch.

    Args:
        generator: a causal language model.
        prompts: how the texts begin, or the user's messages.
        sampling: how tokens are sampled; the seed of a prompt is larger by its number.
        conversation: a chat template, and messages before the user's; None: no conversation.

    Raises:
        ConfigError: the model cannot generate text, or cannot read as many tokens.
    """
    tokenizer, texts, continuations = generator.tokenizer, [], []
    for number, prompt in enumerate(prompts):
        if conversation is None:
            tokens, stops = _text_tokens(tokenizer, prompt)
        else:
            chat, before = conversation
            tokens = _reply_tokens(generator, chat, [*before, Message("user", prompt)])
            stops = chat.stops
        texts.append(tokenizer.decode(tokens) if conversation is None else "")
        own = replace(sampling, seed=sampling.seed + number)
        continuations.append(Continuation(tokens, tokenizer, stops, own))
    for number, piece in continue_all(generator, continuations):
        texts[number] += piece
    lead = "" if conversation is None else conversation[0].template.lead
    return [text.removeprefix(lead) for text in texts]


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
    tokens = _reply_tokens(generator, chat, messages)
    text = Continuation(tokens, generator.tokenizer, chat.stops, sampling)
    lead = chat.template.lead
    for _, piece in continue_all(generator, [text]):
        yield piece.removeprefix(lead)
        lead = ""


def _text_tokens(tokenizer: Tokenizer, prompt: str) -> tuple[np.ndarray, tuple[int, ...]]:
    """A prompt as tokens, (n,) int32, and the tokens that end a text."""
    tokens = tokenizer.tokens([prompt])[0]
    if tokenizer.start is not None or not len(tokens):
        # A text begins as in training: with its own token, or with the one that ends another text.
        start = tokenizer.end if tokenizer.start is None else tokenizer.start
        tokens = np.concatenate([np.array([0 if start is None else start], np.int32), tokens])
    return tokens, () if tokenizer.end is None else (tokenizer.end,)


def _reply_tokens(generator: TextGenerator, chat: Chat, messages: Sequence[Message]) -> np.ndarray:
    """A conversation up to the answer, as tokens, (n,) int32.

    Raises:
        ConfigError: the model cannot read as many.
    """
    tokens, max_length = chat.prompt(messages), generator.backbone.max_length
    if max_length is not None and len(tokens) >= max_length:
        raise ConfigError(
            f"the prompt has {len(tokens)} tokens as a conversation, and {generator.name} reads "
            f"{max_length}, its answer included.",
            "Shorten the prompt, or take a model with a larger model.max_length.",
        )
    return tokens


def continue_all(
    generator: TextGenerator, texts: Sequence[Continuation]
) -> Iterator[tuple[int, str]]:
    """What follows each text, piece by piece: the number of the text, and the piece.

    All are computed together. A text that is longer than another waits while that one's tokens
    catch up, since a cache is written at one position at a time: texts of about the same length
    take the fewest passes.
    """
    max_length, decoder = generator.backbone.max_length, generator.cached_decoder
    while waiting := [number for number, text in enumerate(texts) if not text.is_done]:
        windows = [texts[number].window(max_length) for number in waiting]
        logits = generator.read(windows)
        yield from (
            (number, texts[number].add(row)) for number, row in zip(waiting, logits, strict=True)
        )
        if decoder is None:
            continue
        index = min(map(len, windows))  # of the position that is read next
        while any(_fits(texts[number], max_length) for number in waiting):
            column = [(*texts[number].tokens[index:], 0)[0] for number in waiting]
            logits = decoder.read_next(np.array(column, np.int32), index)
            index += 1
            for number, row in zip(waiting, logits, strict=True):
                if len(texts[number].tokens) == index and not texts[number].is_done:
                    yield number, texts[number].add(row)


def _fits(text: Continuation, max_length: int | None) -> bool:
    """Whether a text goes on, and the model can read all of it."""
    return not text.is_done and (max_length is None or len(text.tokens) <= max_length)


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
