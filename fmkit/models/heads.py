"""Heads on a backbone: pooling, features at one length, dropout, a hidden layer, logits.

B batch, T tokens, D features, C classes, h w cells of a feature map.
"""

from typing import Any

import keras
from keras import ops

from fmkit.config.schema.model import ModelConfig
from fmkit.core.errors import ConfigError, received
from fmkit.models.backbone import FeatureModel
from fmkit.models.keras_internals import run_graph

HEAD_PREFIXES = ("head_", "logits")
"""How the names of a head's layers begin; no layer of a backbone's blocks is called like that."""

LOGITS = "logits"
"""The name of a head's last layer."""
POOLINGS = ("auto", "avg", "max", "cls")
"""For images, and for anything else whose features have no mask."""
TEXT_POOLINGS = (*POOLINGS, "last", "attention")
LENGTH = "head_length/length"
"""The path of the weight of `FixedLength`."""
_FAR_BELOW = -1e9  # added to the features of padding before the maximum
_SHORTEST = 1e-12  # features of this length and below stay what they are, nearly 0


def classification_head(
    backbone: FeatureModel, classes: int, config: ModelConfig
) -> keras.KerasTensor:
    """Pooling, dropout, an optional hidden layer, and a dense layer: logits (B, C) in float32.

    The last layer begins at zero. The first loss is then log C whatever the seed, a linear probe
    is a convex problem that starts at its neutral point, and where the backbone trains too its
    first step is not spent on the noise of a random head.

    Args:
        backbone: whose features are classified.
        classes: C, 2 or more.
        config: see `below_logits`.
    """
    return logits(classes)(below_logits(backbone, config))


def below_logits(backbone: FeatureModel, config: ModelConfig) -> keras.KerasTensor:
    """What a head's last layer reads: pooled features (B, D), or those of its hidden layer.

    Args:
        backbone: whose features are pooled.
        config: `pooling`, `normalize`, `dropout` and `hidden` are read.
    """
    features = pool(backbone, config.pooling)
    if config.normalize != "none":
        features = FixedLength(0.0 if config.normalize == "auto" else None)(features)
    return hidden(features, config)


def logits(units: int) -> keras.layers.Dense:
    """The last layer of a head, which begins at zero; float32 under mixed precision too.

    Softmax, sigmoid and loss need the range.
    """
    return keras.layers.Dense(units, kernel_initializer="zeros", dtype="float32", name=LOGITS)


class FixedLength(keras.layers.Layer):
    """Features at one length, as far as they have any: (B, D) -> (B, D), float32.

    Pooled features of photos with strong and with weak contrast differ in length more than in
    meaning, and linear heads are often better without it. Whether they are is known once a head is
    solved, so that the layer is there before and its weight decides.

    Args:
        length: of the features at first; 0 leaves them as they are, and None is the root of D.
    """

    def __init__(self, length: float | None = None) -> None:
        super().__init__(name="head_length", dtype="float32")
        self._initial = length

    def build(self, input_shape: Any) -> None:
        """Add the weight, which no optimizer trains."""
        initial = input_shape[-1] ** 0.5 if self._initial is None else self._initial
        self.length = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(initial), trainable=False,
            name="length",
        )  # fmt: skip

    def call(self, inputs: Any) -> Any:
        """The features times a factor of each example's."""
        squares = ops.sum(ops.square(inputs), axis=-1, keepdims=True)
        factors = self.length * ops.rsqrt(ops.maximum(squares, _SHORTEST**2))
        return inputs * ops.where(self.length > 0, factors, 1.0)


def fixed_length(model: keras.Model) -> FixedLength | None:
    """The layer of a network that gives features one length; None where it has none."""
    return next((layer for layer in model.layers if isinstance(layer, FixedLength)), None)


def with_keras_layers(network: keras.Model) -> keras.Model:
    """A network with layers of Keras in place of `FixedLength`, or with none if that does nothing.

    It shares all other layers, and their weights.
    """
    layer = fixed_length(network)
    if layer is None:
        return network
    features, length = layer.input, float(ops.convert_to_tensor(layer.length))
    if length > 0:
        features = keras.layers.UnitNormalization(dtype="float32", name="head_unit")(features)
        features = keras.layers.Rescaling(length, dtype="float32", name="head_scale")(features)
    outputs = run_graph(keras.Model(layer.output, network.output), [features])
    return keras.Model(network.inputs[0], outputs, name=network.name)


def hidden(features: keras.KerasTensor, config: ModelConfig) -> keras.KerasTensor:
    """Dropout, and a hidden layer where one is asked for.

    Args:
        features: vectors (B, D), or one for each token, (B, T, D).
        config: `dropout` and `hidden` are read.
    """
    if config.hidden:
        if config.dropout:
            features = keras.layers.Dropout(config.dropout, name="head_hidden_dropout")(features)
        dense = keras.layers.Dense(config.hidden, activation="gelu", name="head_hidden")
        features = dense(features)
    if config.dropout:
        features = keras.layers.Dropout(config.dropout, name="head_dropout")(features)
    return features


def pool(backbone: FeatureModel, pooling: str = "auto", prefix: str = "head") -> keras.KerasTensor:
    """One vector an example from a backbone's features: (B, D), float32.

    Features that are a vector already stay as they are. Of images, `auto` is `cls` where there is
    a class token and `avg` elsewhere; `avg` and `max` leave the class token out.

    Of texts, `auto` is `last` where a token sees only those before it, since no other token has
    seen the whole text, and `avg` elsewhere: sentence encoders such as MiniLM are trained with the
    mean, and the first token of a plain BERT stands for the text only once it was trained to. The
    mean includes the special tokens at start and end, as theirs does.

    Args:
        backbone: its `model.output` is what is pooled.
        pooling: a name in `POOLINGS`; of texts one in `TEXT_POOLINGS`: `last` is the last token
            that is not padding, `attention` a weighted mean whose weights are learned.
        prefix: what the names of the layers begin with.

    Raises:
        ConfigError: an unknown pooling, or one that does not fit the backbone.
    """
    features, mask = backbone.model.output, backbone.mask
    pooling = _resolved(pooling, backbone)
    name, rank = f"{prefix}_pool", len(features.shape)
    if mask is not None:
        return _pool_text(features, mask, pooling, prefix)
    if rank == 2:
        return features
    if rank == 4:
        return _POOLING_LAYERS[pooling, rank](dtype="float32", name=name)(features)
    count, width = features.shape[1:]
    if pooling == "cls" or backbone.has_class_token:
        cropped = (0, count - 1) if pooling == "cls" else (1, 0)
        crop = keras.layers.Cropping1D(cropped, dtype="float32", name=f"{prefix}_crop")
        features = crop(features)
    if pooling == "cls":
        return keras.layers.Reshape((width,), dtype="float32", name=name)(features)
    return _POOLING_LAYERS[pooling, rank](dtype="float32", name=name)(features)


_POOLING_LAYERS = {
    ("avg", 3): keras.layers.GlobalAveragePooling1D,
    ("max", 3): keras.layers.GlobalMaxPooling1D,
    ("avg", 4): keras.layers.GlobalAveragePooling2D,
    ("max", 4): keras.layers.GlobalMaxPooling2D,
}
"""By pooling and rank of the features."""


def _resolved(pooling: str, backbone: FeatureModel) -> str:
    """A pooling that fits the backbone, with the choice of `auto` made."""
    reads_text = backbone.mask is not None
    if pooling in TEXT_POOLINGS and pooling not in POOLINGS and not reads_text:
        raise ConfigError(
            f"model.pooling: received {pooling!r}, which is for texts, and this backbone reads "
            f"images. Expected {', '.join(POOLINGS[:-1])} or {POOLINGS[-1]}."
        )
    allowed = TEXT_POOLINGS if reads_text else POOLINGS
    if pooling not in allowed:
        raise ConfigError(received("model.pooling", pooling, allowed))
    if pooling == "auto" and reads_text:
        return "last" if backbone.is_causal else "avg"
    if pooling == "auto":
        return "cls" if backbone.has_class_token else "avg"
    if pooling == "cls" and not backbone.has_class_token and len(backbone.model.output.shape) > 2:
        reason, others = "this backbone has no class token", "auto, avg or max"
        if reads_text:
            reason = "the first token of this model stands for no more than itself"
            others = "auto, avg, max, last or attention"
        raise ConfigError(f"model.pooling: received 'cls', but {reason}. Expected {others}.")
    return pooling


def _pool_text(
    features: keras.KerasTensor, mask: keras.KerasTensor, pooling: str, prefix: str
) -> keras.KerasTensor:
    """Features (B, T, D) and the mask of what is not padding, (B, T) bool -> (B, D)."""
    name = f"{prefix}_pool"
    if pooling == "cls":
        return keras.layers.Activation("linear", dtype="float32", name=name)(features[:, 0])
    if pooling == "avg":
        return keras.layers.GlobalAveragePooling1D(dtype="float32", name=name)(features, mask=mask)
    if pooling == "max":  # those of padding are lowered, so that no maximum is theirs
        shift = keras.layers.Rescaling(
            -_FAR_BELOW, _FAR_BELOW, dtype="float32", name=f"{prefix}_padding"
        )
        shifts = shift(ops.expand_dims(mask, -1))  # (B, T, 1): 0, and far below it on padding
        add = keras.layers.Add(dtype="float32", name=f"{prefix}_real")
        return keras.layers.GlobalMaxPooling1D(dtype="float32", name=name)(add([features, shifts]))
    if pooling == "last":  # 1 at the last token that is not padding and 0 elsewhere, (B, T)
        number = ops.cumsum(ops.cast(mask, "int32"), axis=1)
        is_last = ops.logical_and(mask, ops.equal(number, ops.max(number, axis=1, keepdims=True)))
        weights = ops.cast(is_last, "float32")
    else:  # learned weights that add up to 1 over the tokens that are not padding, (B, T)
        score = keras.layers.Dense(
            1,
            kernel_initializer="zeros",  # they begin as those of the mean
            use_bias=False,
            dtype="float32",
            name=f"{prefix}_attention",
        )
        reshape = keras.layers.Reshape((-1,), dtype="float32", name=f"{prefix}_scores")
        softmax = keras.layers.Softmax(axis=1, dtype="float32", name=f"{prefix}_weights")
        weights = softmax(reshape(score(features)), mask=mask)
    return keras.layers.Dot(axes=(1, 1), dtype="float32", name=name)([weights, features])
