"""The contract of every backbone: images or texts in, features out, and named blocks in order.

B batch, T tokens, D features, H W pixels, h w cells of a feature map, N patches, L tokens ahead of
those of the patches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from fmkit.core.errors import ConfigError, join_names, received
from fmkit.core.types import Tokenizer
from fmkit.models.keras_internals import run_graph

FEATURES = ("map", "tokens", "vector")
PADDING = -1
"""What fills rows of tokens up; a vocabulary may have no number for it, or a real token's."""
ADAPTERS = ("lora_kernel_a", "lora_kernel_b")
"""How Keras names the matrices that LoRA puts beside a kernel."""
_RANKS = {"map": 4, "tokens": 3, "vector": 2}


@dataclass(frozen=True)
class Block:
    """A named group of layers that is frozen, thawed and given a learning rate as one.

    Attributes:
        name: unique within its backbone.
        layers: layers with weights; a layer that holds others stands for all of them.
    """

    name: str
    layers: tuple[keras.Layer, ...]


@dataclass(frozen=True)
class Patches:
    """Where the tokens of a vision transformer are, so that it can run on some of them alone.

    Both tensors are computed of the input of the backbone's model, and by its layers, whether
    inside that model or in a graph of their own.

    Attributes:
        tokens: embedded, with their positions added, (B, L + N, D): L that stand for no patch, then
            the patches row by row. That of a patch is computed of its pixels alone.
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

    def encoded(self, tokens: Any) -> Any:
        """Features of some tokens, (B, T, D) -> (B, T, D): no layer sees any other.

        The graph is walked node by node, so that what freezes, settles and is given a rate layer
        by layer goes on to be.
        """
        return run_graph(keras.Model(self.tokens, self.features), [tokens])


@dataclass(frozen=True)
class Backbone:
    """A model from images or texts to features, and what the rest of fmkit has to know about it.

    A text is one row of token numbers, (B, T) int32, filled up with `PADDING`. What else a network
    wants (a mask, segments) is computed from that inside the model.

    Attributes:
        name: as the config names it.
        model: Functional model. RGB images (B, H, W, 3) of floats 0 to 255 -> features, its
            preprocessing inside, as layers; or tokens (B, T) -> features (B, T, D).
        image_size: H and W, in pixels; None where it reads texts.
        blocks: ordered stem -> top; every layer that has weights is in exactly one.
        features: `map` (B, h, w, D), `tokens` (B, T, D) or `vector` (B, D).
        has_class_token: whether the first token stands for the whole image or text.
        weights: what was loaded: `imagenet`, `none`, or a path.
        tokenizer: makes tokens of texts; None where the model reads images.
        max_length: the most tokens of a text, marks of start and end included; likewise.
        mask: which tokens are no padding, a tensor (B, T) bool inside `model`; likewise.
        is_causal: whether a token sees those before it only.
        embedding: layer that turns tokens into vectors and, called with `reverse=True`, vectors
            into a score for each token; None where there is none.
        patches: how it runs on some patches alone; None where it cannot.

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

    @property
    def modality(self) -> str:
        """What it reads: `image` or `text`."""
        return "image" if self.tokenizer is None else "text"

    def __post_init__(self) -> None:
        what = f"backbone {self.name}"
        if self.features not in FEATURES:
            raise ConfigError(received(f"{what}, features", self.features, FEATURES))
        rank = len(self.model.output.shape)
        if rank != _RANKS[self.features]:
            shape = tuple(self.model.output.shape)
            expected = f"{_RANKS[self.features]} dimensions for features={self.features}"
            raise ConfigError(received(f"{what}, output shape", shape, expected))
        expected_input: tuple[int | None, ...] = (None, self.image_size, self.image_size, 3)
        if self.tokenizer is not None:
            expected_input = (None, None)
            if self.mask is None or self.max_length is None or self.features != "tokens":
                lacking = "a backbone of texts has mask, max_length and features=tokens"
                raise ConfigError(f"{what}: {lacking}.")
        if tuple(self.model.input.shape) != expected_input:
            shape = tuple(self.model.input.shape)
            raise ConfigError(received(f"{what}, input shape", shape, str(expected_input)))
        _check_blocks(what, self.model, self.blocks)
        if self.patches is not None:
            _check_patches(what, self.model, self.patches, self.image_size or 0)

    def fingerprint(self) -> str:
        """SHA-256 over all weights, stem to top: block, place, type, shape and bytes.

        Neither names that Keras numbers by itself (`conv2d_17`) nor the machine enter, so two
        builds with equal weights have equal fingerprints. LoRA's adapters enter once they have
        learned: fresh ones change no output, and leave the fingerprint of the weights below.
        """
        digest = hashlib.sha256()
        adapted = any(_has_learned(weight) for _, _, weight in _weights(self.blocks))
        for block, place, weight in _weights(self.blocks, adapters=adapted):
            value = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
            header = f"{block.name}/{place} {value.dtype.name} {list(value.shape)}\n"
            digest.update(header.encode())
            digest.update(value.view(np.uint8).data if value.size else b"")
        return digest.hexdigest()


def is_adapter(variable: keras.Variable) -> bool:
    """Whether a variable is one of the two matrices of LoRA."""
    return variable.name in ADAPTERS


def _has_learned(weight: keras.Variable) -> bool:
    """Whether a weight is an adapter's second matrix and no longer zero, as it begins."""
    return weight.name == ADAPTERS[1] and bool(np.any(keras.ops.convert_to_numpy(weight)))


def _weights(
    blocks: tuple[Block, ...], adapters: bool = True
) -> Iterator[tuple[Block, str, keras.Variable]]:
    for block in blocks:
        for position, layer in enumerate(block.layers):
            weights = [each for each in layer.weights if adapters or not is_adapter(each)]
            for index, weight in enumerate(weights):
                yield block, f"{position}/{type(layer).__name__}/{index}", weight


def _check_blocks(what: str, model: keras.Model, blocks: tuple[Block, ...]) -> None:
    names = [block.name for block in blocks]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"{what}: several blocks have the name {join_names(twice)}.")
    owners: dict[int, int] = {}
    for _, _, weight in _weights(blocks):
        owners[id(weight)] = owners.get(id(weight), 0) + 1
    wrong = [
        f"{weight.path} in {owners.get(id(weight), 0)}"
        for weight in model.weights
        if owners.get(id(weight), 0) != 1
    ]
    if wrong:
        shown = join_names(wrong, 5)
        raise ConfigError(f"{what}: every weight must be in exactly one block, but {shown}.")


def _check_patches(what: str, model: keras.Model, patches: Patches, size: int) -> None:
    tokens, features = tuple(patches.tokens.shape), tuple(patches.features.shape)
    if len(tokens) != 3 or None in tokens[1:] or tokens != features:
        expected = "patches.tokens and patches.features of one shape (B, T, D)"
        raise ConfigError(received(what, f"{tokens} and {features}", expected))
    count = patches.count
    if count < 1 or (size // patches.side) ** 2 != count:
        expected = f"{(size // patches.side) ** 2} patches of {patches.side} pixels"
        raise ConfigError(received(f"{what}, patches", count, expected))
    reached = {id(each) for each in keras.Model(model.input, patches.features).weights}
    lacking = [each.path for each in model.weights if id(each) not in reached]
    if lacking:
        told = f"its patches are computed without {join_names(lacking, 5)}"
        raise ConfigError(f"{what}: {told}, and such weights would learn nothing.")
