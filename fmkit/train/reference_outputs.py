"""What a network says of each example before it has learned anything: computed once, and kept.

Preference tuning compares with it at every step (`fmkit.tasks.language.dpo`). It lies in the cache
beside features, under everything that it depends on, so that second and resumed runs find it.
The weights are always those of the start: a run that goes on is assembled with them, and what its
checkpoint has comes later.

N examples, K outputs of the network.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fmkit.config import registry as rows
from fmkit.config import units
from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.config.schema.task import TaskConfig
from fmkit.core import console, files
from fmkit.core.errors import NonFiniteError
from fmkit.models.backbone import Backbone
from fmkit.models.heads import HEAD_PREFIXES
from fmkit.store import array_cache
from fmkit.store.array_cache import FeatureStore
from fmkit.train.devices import Devices, versions

_VERSION = 1
"""Part of every key: to be raised when the same facts would give other outputs."""

_SILENCE = 10.0  # seconds between two words on how far it is


def is_needed(config: TaskConfig) -> bool:
    """Whether a task compares with the outputs of the network as it was at the start."""
    task = rows.load(rows.task_entry(config.name).task)
    return bool(getattr(task, "needs_reference", False))


def fingerprint(backbone: Backbone, network: keras.Model) -> str:
    """SHA-256 of the weights of a network, backbone and head."""
    digest = hashlib.sha256(backbone.fingerprint().encode())
    for layer in network.layers:
        if layer.name.startswith(HEAD_PREFIXES):
            for weight in layer.weights:
                value = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
                digest.update(f"{value.dtype.name} {list(value.shape)}\n".encode())
                digest.update(value.tobytes())
    return digest.hexdigest()


@dataclass
class Reference:
    """The outputs of one network for parts of a data set.

    Attributes:
        weights: fingerprint of the network.
        model: which model it is.
        data: the data's name, for the list of what is in the cache.
        batch_size: examples at once; sums of floats depend on it in their last bits.
        runtime: where the cache is, and whether it is used.
        machine: the devices.
        task: name of the task.
        plugins: the plugin file, which the model may come from.
        computed: examples that a network was asked about.
        read: examples that the cache had.
        seconds: time of the former.
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
    seconds: float = field(default=0.0)

    def of_splits(
        self, loader: Any, splits: Mapping[str, np.ndarray], count: int, network: Network
    ) -> np.ndarray:
        """Outputs (N, K) float32, from the cache or computed now; NaN of what is in no split.

        Args:
            loader: of the data.
            splits: by split's name, positions in it.
            count: N.
            network: gives the network; asked only if the cache lacks something.

        Raises:
            NonFiniteError: the network gives numbers that are none.
        """
        rows = {name: self._of(loader, name, at, network) for name, at in splits.items() if len(at)}
        width = next(iter(rows.values())).shape[1]
        found = np.full((count, width), np.nan, np.float32)
        for name, values in rows.items():
            found[splits[name]] = values
        return found

    def record(self) -> dict[str, Any]:
        """What was computed and how, for the record."""
        return {
            "weights": self.weights, "computed": self.computed, "read": self.read,
            "seconds": round(self.seconds, 3),
        }  # fmt: skip

    def described(self) -> str:
        """The same in one line for people."""
        told = f"{self.read:,} from the cache"
        if self.computed:
            told = f"{self.computed:,} computed in {self.seconds:.1f} s, {told}"
        return f"reference: what the model says of each example at the start: {told}"

    def _of(self, loader: Any, split: str, indices: np.ndarray, network: Network) -> np.ndarray:
        if self.runtime.cache == "never":
            return self._compute(loader, split, indices, network)
        root = (
            Path(self.runtime.cache_dir) if self.runtime.cache_dir else array_cache.default_folder()
        )
        store = FeatureStore(root, units.parse_bytes(self.runtime.cache_limit, units.LIMIT))
        facts = self._facts(loader, indices)
        key = array_cache.key_of(facts)

        def make() -> None:
            values = self._compute(loader, split, indices, network)
            store.make_room(values.nbytes)
            made = {"model": self.model.name, "data": self.data, "split": split, "engine": "keras"}
            store.write(key, facts, made, "float32", iter([[values]]))

        try:
            entry, lock, computed = store.obtain(key, make=make, waiting=lambda: None)
        except OSError as error:
            console.warning(
                f"the cache {store.folder} cannot be written ({error.strerror or error}): what the "
                "model says at the start is computed again by whoever needs it."
            )
            return self._compute(loader, split, indices, network)
        self.read += 0 if computed else len(indices)
        return entry.arrays(2**62, lock).whole(0)

    def _compute(
        self, loader: Any, split: str, indices: np.ndarray, network: Network
    ) -> np.ndarray:
        model, began = network(), time.monotonic()
        told = _Told(split, loader.steps_per_epoch(len(indices)), self.runtime.verbose)
        found = model.predict(loader.ordered(indices), verbose=0, callbacks=[told])
        values = np.asarray(found, np.float32)
        bad = int((~np.isfinite(values)).any(axis=1).sum())
        if bad:
            raise NonFiniteError(
                f"the model at the start gives numbers that are not finite for {bad:,} of "
                f"{len(values):,} examples of {split}.",
                "runtime.precision=float32 has more room than half precision.",
            )
        self.computed += len(indices)
        self.seconds += time.monotonic() - began
        return values

    def _facts(self, loader: Any, indices: np.ndarray) -> dict[str, Any]:
        plugins = None if self.plugins is None else Path(self.plugins)
        if plugins is not None and not plugins.is_file():  # it was when the run was trained
            plugins = None
        return {
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
            "plugins": None if plugins is None else files.sha256_file(plugins),
        }


Network = Callable[[], keras.Model]
"""The network as it is at the start."""


class _Told(keras.callbacks.Callback):
    """Says now and then how far a pass is."""

    def __init__(self, split: str, steps: int, verbose: bool) -> None:
        super().__init__()
        self._split, self._steps, self._verbose = split, steps, verbose
        self._at = time.monotonic()

    def on_predict_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Perhaps say it."""
        if self._verbose and time.monotonic() >= self._at + _SILENCE:
            self._at = time.monotonic()
            share = (batch + 1) / max(1, self._steps)
            console.info(f"reference: the model at the start has seen {share:.0%} of {self._split}")
