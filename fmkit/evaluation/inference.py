"""Runs a trained network over examples once: texts by length, in an engine where that pays.

N examples, B batch, K numbers in an output of the network.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from fmkit.train.features import engine as engines
from fmkit.train.features.engine import Engine


@dataclass
class Inference:
    """A network, and what runs it.

    Attributes:
        model: gives vectors (B, K), or several of them; its weights must stay as they are.
        extractor: `runtime.extractor`.
        kind: `cpu` or `gpu`.
        precision: Keras' name of the dtype policy.
        engine: what ran it last; None before the first time.
        others: outputs of the last pass after the first one.
    """

    model: keras.Model
    extractor: str = "keras"
    kind: str = "cpu"
    precision: str = "float32"
    engine: Engine | None = field(default=None, init=False)
    others: list[np.ndarray] = field(default_factory=list, init=False)

    @property
    def record(self) -> dict[str, Any]:
        """What ran the network and why, for JSON; `parity` is None for Keras."""
        if self.engine is None:
            reason = engines.why_keras(self.extractor, self.kind, self.precision)
            reason = reason or "the task needs more than a vector for each example"
            return {"name": "keras", "reason": reason, "parity": None}
        return {
            "name": self.engine.name, "reason": self.engine.reason, "parity": self.engine.parity
        }  # fmt: skip

    def choose(self, first_batch: np.ndarray, count: int) -> Engine:
        """The engine for a pass over `count` examples; one that was exported before stays.

        Raises:
            ConfigError: `extractor` is `openvino`, and that is not installed, or cannot compute in
                this precision.
            ArtifactError: likewise, and it cannot run the model, or disagrees with Keras.
        """
        if self.engine is None and count <= len(first_batch) and self.extractor != "openvino":
            self.engine = Engine("keras", "one batch", None, self._run_once)
        elif self.engine is None or self.engine.parity is None:
            network = self.model
            if not engines.why_keras(self.extractor, self.kind, self.precision):
                network = keras.Model(self.model.inputs, self.model.outputs)  # without a task
            self.engine = engines.choose(
                network, self.extractor, self.kind, first_batch, self.precision, count
            )
        return self.engine

    def _run_once(self, batch: np.ndarray) -> list[np.ndarray]:
        """Outputs for one batch, not traced: that takes longer than one batch, but for a second."""
        outputs = keras.tree.flatten(self.model(batch, training=False))
        return [np.asarray(output) for output in outputs]

    def outputs(
        self, loader: Any, indices: np.ndarray, callbacks: Sequence[Any] = (), once: bool = False
    ) -> np.ndarray:
        """The first of `all_outputs`, (N, K); the arguments are the same."""
        return self.all_outputs(loader, indices, callbacks, once)[0]

    def all_outputs(
        self, loader: Any, indices: np.ndarray, callbacks: Sequence[Any] = (), once: bool = False
    ) -> list[np.ndarray]:
        """Each output of the network, (N, K), for the examples of a loader at `indices`, in that
        order.

        Args:
            loader: batches of inputs and targets.
            indices: positions of the examples, (N,).
            callbacks: of Keras, called with each batch.
            once: the network is likely not to be run again, so that one batch is not traced.
        """
        order = loader.pass_order(indices)
        batches = loader.ordered(np.asarray(indices)[order])
        arrays = []
        for rows in self._rows(batches, len(order), callbacks, once):
            arrays.append(np.empty_like(rows))
            arrays[-1][order] = rows
        self.others = arrays[1:]
        return arrays

    def _rows(
        self, batches: Any, count: int, callbacks: Sequence[Any], once: bool
    ) -> list[np.ndarray]:
        """Each output for the examples of some batches."""
        may_export = not engines.why_keras(self.extractor, self.kind, self.precision)
        if (may_export or once) and len(self.model.inputs) == 1 and count:
            inputs = (batch[0] for batch in batches.as_numpy_iterator())
            first = next(inputs)
            chosen = self.choose(first, count)
            if chosen.parity is not None or (once and len(first) == count):
                rows = []
                outputs = chosen.run_all(itertools.chain([first], inputs))
                for number, batch_rows in enumerate(outputs):
                    rows.append(batch_rows)
                    for callback in callbacks:
                        callback.on_predict_batch_end(number)
                return [np.concatenate(parts) for parts in zip(*rows, strict=True)]
        outputs = self.model.predict(batches, verbose=0, callbacks=[*callbacks])
        return [np.asarray(output) for output in keras.tree.flatten(outputs)]
