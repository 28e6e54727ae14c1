"""Several backbones side by side as one, and one backbone applied to several inputs.

B batch, T tokens, D features of a tower.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
from keras import ops

from fmkit.core.errors import ConfigError, join_names, received
from fmkit.models import heads
from fmkit.models.backbone import Backbone, Block, check_blocks, fingerprint, repeated
from fmkit.models.keras_internals import run_graph


@dataclass(frozen=True)
class CompositeBackbone:
    """Towers that each read an input of their own; to training it is a backbone like any other.

    The layers are those of the towers, with the names and variable paths that they have alone, so
    that weights of a run of a single tower fit.

    Args:
        name: as messages call it.
        towers: by the name that its input gets.
        is_joined: one vector of all towers' pooled features, (B, sum of D); else each tower's own
            features, by name, and a head takes what it needs.
        pooling: how a tower's features become a vector, see `heads.pool`; one without weights.

    Attributes:
        model: Functional model from a mapping of inputs to the features.
        blocks: those of the towers in their order, each called `TOWER.BLOCK`.
        features: `vector`, or `by_name`.

    Raises:
        ConfigError: there are no two towers, or two layers have the same name.
    """

    name: str
    towers: Mapping[str, Backbone]
    is_joined: bool = True
    pooling: str = "auto"
    model: keras.Model = field(init=False, repr=False)
    blocks: tuple[Block, ...] = field(init=False, repr=False)

    has_class_token = False
    is_causal = False
    mask = None
    patches = None

    def __post_init__(self) -> None:
        subject = f"backbone {self.name}"
        if len(self.towers) < 2:
            raise ConfigError(received(f"{subject}, towers", list(self.towers), "2 or more"))
        # Keras refuses a model with two layers of one name, and checkpoints go by these names.
        shared = repeated(
            layer.name
            for tower in self.towers.values()
            for layer in tower.model.layers
            if not isinstance(layer, keras.layers.InputLayer)
        )
        if shared:
            raise ConfigError(
                f"{subject}: several towers have layers called {join_names(shared, 5)}; expected "
                "towers of different architectures."
            )
        # The input of an exported model is called as the tower is.
        towers = {name: with_own_input(tower, name) for name, tower in self.towers.items()}
        object.__setattr__(self, "towers", towers)
        inputs = {name: tower.model.input for name, tower in towers.items()}
        outputs: Any = {name: tower.model.output for name, tower in towers.items()}
        if self.is_joined:
            vectors = [heads.pool(tower, self.pooling, name) for name, tower in towers.items()]
            outputs = keras.layers.Concatenate(dtype="float32", name="joined_features")(vectors)
        model = keras.Model(inputs, outputs, name=self.name)
        blocks = tuple(
            Block(f"{name}.{block.name}", block.layers)
            for name, tower in towers.items()
            for block in tower.blocks
        )
        check_blocks(subject, model, blocks)
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "blocks", blocks)

    @property
    def features(self) -> str:
        """What `model` gives: `vector` or `by_name`."""
        return "vector" if self.is_joined else "by_name"

    @property
    def modality(self) -> str:
        """The modalities of the towers, such as `image+text`."""
        return "+".join(tower.modality for tower in self.towers.values())

    @property
    def preprocess(self) -> dict[str, tuple[keras.Layer, ...]]:
        """By tower, the layers ahead of its first weights."""
        return {name: tower.preprocess for name, tower in self.towers.items()}

    def fingerprint(self) -> str:
        """SHA-256 over the weights of all towers."""
        return fingerprint(self.blocks)


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

    So BatchNorm normalises all of them by the moments of the whole batch, of which its moving
    statistics are, too. Batches one by one would each be normalised by their own moments in
    training, and later by a mixture that none of them has.

    Args:
        backbone: of images.
        inputs: symbolic, (B_i, H, W, 3).
    """
    whole = keras.layers.Concatenate(axis=0, name="objectives_together")(list(inputs))
    features = run_graph(backbone.model, [whole])
    return [BatchRows(number)([features, *inputs]) for number in range(len(inputs))]


class BatchRows(keras.layers.Layer):
    """Those rows of a batch that one of the batches that it was made of had, by its number."""

    def __init__(self, number: int) -> None:
        super().__init__(name=f"head_rows{number}", autocast=False)
        self._number = number

    def call(self, inputs: Sequence[Any]) -> Any:
        """Rows of the first tensor, which was made of the others."""
        features, *parts = inputs
        *before, count = (ops.shape(part)[0] for part in parts[: self._number + 1])
        return features[sum(before) : sum(before) + count]

    def compute_output_spec(self, inputs: Sequence[Any]) -> Any:
        """As the features, of another number of rows."""
        return keras.KerasTensor((None, *inputs[0].shape[1:]), dtype=inputs[0].dtype)
