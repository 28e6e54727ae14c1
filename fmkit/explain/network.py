"""A trained network of photos as methods see it: scores of a target, and a cut at a feature map.

B batch, S side of the photos, K outputs, h w cells of a feature map, D its channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
from keras import ops

from fmkit.config import saved_config
from fmkit.core.errors import ConfigError, received
from fmkit.evaluation.load_run import LoadedRun
from fmkit.explain import answers
from fmkit.models.keras_internals import compile_inference, graph_nodes

CELLS = 6
"""Least height and width of the feature map that Grad-CAM takes by itself. The last one of networks
for 224 pixels has 7; of the 3 or 4 that it has with small photos, maps were no better than random
ones (deletion and insertion, EfficientNet-Lite0 at 96 pixels, small_cnn at 32)."""
_EAGER_BATCHES = 3
"""Batches in all that are not worth tracing, which takes some seconds."""


@dataclass(frozen=True)
class FeatureMap:
    """A network in two parts.

    Attributes:
        layer: name of the operation that the map is the output of.
        lower: photos (B, S, S, 3) -> map (B, h, w, D).
        upper: map -> outputs (B, K).
    """

    layer: str
    lower: keras.Model
    upper: keras.Model


@dataclass(frozen=True)
class PatchTokens:
    """Tokens of a vision transformer.

    Attributes:
        count: of patches, row by row; they come last.
        leading: tokens ahead of them, which stand for no patch.
        pools_class_token: the head reads the first token, and not the mean of the patches.
    """

    count: int
    leading: int
    pools_class_token: bool


class Network:
    """A trained network of photos.

    Args:
        model: photos (B, S, S, 3) of floats 0 to 255 -> logits or numbers (B, K).
        kind: `classes`, `sets` or `numbers`: what the outputs are.
        layer: of the feature map; None chooses.
        batch_size: photos per step.
        patches: where the tokens of a vision transformer are, if it is one.
    """

    def __init__(
        self,
        model: keras.Model,
        kind: str,
        layer: str | None = None,
        batch_size: int = 32,
        patches: PatchTokens | None = None,
    ) -> None:
        self.model, self.kind, self._layer = model, kind, layer
        self.size = int(model.inputs[0].shape[1])
        self.batch_size = batch_size
        self.patches = patches
        self._compiled: Any = None
        self._batches = 0  # that went through the network

    @classmethod
    def of_run(
        cls, trained: LoadedRun, layer: str | None = None, batch_size: int = 32
    ) -> "Network":
        """The network of a run."""
        kind = trained.spec.annotations or "classes"
        return cls(trained.model, kind, layer, batch_size, patch_tokens(trained))

    def outputs(self, images: np.ndarray) -> np.ndarray:
        """Outputs (N, K) float32 of photos (N, S, S, 3), any number of them."""
        starts = range(0, len(images), self.batch_size)
        self._batches += len(starts)
        call = self._call if self._batches <= _EAGER_BATCHES else self._compiled_call
        rows = [
            ops.convert_to_numpy(
                call(ops.convert_to_tensor(images[start : start + self.batch_size], "float32"))
            )
            for start in starts
        ]
        return np.concatenate(rows).astype(np.float32)

    def scores(self, images: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """The output that is explained for each photo, (N,): a logit or a number."""
        outputs = self.outputs(images)
        return outputs[np.arange(len(outputs)), targets]

    def shown(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Probabilities of the targets, or the numbers themselves, (N,), of outputs (N, K)."""
        return answers.values(self.kind, outputs, targets)

    def predicted(self, outputs: np.ndarray) -> np.ndarray:
        """What is explained if no target is named, (N,): the largest, or the first number."""
        return answers.likeliest(self.kind, outputs)

    def _call(self, images: Any) -> Any:
        return self.model(images, training=False)

    def _compiled_call(self, images: Any) -> Any:
        if self._compiled is None:
            symbolic = keras.KerasTensor((None, self.size, self.size, 3), "float32")
            self._compiled = compile_inference(self._call, self.model.variables, [symbolic])
        return self._compiled(images)

    @cached_property
    def feature_map(self) -> FeatureMap:
        """The network cut at the layer that was named, or at the last map with enough cells.

        Raises:
            ConfigError: it has no feature map, or the layer does not give one that everything
                above is computed from.
        """
        tensors = feature_maps(self.model)
        if not tensors:
            raise ConfigError("the model has no feature map that all of its outputs depend on.")
        name = self._layer or chosen_layer(tensors)
        if name not in tensors:
            few = list(tensors)[-12:]
            raise ConfigError(received("layer", name, few, "These are the last feature maps."))
        tensor = tensors[name]
        lower = keras.Model(self.model.inputs[0], tensor, name="below_the_map")
        upper = keras.Model(tensor, self.model.output, name="above_the_map")
        return FeatureMap(name, lower, upper)


def patch_tokens(trained: LoadedRun) -> PatchTokens | None:
    """Where the patches of a run's vision transformer are; None where that is not known."""
    backbone = trained.backbone
    if backbone.patches is None:
        return None
    pooling = saved_config.section(trained.run.config(), "model").pooling
    reads_class = pooling == "cls" or (pooling == "auto" and backbone.has_class_token)
    return PatchTokens(backbone.patches.count, backbone.patches.leading, reads_class)


def feature_maps(model: keras.Model) -> dict[str, keras.KerasTensor]:
    """Tensors (B, h, w, D) that everything above is computed from, by their operation's name.

    From the lowest to the highest; the photos themselves, as they come and preprocessed, are none.
    """
    nodes = list(graph_nodes(model))
    last_use = {id(tensor): len(nodes) for tensor in model.outputs}
    for number, node in enumerate(nodes):
        for tensor in node.arguments.keras_tensors:
            last_use[id(tensor)] = max(number, last_use.get(id(tensor), 0))
    maps: dict[str, keras.KerasTensor] = {}
    live: set[int] = {id(tensor) for tensor in model.inputs}
    has_weights = False
    for number, node in enumerate(nodes):
        has_weights = has_weights or bool(getattr(node.operation, "weights", ()))
        live |= set(map(id, node.outputs))
        live = {tensor for tensor in live if last_use.get(tensor, -1) > number}
        (tensor, *others), shape = node.outputs, tuple(node.outputs[0].shape)
        is_map = len(shape) == 4 and None not in shape[1:] and min(shape[1:3]) > 1
        if is_map and has_weights and not others and live == {id(tensor)}:
            maps[node.operation.name] = tensor
    return maps


def chosen_layer(maps: dict[str, keras.KerasTensor]) -> str:
    """The last of some feature maps with at least `CELLS` a side; else the last of the largest."""
    sides = {name: min(tensor.shape[1:3]) for name, tensor in maps.items()}
    enough = min(CELLS, max(sides.values()))
    return [name for name, side in sides.items() if side >= enough][-1]


def blank(images: np.ndarray) -> np.ndarray:
    """Photos (N, S, S, 3) of one colour, the mean of each: they show nothing and are as bright."""
    means = np.asarray(images, np.float32).mean(axis=(1, 2), keepdims=True)
    return np.broadcast_to(means, images.shape)


def one_hot(targets: Sequence[int] | np.ndarray, width: int) -> Any:
    """(B,) positions as a tensor (B, K) of 0 and 1."""
    return ops.one_hot(ops.convert_to_tensor(np.asarray(targets, np.int32)), width)
