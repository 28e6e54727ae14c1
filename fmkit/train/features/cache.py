"""The cache of frozen features: what is frozen runs once, and the phase trains on its outputs.

A phase that trains only layers above a cut of the network gets the same features from below it in
every epoch, so its batches are read from stored features instead, in the order and with the targets
that the inputs would have come in. With `data.augment_views=K` epoch e shows view e mod K of each
photo, and all K are stored. The result is the same model; a test holds it.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmkit.config import units
from fmkit.data.loaders.feature_loader import FeatureLoader
from fmkit.store import array_cache
from fmkit.store.array_cache import ArrayCache, CachedArrays
from fmkit.train.assemble import Assembly
from fmkit.train.cache_store import open_store
from fmkit.train.features import cache_key, engine, graph_cut
from fmkit.train.features.graph_cut import GraphSplit
from fmkit.train.phases import Phase

_MAX_VALUES = 2
"""Most numbers that an example's features may have for each number of its photo: larger features
cost more to read than a few low layers cost to run."""

OnBatch = Callable[[int, int], None]
"""Called with (batches done, batches in all) of a pass; it may raise to end it."""


@dataclass
class Features:
    """What a phase trains on instead of the inputs.

    Attributes:
        graph_split: the network in two parts.
        loader: batches of features, of every split that the phase needs.
        arrays: by split, the features of each view.
        record: what was computed and how, for the run's status.
    """

    graph_split: GraphSplit
    loader: FeatureLoader
    arrays: dict[str, list[CachedArrays]]
    record: dict[str, Any]

    def matrix(self, split: str) -> np.ndarray:
        """A split's features of one vector an example, (N, D), in the split's order."""
        (rows,) = self.arrays[split][0].read(np.arange(self.arrays[split][0].rows))
        return rows


def prepare(assembly: Assembly, phase: Phase, on_batch: OnBatch) -> Features | str:
    """A phase's features, computed now or before; or why there are none, as a phrase.

    Args:
        assembly: frozen for the phase.
        phase: the phase.
        on_batch: called between batches.

    Raises:
        DataError: photos are broken.
    """
    graph_split = find_split(assembly, phase)
    if isinstance(graph_split, str):
        return graph_split
    store = open_store(assembly.config.runtime)
    extraction = _Extraction(assembly, phase, graph_split, store, on_batch)
    try:
        arrays = {
            split: [
                extraction.arrays(split, view) for view in range(_views(assembly, phase, split))
            ]
            for split in splits_of(assembly, phase)
        }
    except OSError as error:
        return f"the cache {store.folder} cannot be written ({error.strerror or error})"
    loader = FeatureLoader(
        _reader(arrays, assembly.splits, len(assembly.examples)),
        graph_split.shapes,
        assembly.task.targets(assembly.examples),
        make_order=assembly.loader.order,
        batch_size=assembly.config.data.batch_size,
        num_classes=assembly.task.num_classes,
        class_weights=assembly.task.class_weights,
    )
    return Features(graph_split, loader, arrays, extraction.record(arrays))


def find_split(assembly: Assembly, phase: Phase) -> GraphSplit | str:
    """The network in a frozen part and the rest, or why its features cannot be cached."""
    runtime, loader = assembly.config.runtime, assembly.loader
    if runtime.cache == "never":
        return "runtime.cache=never"
    if assembly.objectives:
        return "several objectives share it, each with batches of its own at every step"
    graph_split = graph_cut.find_split(assembly.model)
    if isinstance(graph_split, str):
        return graph_split
    if loader.has_random_inputs:
        return "the task samples what it shows of a photo anew at every step"
    augmentation = loader.augmentation(phase.augment)
    if augmentation is not None and augmentation.mixes_targets:
        return "MixUp and CutMix make new photos of every batch"
    if augmentation is not None and loader.augment_views is None:
        return (
            f"augmentation shows new photos in every epoch (stage.{phase.name}.augment=none or "
            "data.augment_views=4 would not)"
        )
    return _size_problem(assembly, phase, graph_split) or graph_split


def _size_problem(assembly: Assembly, phase: Phase, graph_split: GraphSplit) -> str:
    """Why features are too large to be cached; empty when they are not."""
    if any(None in shape for shape in graph_split.shapes):
        return "what is frozen gives more than a vector, and as much of it as a text has tokens"
    is_vector = all(len(shape) == 1 for shape in graph_split.shapes)
    side = assembly.backbone.image_size or 0
    if not is_vector and graph_split.row_values > _MAX_VALUES * 3 * side**2:
        return "so little of it is frozen that its features are larger than the photos"
    runtime = assembly.config.runtime
    needed = _count_rows(assembly, phase) * graph_split.row_bytes(runtime.cache_dtype)
    if needed > units.parse_bytes(runtime.cache_limit, units.LIMIT):
        return (
            f"features of {needed / 2**30:.1f} GiB would not fit runtime.cache_limit="
            f"{runtime.cache_limit}"
        )
    return ""


def splits_of(assembly: Assembly, phase: Phase) -> list[str]:
    """The splits whose features a phase needs: those of the test only in the last one."""
    splits = ["train", "val"]
    if phase is assembly.phases[-1]:
        splits.append("test")
    return [split for split in splits if len(assembly.splits.get(split, ()))]


def _views(assembly: Assembly, phase: Phase, split: str) -> int:
    if split != "train" or assembly.loader.augmentation(phase.augment) is None:
        return 1
    return assembly.loader.augment_views or 1


def _count_rows(assembly: Assembly, phase: Phase) -> int:
    """How many examples, each view counted, have features."""
    return sum(
        len(assembly.splits[split]) * _views(assembly, phase, split)
        for split in splits_of(assembly, phase)
    )


class _Extraction:
    """The passes over the data for one phase, and what came of them."""

    def __init__(
        self,
        assembly: Assembly,
        phase: Phase,
        graph_split: GraphSplit,
        store: ArrayCache,
        on_batch: OnBatch,
    ) -> None:
        self._assembly, self._phase, self._graph_split = assembly, phase, graph_split
        self._store, self._on_batch = store, on_batch
        self._engine: engine.Engine | None = None
        self._seconds = 0.0
        self._computed = self._read = self._bytes = self._bytes_in_memory = 0
        self._network_facts: dict[str, Any] = {}
        self._digests: list[str] = []

    def arrays(self, split: str, view: int) -> CachedArrays:
        """The features of one split and view: from the cache, or computed while others wait."""
        facts = self._facts(split, view)
        key, count = array_cache.key_of(facts), len(self._assembly.splits[split])
        entry, lock, is_new = self._store.get_or_compute(
            key,
            compute=lambda: self._compute(split, view, key, facts),
            on_wait=lambda: self._on_batch(0, 1),
        )
        self._computed += count if is_new else 0
        self._read += 0 if is_new else count
        self._digests.extend(entry.digests)
        arrays = entry.arrays(self._memory_left(), lock)
        self._bytes += entry.bytes
        self._bytes_in_memory += entry.bytes if arrays.in_memory else 0
        return arrays

    def record(self, arrays: dict[str, list[CachedArrays]]) -> dict[str, Any]:
        """What was computed and how."""
        chosen = self._engine
        return {
            "shapes": [list(shape) for shape in self._graph_split.shapes],
            "dtype": self._assembly.config.runtime.cache_dtype,
            "bytes": self._bytes,
            "computed": self._computed,
            "read": self._read,
            "seconds": round(self._seconds, 3),
            "engine": chosen.name if chosen else None,
            "reason": chosen.reason if chosen else None,
            "parity": chosen.parity if chosen else None,
            "in_memory": all(view.in_memory for views in arrays.values() for view in views),
            "sha256": hashlib.sha256("".join(self._digests).encode()).hexdigest(),
            "folder": str(self._store.folder),
        }

    def _facts(self, split: str, view: int) -> dict[str, Any]:
        """Everything that the features of one split and view depend on."""
        assembly, preset = self._assembly, None
        augmentation = assembly.loader.augmentation(self._phase.augment)
        if split == "train" and augmentation is not None:
            preset = augmentation.preset
        if not self._network_facts:
            self._network_facts = cache_key.of_network(self._graph_split.lower)
        return self._network_facts | cache_key.of_examples(assembly, split, preset, view)

    def _compute(self, split: str, view: int, key: str, facts: dict[str, Any]) -> None:
        assembly, began = self._assembly, time.monotonic()
        runtime, indices = assembly.config.runtime, assembly.splits[split]
        self._store.make_room(len(indices) * self._graph_split.row_bytes(runtime.cache_dtype))
        augment = self._phase.augment if split == "train" else "none"
        dataset = assembly.loader.augmented(indices, runtime.seed, view, augment)
        try:
            images = (batch[0] for batch in dataset.as_numpy_iterator())
            first = next(images)
            if self._engine is None:
                self._engine = self._choose_engine(first)
            made = {
                "model": assembly.config.model.name,
                "data": assembly.config.data.name,
                "split": split,
                "engine": self._engine.name,
                "parity": self._engine.parity,
            }
            batches = self._run(self._engine, itertools.chain([first], images), len(indices))
            self._store.write(key, facts, made, runtime.cache_dtype, batches)
        except Exception as error:
            if assembly.loader.data_error(error) is not None:
                assembly.loader.prepare(indices)  # reports all broken files, not the first alone
            raise
        self._seconds += time.monotonic() - began

    def _choose_engine(self, first_batch: np.ndarray) -> engine.Engine:
        assembly, lower = self._assembly, self._graph_split.lower
        lower.jit_compile = assembly.devices.jit_compile()
        return engine.choose(
            lower, assembly.config.runtime.extractor, assembly.devices.kind, first_batch,
            assembly.devices.precision, _count_rows(assembly, self._phase),
        )  # fmt: skip

    def _run(
        self, chosen: engine.Engine, images: Iterator[np.ndarray], count: int
    ) -> Iterator[Sequence[np.ndarray]]:
        steps = self._assembly.loader.steps_per_epoch(count)
        for number, batch in enumerate(images):
            self._on_batch(number, steps)
            yield chosen.run(batch)

    def _memory_left(self) -> int:
        """What is left of the memory budget besides what the loader keeps."""
        budget = units.parse_bytes(self._assembly.config.runtime.memory_budget)
        return max(0, budget - self._assembly.loader.memory_bytes - self._bytes_in_memory)


def _reader(
    arrays: dict[str, list[CachedArrays]], splits: dict[str, np.ndarray], examples: int
) -> Callable[[np.ndarray, int], list[np.ndarray]]:
    """From positions in the data set, all of one split, to their features in an epoch."""
    names = list(arrays)
    split_of = np.full(examples, -1, np.int8)
    row_of = np.zeros(examples, np.int64)
    for number, name in enumerate(names):
        split_of[splits[name]] = number
        row_of[splits[name]] = np.arange(len(splits[name]))

    def read(positions: np.ndarray, epoch: int) -> list[np.ndarray]:
        views = arrays[names[split_of[positions[0]]]]
        return views[epoch % len(views)].read(row_of[positions])

    return read


def describe(record: dict[str, Any]) -> str:
    """A record of features in one line for people."""
    width = " + ".join("x".join(str(side) for side in shape) for shape in record["shapes"])
    amount = f"{record['bytes'] / 2**20:.1f} MiB"
    where = "in memory" if record["in_memory"] else "read from disk as needed"
    if not record["computed"]:
        return f"{record['read']} of {width} from the cache ({amount}, {where})"
    return (
        f"{record['computed']} of {width} computed once by {record['engine']} in "
        f"{record['seconds']:.1f} s, {record['read']} from the cache ({amount}, {where})"
    )
