"""Reference-model outputs, computed once and cached: those of the network before it trains.

Preference tuning compares with them at every step (`fmkit.tasks.language.dpo`). They are cached
like features, under everything that they depend on, so that second and resumed runs find them. The
weights are always those of the start: a resumed run is assembled with them, and those of its
checkpoint are restored later.

N examples, K outputs of the network.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.core import console, files
from fmkit.core.errors import NonFiniteError
from fmkit.core.throttle import Throttle
from fmkit.models.backbone import Backbone
from fmkit.models.heads import HEAD_PREFIXES
from fmkit.store import array_cache
from fmkit.train.cache_store import open_store
from fmkit.train.checkpoints import variables
from fmkit.train.devices import Devices, versions

_VERSION = 1
"""Part of every key: to be raised when the same facts would give other outputs."""

_SECONDS_PER_MESSAGE = 10.0

Network = Callable[[], keras.Model]


def fingerprint(backbone: Backbone, network: keras.Model) -> str:
    """SHA-256 of the weights of a network, backbone and head."""
    head = [layer for layer in network.layers if layer.name.startswith(HEAD_PREFIXES)]
    head_weights = [weight for layer in head for weight in layer.weights]
    return variables.sha256(head_weights, backbone.fingerprint().encode())


@dataclass
class Reference:
    """The outputs of one network for parts of a data set.

    Attributes:
        weights: fingerprint of the network.
        data: the data's name, for the list of what is cached.
        batch_size: examples of a batch; sums of floats depend on it in their last bits.
        plugins: the plugin file, which the model may come from.
        computed: examples that the network was run on.
        read: examples that were in the cache.
        seconds: time that the former took.
    """

    weights: str
    model: ModelConfig
    data: str
    batch_size: int
    runtime: RuntimeConfig
    machine: Devices
    task: str
    plugins: str | None = None
    computed: int = 0
    read: int = 0
    seconds: float = 0.0

    def of_splits(
        self, loader: Any, splits: Mapping[str, np.ndarray], count: int, network: Network
    ) -> np.ndarray:
        """Outputs (N, K) float32, from the cache or computed now; NaN for examples in no split.

        Args:
            splits: positions in the data set by the split's name.
            count: N.
            network: gives the network; called only if the cache lacks something.

        Raises:
            NonFiniteError: an output is NaN or infinite.
        """
        outputs = np.empty((0, 0), np.float32)
        for name, positions in splits.items():
            if len(positions):
                values = self._of_split(loader, name, positions, network)
                if not len(outputs):
                    outputs = np.full((count, values.shape[1]), np.nan, np.float32)
                outputs[positions] = values
        return outputs

    def record(self) -> dict[str, Any]:
        """What was computed and how, for the record."""
        return {
            "weights": self.weights, "computed": self.computed, "read": self.read,
            "seconds": round(self.seconds, 3),
        }  # fmt: skip

    def describe(self) -> str:
        """The same in one line for people."""
        counts = f"{self.read:,} from the cache"
        if self.computed:
            counts = f"{self.computed:,} computed in {self.seconds:.1f} s, {counts}"
        return f"reference: outputs of the model at the start: {counts}"

    def _of_split(
        self, loader: Any, split: str, indices: np.ndarray, network: Network
    ) -> np.ndarray:
        if self.runtime.cache == "never":
            return self._compute(loader, split, indices, network)
        store = open_store(self.runtime)
        plugins = Path(self.plugins or "")  # it may have been removed since the run was trained
        facts = {
            "reference": _VERSION,
            "task": self.task,
            "weights": self.weights,
            "model": [self.model.name, self.model.preset],
            **loader.cache_facts(indices),
            "batch_size": self.batch_size,
            "precision": self.machine.precision,
            "device": self.machine.kind,
            "backend": keras.backend.backend(),
            "packages": versions(),
            "plugins": files.sha256_file(plugins) if plugins.is_file() else None,
        }
        key = array_cache.key_of(facts)

        def make() -> None:
            values = self._compute(loader, split, indices, network)
            store.make_room(values.nbytes)
            made = {"model": self.model.name, "data": self.data, "split": split, "engine": "keras"}
            store.write(key, facts, made, "float32", iter([[values]]))

        try:
            entry, lock, computed = store.get_or_compute(key, compute=make, on_wait=lambda: None)
        except OSError as error:
            console.warning(
                f"the cache {store.folder} cannot be written ({error.strerror or error}): the "
                "reference outputs will be computed again by every run that needs them."
            )
            return self._compute(loader, split, indices, network)
        self.read += 0 if computed else len(indices)
        return entry.arrays(2**62, lock).tensor(0)

    def _compute(
        self, loader: Any, split: str, indices: np.ndarray, network: Network
    ) -> np.ndarray:
        model, began = network(), time.monotonic()
        throttle, steps = Throttle(_SECONDS_PER_MESSAGE), loader.steps_per_epoch(len(indices))

        def report(batch: int, logs: Any) -> None:
            if self.runtime.verbose and throttle.is_due():
                share = (batch + 1) / max(1, steps)
                console.info(f"reference: the model at the start has seen {share:.0%} of {split}")

        callback = keras.callbacks.LambdaCallback(on_predict_batch_end=report)
        outputs = model.predict(loader.ordered(indices), verbose=0, callbacks=[callback])
        values = np.asarray(outputs, np.float32)
        nonfinite = int((~np.isfinite(values)).any(axis=1).sum())
        if nonfinite:
            raise NonFiniteError(
                f"the outputs of the model at the start are NaN or infinite for {nonfinite:,} of "
                f"{len(values):,} examples of {split}.",
                "runtime.precision=float32 has a wider range than half precision.",
            )
        self.computed += len(indices)
        self.seconds += time.monotonic() - began
        return values
