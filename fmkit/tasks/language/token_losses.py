"""Cross-entropy, accuracy and perplexity of tokens, and the layer that makes their logits.

Batches have different numbers of target tokens, so losses and metrics count by token.

B batch, P positions of a row that have a target token, V tokens of the vocabulary.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from fmkit.core.errors import ConfigError
from fmkit.models.backbone import Backbone
from fmkit.models.keras_internals import scale_loss_for_distribution
from fmkit.tasks.base import Task

UNUSED = -1
"""The target of a position where no token is to be predicted."""


def losses(targets: Any, logits: Any) -> tuple[Any, Any]:
    """Cross-entropy of each token in nats, (B, P), and 1 where there is a target, else 0, (B, P).

    Args:
        targets: (B, P) int32, -1 where there is none.
        logits: (B, P, V).
    """
    used = ops.cast(ops.not_equal(targets, UNUSED), "float32")
    classes, logits = ops.maximum(targets, 0), ops.cast(logits, "float32")
    values = keras.losses.sparse_categorical_crossentropy(classes, logits, from_logits=True)
    return values, used


def _flat(values: Any) -> Any:
    """Values (B, P) as (B * P,): Keras would average rows, and short ones would count more."""
    return ops.reshape(values, (-1,))


class TokenLoss(keras.metrics.Mean):
    """The mean loss of all tokens so far: a batch counts by its tokens."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch of targets (B, P) and logits (B, P, V)."""
        super().update_state(*map(_flat, losses(y_true, y_pred)))


class Perplexity(TokenLoss):
    """The exponential of the mean loss of all tokens so far."""

    def result(self) -> Any:
        """Of all batches together, not a mean of theirs."""
        return ops.exp(super().result())


class TokenAccuracy(keras.metrics.Mean):
    """The share of tokens that have the largest logit."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch of targets (B, P) and logits (B, P, V)."""
        predicted = ops.cast(ops.argmax(y_pred, axis=-1), "int32")
        is_right = ops.cast(ops.equal(predicted, ops.cast(y_true, "int32")), "float32")
        used = ops.cast(ops.not_equal(y_true, UNUSED), "float32")
        super().update_state(_flat(is_right), _flat(used))


class TokenTask(Task):
    """Predicts classes of tokens, from logits: targets (B, P) are -1 where there is none."""

    def loss(self, targets: Any, outputs: Any, weights: Any, training: bool) -> Any:
        """Mean cross-entropy of the targets of a batch, in nats; 0 where there is none.

        Each of several devices contributes its share of the mean of their means.
        """
        values, used = losses(targets, outputs)
        mean = ops.sum(values * used) / ops.maximum(ops.sum(used), 1.0)
        return scale_loss_for_distribution(mean)

    def loss_weight(self, targets: Any) -> Any:
        """The number of targets of a batch."""
        return ops.sum(ops.cast(ops.not_equal(targets, UNUSED), "float32"))

    def metrics(self) -> list[Any]:
        """Loss, accuracy and perplexity of all targets."""
        # The first replaces Keras' mean over batches, which has the same name.
        accuracy, perplexity = TokenAccuracy(name="accuracy"), Perplexity(name="perplexity")
        return [TokenLoss(name="loss"), accuracy, perplexity]


def require_text(task: str, backbone: Backbone, is_causal: bool | None = None) -> None:
    """Refuse a backbone that cannot do the task.

    Args:
        task: its name.
        backbone: the backbone.
        is_causal: whether a token must see only those before it; None: either will do.

    Raises:
        ConfigError: it does not read texts, or its tokens see too much or too little.
    """
    if backbone.tokenizer is None:
        raise ConfigError(
            f"task.name={task} needs a text model; {backbone.name} does not read texts."
        )
    if is_causal is None or backbone.is_causal == is_causal:
        return
    sees = {True: "only those before it", False: "all others"}
    examples = "small_gpt or model=smollm2" if is_causal else "small_bert or model=minilm"
    raise ConfigError(
        f"task.name={task}: in model.name={backbone.name} a token sees {sees[backbone.is_causal]}.",
        f"The task needs a model in which it sees {sees[is_causal]}, as in model={examples}.",
    )


def gather_features(features: Any, tokens: Any, positions: Any) -> Any:
    """The features at some positions of each row: (B, P, D).

    Taken from one table of all rows, as in BERT's own code: `take_along_axis` would repeat the
    positions D times.

    Args:
        features: (B, T, D), symbolic.
        tokens: (B, T) int32.
        positions: (B, P) int32, from 0 to T - 1.
    """
    width = features.shape[-1]
    length = ops.sum(ops.ones_like(tokens), axis=1, keepdims=True)  # (B, 1), T each
    row = ops.subtract(ops.cumsum(ops.ones_like(positions), axis=0), 1)  # (B, P)
    return ops.take(ops.reshape(features, (-1, width)), row * length + positions, axis=0)


OutputLayer = Callable[[Any, str], Any]
"""From symbolic features (B, P, D), and a name, to logits (B, P, V), float32."""


def output_layer(backbone: Backbone, has_bias: bool) -> OutputLayer:
    """Logits by the token embedding, or by a dense layer where the backbone has none.

    Args:
        backbone: a text model.
        has_bias: whether each token has a bias, as in BERT.
    """
    size = backbone.tokenizer.size if backbone.tokenizer else 0
    embedding: Any = backbone.embedding
    dense = None
    if embedding is None:
        dense = keras.layers.Dense(size, use_bias=False, name="head_output")
    # Keras has no layer that is only a bias; a dense layer without bias is one, on an input of 1.
    bias = keras.layers.Dense(size, use_bias=False, kernel_initializer="zeros", name="head_bias")

    def to_logits(features: Any, name: str) -> Any:
        logits = dense(features) if dense is not None else embedding(features, reverse=True)
        if has_bias:
            one = ops.ones_like(ops.max(features, keepdims=True))  # (1, 1, 1)
            logits = ops.add(logits, bias(one))
        return keras.layers.Activation("linear", dtype="float32", name=name)(logits)

    return to_logits
