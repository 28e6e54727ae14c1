"""A text that goes on, token by token, as a causal language model would have it.

The whole text is computed anew for each token, at one of few lengths: simple and exact, and for the
short texts that it is meant for, fast enough.

V tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fmkit.data.text_loader import filled_up
from fmkit.errors import ConfigError
from fmkit.evaluate.predict import Trained
from fmkit.spec import Tokenizer

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


def text(trained: Trained, prompt: str, sampling: Sampling) -> Iterator[str]:
    """The prompt, and piece by piece what follows it, up to the token that ends a text.

    Of a text that is longer than what the model reads, the end is read.

    Args:
        trained: a causal language model.
        prompt: how the text begins; may be empty.
        sampling: how tokens are drawn.

    Raises:
        ConfigError: the model does not go on with texts.
    """
    tokenizer, most = trained.backbone.tokenizer, trained.backbone.max_length
    if tokenizer is None or most is None or not hasattr(trained.task, "continuation"):
        raise ConfigError(
            f"run {trained.run.id} has task.name={trained.task.name}, which writes no text.",
            "Train one that does: fmkit pretrain task=causal_lm data=text_files model=small_gpt",
        )
    model = trained.task.continuation()
    random = np.random.default_rng(sampling.seed)
    tokens = _marked(tokenizer, tokenizer.tokens([prompt])[0])
    shown = tokenizer.text(tokens)
    yield shown
    for _ in range(sampling.max_tokens):
        window = tokens[-most:]
        rows = filled_up([window], most)
        logits = model.predict_on_batch([rows, np.array([[len(window) - 1]], np.int32)])
        following = drawn(_allowed(np.asarray(logits, np.float64)[0], tokenizer), sampling, random)
        if following == tokenizer.end:
            break
        tokens = np.append(tokens, np.int32(following))
        whole = tokenizer.text(tokens)
        if whole.startswith(shown) and not whole.endswith(_BROKEN):
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


def _allowed(logits: np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    """Logits (V,) with those of marks that stand inside no text struck out."""
    barred = [each for each in tokenizer.special if each != tokenizer.end]
    logits = logits.copy()
    logits[barred] = -np.inf
    logits[tokenizer.size :] = -np.inf  # a table of vectors may be longer than the vocabulary
    return logits


def drawn(logits: np.ndarray, sampling: Sampling, random: np.random.Generator) -> int:
    """A token by its logits, (V,) float64: temperature first, then `top_k`, then `top_p`."""
    if sampling.temperature == 0:
        return int(np.argmax(logits))
    order = np.argsort(-logits, kind="stable")
    if sampling.top_k is not None:
        order = order[: sampling.top_k]
    scaled = logits[order] / sampling.temperature
    shares = np.exp(scaled - scaled[0])
    shares /= shares.sum()
    if sampling.top_p is not None:
        # The one that brings the sum to `top_p` is in.
        count = int(np.searchsorted(np.cumsum(shares), sampling.top_p)) + 1
        order, shares = order[:count], shares[:count] / shares[:count].sum()
    return int(random.choice(order, p=shares))
