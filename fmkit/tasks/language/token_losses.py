"""Tokens to be found: their loss and how it is counted over batches that have different numbers.

B batch, P places of a row where a token is to be found, V tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from fmkit.config.schema.task import TaskConfig
from fmkit.core.errors import ConfigError
from fmkit.models.backbone import Backbone
from fmkit.models.keras_internals import scale_loss_for_distribution

UNUSED = -1
"""The target of a place where nothing is to be found."""


def losses(targets: Any, logits: Any) -> tuple[Any, Any]:
    """Cross-entropy of each token in nats, (B, P), and which places have one, (B, P) of 0 and 1.

    Args:
        targets: (B, P) int32, -1 where there is none.
        logits: (B, P, V).
    """
    used = ops.cast(ops.not_equal(targets, UNUSED), "float32")
    numbers, scores = ops.maximum(targets, 0), ops.cast(logits, "float32")
    found = keras.losses.sparse_categorical_crossentropy(numbers, scores, from_logits=True)
    return found, used


def mean_loss(targets: Any, logits: Any) -> Any:
    """The mean over the tokens of a batch, in nats; 0 where there is none.

    Of several devices each has its share of the mean of their means.
    """
    found, used = losses(targets, logits)
    mean = ops.sum(found * used) / ops.maximum(ops.sum(used), 1.0)
    return scale_loss_for_distribution(mean)


def _flat(values: Any) -> Any:
    """Values (B, P) as (B * P,): Keras would take means of rows, and short ones count more."""
    return ops.reshape(values, (-1,))


class TokenLoss(keras.metrics.Mean):
    """The mean loss of all tokens so far: a batch counts by its tokens."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch of targets (B, P) and logits (B, P, V)."""
        super().update_state(*map(_flat, losses(y_true, y_pred)))


class Perplexity(TokenLoss):
    """The exponential of the mean loss of all tokens so far."""

    def result(self) -> Any:
        """One value for all batches: no mean of theirs."""
        return ops.exp(super().result())


class TokenAccuracy(keras.metrics.Mean):
    """The share of tokens that have the largest logit."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch of targets (B, P) and logits (B, P, V)."""
        best = ops.cast(ops.argmax(y_pred, axis=-1), "int32")
        right = ops.cast(ops.equal(best, ops.cast(y_true, "int32")), "float32")
        used = ops.cast(ops.not_equal(y_true, UNUSED), "float32")
        super().update_state(_flat(right), _flat(used))


def metrics() -> list[Any]:
    """Fresh metrics. The first takes the place of Keras' mean of batches under the same name."""
    return [TokenLoss(name="loss"), TokenAccuracy(name="accuracy"), Perplexity(name="perplexity")]


def require_text(task: TaskConfig, backbone: Backbone, is_causal: bool) -> None:
    """Refuse a backbone that cannot do the task.

    Raises:
        ConfigError: it reads no texts, or sees what it may not see or too little.
    """
    seen = "those before it only" if backbone.is_causal else "all others"
    wanted = "those before it only, as in model=small_gpt or model=smollm2"
    if not is_causal:
        wanted = "all others, as in model=small_bert or model=minilm"
    if backbone.tokenizer is None:
        raise ConfigError(f"task.name={task.name} needs a model of texts; {backbone.name} is none.")
    if backbone.is_causal != is_causal:
        raise ConfigError(
            f"task.name={task.name}: in model.name={backbone.name} a token sees {seen}.",
            f"The task needs one in which it sees {wanted}.",
        )


def gather_features(features: Any, tokens: Any, places: Any) -> Any:
    """The features of some tokens: (B, P, D).

    Out of one table of all rows, as in BERT's own code: `take_along_axis` would repeat the places
    D times.

    Args:
        features: (B, T, D), symbolic.
        tokens: (B, T) int32.
        places: (B, P) int32, from 0 to T - 1.
    """
    width = features.shape[-1]
    length = ops.sum(ops.ones_like(tokens), axis=1, keepdims=True)  # (B, 1), T each
    row = ops.subtract(ops.cumsum(ops.ones_like(places), axis=0), 1)  # (B, P)
    return ops.take(ops.reshape(features, (-1, width)), row * length + places, axis=0)


Scores = Callable[[Any, str], Any]
"""From symbolic vectors (B, P, D), and a name, to logits (B, P, V), float32."""


def scoring(backbone: Backbone, has_bias: bool) -> Scores:
    """How vectors become logits: by the embedding of tokens, where the backbone has one.

    Args:
        backbone: one of texts.
        has_bias: whether each token has a bias of its own, as in BERT.
    """
    size = backbone.tokenizer.size if backbone.tokenizer else 0
    embedding: Any = backbone.embedding
    own = None
    if embedding is None:
        own = keras.layers.Dense(size, use_bias=False, name="head_output")
    # On a single one, a dense layer without bias is a bias: Keras has no layer that is no more.
    bias = keras.layers.Dense(size, use_bias=False, kernel_initializer="zeros", name="head_bias")

    def scores(vectors: Any, name: str) -> Any:
        logits = own(vectors) if own is not None else embedding(vectors, reverse=True)
        if has_bias:
            one = ops.ones_like(ops.max(vectors, keepdims=True))  # (1, 1, 1)
            logits = ops.add(logits, bias(one))
        return keras.layers.Activation("linear", dtype="float32", name=name)(logits)

    return scores
