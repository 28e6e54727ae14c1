"""The contract of every backbone: model inputs in, features out, and named blocks in order.

B batch, T tokens, D features, H W pixels, h w cells of a feature map, N patches, L tokens ahead of
those of the patches.
"""

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np

from fmkit.core.errors import ConfigError, join_names, received
from fmkit.core.modalities import modality_entry
from fmkit.core.types import Tokenizer
from fmkit.models.keras_internals import run_graph

PADDING = -1
"""What rows of tokens are padded with; 0 would be a real token in many vocabularies."""
ADAPTERS = ("lora_kernel_a", "lora_kernel_b")
"""Keras' names of the two matrices that LoRA adds to a layer with a kernel."""
_RANKS = {"map": 4, "tokens": 3, "vector": 2}


@dataclass(frozen=True)
class Block:
    """A named group of layers that is frozen, unfrozen and given a learning rate together.

    Attributes:
        name: unique within its backbone.
        layers: layers with weights; a layer that holds others stands for all of them.
    """

    name: str
    layers: tuple[keras.Layer, ...]


@dataclass(frozen=True)
class Patches:
    """Where the tokens of a vision transformer are, so that it can run on some of them alone.

    Both tensors are computed from the input of the backbone's model, and by its layers, whether
    inside that model or in a graph of their own.

    Attributes:
        tokens: embedded, with their positions added, (B, L + N, D): L that stand for no patch, then
            the patches row by row. That of a patch is computed from its pixels alone.
        features: what all layers above make of `tokens`, (B, L + N, D), in the same order; they
            take any number of tokens.
        side: of a patch, in pixels.
        leading: L.
    """

    tokens: keras.KerasTensor
    features: keras.KerasTensor
    side: int
    leading: int

    @property
    def count(self) -> int:
        """N."""
        return int(self.tokens.shape[1]) - self.leading

    def encode(self, tokens: Any) -> Any:
        """Features of some tokens, (B, T, D) -> (B, T, D): no layer sees any other token."""
        return run_graph(keras.Model(self.tokens, self.features), [tokens])


class FeatureModel(Protocol):
    """What a head needs to know of a backbone."""

    @property
    def model(self) -> keras.Model:
        """Functional model whose output is features."""

    @property
    def has_class_token(self) -> bool:
        """Whether the first token stands for the whole input."""

    @property
    def is_causal(self) -> bool:
        """Whether a token sees only those before it."""

    @property
    def mask(self) -> keras.KerasTensor | None:
        """Which tokens are not padding, (B, T) bool; None where there is no padding."""


@dataclass(frozen=True)
class Backbone:
    """A model from inputs of one modality to features, and what the rest of fmkit needs to know.

    A text is one row of token numbers, (B, T) int32, padded with `PADDING`. What else a network
    needs (a mask, segments) is computed from that inside the model.

    Attributes:
        name: as the config names it.
        model: Functional model. RGB images (B, H, W, 3) of floats 0 to 255 -> features, or tokens
            (B, T) -> features (B, T, D), or whatever inputs another modality has. Preprocessing is
            inside, as layers, so that an exported model takes what the data set holds.
        image_size: H and W, in pixels; None where it reads something else.
        blocks: ordered stem -> top; every layer that has weights is in exactly one.
        features: `map` (B, h, w, D), `tokens` (B, T, D) or `vector` (B, D).
        has_class_token: whether the first token stands for the whole image or text.
        weights: what was loaded: `imagenet`, `none`, or a path.
        tokenizer: from texts to tokens; None where the model reads something else.
        max_length: the most tokens of a text, special ones included; likewise.
        mask: which tokens are not padding, a tensor (B, T) bool inside `model`; likewise.
        is_causal: whether a token sees only those before it.
        embedding: layer that turns tokens into vectors and, called with `reverse=True`, vectors
            into a score for each token; None where there is none.
        patches: how it runs on some patches alone; None where it cannot.
        modality: what it reads, a name in `fmkit.core.modalities`.
        cache_shape: of a causal model whose layers take a cache of keys and values, the heads of
            those and the numbers of each; None where they take none.

    Raises:
        ConfigError: the parts contradict each other; a plugin's model is where that can happen.
    """

    name: str
    model: keras.Model
    image_size: int | None
    blocks: tuple[Block, ...]
    features: str
    has_class_token: bool = False
    weights: str = "none"
    tokenizer: Tokenizer | None = None
    max_length: int | None = None
    mask: keras.KerasTensor | None = None
    is_causal: bool = False
    embedding: keras.Layer | None = None
    patches: Patches | None = None
    modality: str = "image"
    cache_shape: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        subject = f"backbone {self.name}"
        if self.features not in _RANKS:
            raise ConfigError(received(f"{subject}, features", self.features, list(_RANKS)))
        shape = tuple(self.model.output.shape)
        if len(shape) != _RANKS[self.features]:
            allowed = f"{_RANKS[self.features]} dimensions for features={self.features}"
            raise ConfigError(received(f"{subject}, output shape", shape, allowed))
        expected: tuple[int | None, ...] | None = None
        if self.tokenizer is not None:
            if not modality_entry(self.modality).has_tokenizer:
                allowed = "one of texts, since it has a tokenizer"
                raise ConfigError(received(f"{subject}, modality", self.modality, allowed))
            if self.mask is None or self.max_length is None or self.features != "tokens":
                needed = "a backbone with a tokenizer has mask, max_length and features=tokens"
                raise ConfigError(f"{subject}: {needed}.")
            expected = (None, None)
        elif self.image_size is not None:
            expected = (None, self.image_size, self.image_size, 3)
        if expected is not None and tuple(self.model.input.shape) != expected:
            shape = tuple(self.model.input.shape)
            raise ConfigError(received(f"{subject}, input shape", shape, str(expected)))
        check_blocks(subject, self.model, self.blocks)
        if self.patches is not None:
            _check_patches(subject, self.model, self.patches, self.image_size or 0)

    @property
    def preprocess(self) -> tuple[keras.Layer, ...]:
        """The layers of the model between its input and the first layer with weights, in order."""
        # Keras lists them in topological order.
        ahead = itertools.takewhile(lambda layer: not layer.weights, self.model.layers)
        return tuple(layer for layer in ahead if not isinstance(layer, keras.layers.InputLayer))

    def fingerprint(self) -> str:
        """SHA-256 over all weights; see `fingerprint`."""
        return fingerprint(self.blocks)


def fingerprint(blocks: Sequence[Block]) -> str:
    """SHA-256 over all weights, stem to top: block, position, type, shape and bytes.

    Neither names that Keras numbers by itself (`conv2d_17`) nor the machine enter, so two builds
    with equal weights have equal fingerprints. LoRA's adapters enter once they have been trained:
    fresh ones change no output, and leave the fingerprint of the weights below.
    """
    digest = hashlib.sha256()
    trained = any(  # an adapter's second matrix begins at zero
        weight.name == ADAPTERS[1] and np.any(keras.ops.convert_to_numpy(weight))
        for _, _, weight in _weights(blocks)
    )
    for block, position, weight in _weights(blocks, adapters=trained):
        value = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
        header = f"{block.name}/{position} {value.dtype.name} {list(value.shape)}\n"
        digest.update(header.encode())
        digest.update(value.view(np.uint8).data if value.size else b"")
    return digest.hexdigest()


def is_adapter(variable: keras.Variable) -> bool:
    """Whether a variable is one of the two matrices of LoRA."""
    return variable.name in ADAPTERS


def _weights(
    blocks: Sequence[Block], adapters: bool = True
) -> Iterator[tuple[Block, str, keras.Variable]]:
    for block in blocks:
        for position, layer in enumerate(block.layers):
            weights = [weight for weight in layer.weights if adapters or not is_adapter(weight)]
            for index, weight in enumerate(weights):
                yield block, f"{position}/{type(layer).__name__}/{index}", weight


def check_blocks(subject: str, model: keras.Model, blocks: Sequence[Block]) -> None:
    """Refuse blocks that do not hold every weight of a model exactly once.

    Raises:
        ConfigError: with the names of the weights, or of the blocks that are called the same.
    """
    duplicates = repeated(block.name for block in blocks)
    if duplicates:
        raise ConfigError(f"{subject}: several blocks have the name {join_names(duplicates)}.")
    owners = Counter(id(weight) for _, _, weight in _weights(blocks))
    wrong = [
        f"{weight.path} in {owners[id(weight)]}"
        for weight in model.weights
        if owners[id(weight)] != 1
    ]
    if wrong:
        shown = join_names(wrong, 5)
        raise ConfigError(f"{subject}: every weight must be in exactly one block, but {shown}.")


def repeated(names: Iterable[str]) -> list[str]:
    """The names that occur several times, sorted."""
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _check_patches(subject: str, model: keras.Model, patches: Patches, size: int) -> None:
    tokens, features = tuple(patches.tokens.shape), tuple(patches.features.shape)
    if len(tokens) != 3 or None in tokens[1:] or tokens != features:
        expected = "patches.tokens and patches.features of one shape (B, T, D)"
        raise ConfigError(received(subject, f"{tokens} and {features}", expected))
    count = patches.count
    if count < 1 or (size // patches.side) ** 2 != count:
        expected = f"{(size // patches.side) ** 2} patches of {patches.side} pixels"
        raise ConfigError(received(f"{subject}, patches", count, expected))
    used = {id(weight) for weight in keras.Model(model.input, patches.features).weights}
    unused = [weight.path for weight in model.weights if id(weight) not in used]
    if unused:
        raise ConfigError(
            f"{subject}: its patches are computed without {join_names(unused, 5)}, and these "
            "weights would learn nothing."
        )
