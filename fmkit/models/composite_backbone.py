"""Several backbones side by side as one: an image and a text tower, for example.

B batch, D features of a tower.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from fmkit.core.errors import ConfigError, join_names, received
from fmkit.models import heads
from fmkit.models.backbone import Backbone, Block, check_blocks, fingerprint
from fmkit.models.shared_backbone import with_own_input

JOIN_LAYER = "joined_features"


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
        self._check_names(subject)
        # The input of an exported model is called as the tower is.
        towers = {name: with_own_input(tower, name) for name, tower in self.towers.items()}
        object.__setattr__(self, "towers", towers)
        inputs = {name: tower.model.input for name, tower in self.towers.items()}
        outputs: Any = {name: tower.model.output for name, tower in self.towers.items()}
        if self.is_joined:
            vectors = [
                heads.pool(tower, self.pooling, prefix=name) for name, tower in self.towers.items()
            ]
            outputs = keras.layers.Concatenate(dtype="float32", name=JOIN_LAYER)(vectors)
        model = keras.Model(inputs, outputs, name=self.name)
        blocks = tuple(
            Block(f"{name}.{block.name}", block.layers)
            for name, tower in self.towers.items()
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

    def _check_names(self, subject: str) -> None:
        # Keras refuses a model with two layers of one name, and checkpoints go by these names.
        names = [
            layer.name
            for tower in self.towers.values()
            for layer in tower.model.layers
            if not isinstance(layer, keras.layers.InputLayer)
        ]
        shared = sorted({name for name in names if names.count(name) > 1})
        if shared:
            raise ConfigError(
                f"{subject}: several towers have layers called {join_names(shared, 5)}; expected "
                "towers of different architectures."
            )
