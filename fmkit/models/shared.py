"""One backbone read through several inputs: every layer is the same object, in a graph of its own.

B batch, T tokens, D features.
"""

from __future__ import annotations

import dataclasses

import keras

from fmkit.models.backbone import Backbone


def with_own_input(backbone: Backbone, name: str) -> Backbone:
    """The same layers, called again on another input: no weight is added.

    The graph is walked node by node, and not called as one model, so that what freezes, settles and
    is given a rate layer by layer goes on to be.

    Args:
        backbone: whose layers are shared.
        name: of the new input, for the layers' sake; unique in the network that is to be.
    """
    first = backbone.model.input
    inputs = keras.Input(first.shape[1:], dtype=first.dtype, name=name)
    ends = [backbone.model.output, *([] if backbone.mask is None else [backbone.mask])]
    # Its own output and, of a text, the mask, which lies inside the model.
    graph = keras.Model(first, ends)
    found = graph._run_through_graph([inputs])
    features, *masks = found if isinstance(found, list | tuple) else [found]
    return dataclasses.replace(
        backbone,
        model=keras.Model(inputs, features, name=f"{backbone.model.name}_{name}"),
        mask=masks[0] if masks else None,
    )
