"""One backbone applied to several inputs: every layer is the same object, in a graph of its own.

B batch, T tokens, D features.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from fmkit.models.backbone import Backbone
from fmkit.models.keras_internals import run_graph


def with_own_input(backbone: Backbone, name: str) -> Backbone:
    """The same layers, called again on another input: no weight is added.

    The graph is run layer by layer, and not called as one model, so that freezing, inference mode
    and learning rates still work layer by layer.

    Args:
        backbone: whose layers are shared.
        name: of the new input; unique in the network that the result becomes a part of.
    """
    first = backbone.model.input
    inputs = keras.Input(first.shape[1:], dtype=first.dtype, name=name)
    patches = backbone.patches
    # Its output; of texts also the mask, which is inside the model; of images those of the patches.
    tensors = {"features": backbone.model.output}
    if backbone.mask is not None:
        tensors["mask"] = backbone.mask
    if patches is not None:
        tensors |= {"tokens": patches.tokens, "encoded": patches.features}
    outputs = run_graph(keras.Model(first, tensors), [inputs])
    if patches is not None:
        patches = dataclasses.replace(
            patches, tokens=outputs["tokens"], features=outputs["encoded"]
        )
    return dataclasses.replace(
        backbone,
        model=keras.Model(inputs, outputs["features"], name=f"{backbone.model.name}_{name}"),
        mask=outputs.get("mask"),
        patches=patches,
    )


def run_as_one_batch(backbone: Backbone, inputs: Sequence[Any]) -> list[Any]:
    """Features of each of several inputs, which go through an image backbone as one batch.

    So BatchNorm is in training what it is later: it normalises all of them by the moments of the
    whole batch, and its moving statistics are of that mixture, too. Batches one by one would each
    be normalised by their own moments in training, and by a mixture of moments that none of them
    has later.

    Args:
        backbone: of images.
        inputs: symbolic, (B_i, H, W, 3).
    """
    whole = keras.layers.Concatenate(axis=0, name="objectives_together")(list(inputs))
    features = run_graph(backbone.model, [whole])
    return [BatchRows(number)([features, *inputs]) for number in range(len(inputs))]


class BatchRows(keras.layers.Layer):
    """Those rows of a batch that one of the batches that it was made of had.

    Args:
        number: which one.
    """

    def __init__(self, number: int) -> None:
        super().__init__(name=f"head_rows{number}", autocast=False)
        self._number = number

    def call(self, inputs: Sequence[Any]) -> Any:
        """BatchRows of the first tensor, which was made of the others."""
        features, *parts = inputs
        counts = [ops.shape(part)[0] for part in parts[: self._number + 1]]
        first = sum(counts[:-1])
        return features[first : first + counts[-1]]

    def compute_output_spec(self, inputs: Sequence[Any]) -> Any:
        """As the features, of another number of rows."""
        return keras.KerasTensor((None, *inputs[0].shape[1:]), dtype=inputs[0].dtype)
