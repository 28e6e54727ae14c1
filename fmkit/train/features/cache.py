"""The cache of frozen features: what is frozen runs once, and the phase trains on its outputs.

A phase that trains only layers above a cut of the network gets the same features from below it in
every epoch, so its batches are read from stored features instead, in the order and with the targets
that the inputs would have come in. With `data.augment_views=K` epoch e shows view e mod K of each
photo, and all K are stored. The result is the same model; a test holds it.
"""

import hashlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fmkit.config import units
from fmkit.core.errors import plural
from fmkit.core.modalities import ModalityEntry
from fmkit.data.loaders.base import restore_order
from fmkit.data.loaders.feature_loader import FeatureLoader
from fmkit.store import array_cache
from fmkit.store.array_cache import ArrayCache, CachedArrays
from fmkit.train.assemble import Assembly
from fmkit.train.cache_store import open_store
from fmkit.train.features import cache_key, engine, graph_cut
from fmkit.train.features.engine import Engine
from fmkit.train.features.graph_cut import GraphSplit
from fmkit.train.phases import Phase

_MAX_VALUES = 2
"""Most numbers that an example's features may have for each number of its photo: larger features
cost more to read than a few low layers cost to run."""


@dataclass
class Features:
    """What a phase trains on instead of the inputs.

    Attributes:
        loader: batches of features, of every split that the phase needs.
        arrays: by split, the features of each view.
        record: what was computed and how, for the run's status.
    """

    graph_split: GraphSplit
    loader: FeatureLoader
    arrays: dict[str, list[CachedArrays]]
    record: dict[str, Any]


def prepare(
    assembly: Assembly, phase: Phase, on_batch: Callable[[int, int], None]
) -> Features | str:
    """A phase's features, computed now or before; or why there are none, as a phrase.

    The assembly is frozen for the phase. `on_batch` gets the batches done and those in all; it may
    raise. A DataError names all broken photos.
    """
    graph_split = find_split(assembly, phase)
    if isinstance(graph_split, str):
        return graph_split
    store = open_store(assembly.config.runtime)
    extraction = _Extraction(assembly, phase, graph_split, store, on_batch)
    try:
        arrays = {
            split: [extraction.arrays(split, view) for view in range(count)]
            for split, count in _views(assembly, phase).items()
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
    if any(None in shape for shape in graph_split.shapes):
        return "what is frozen gives more than a vector, and as much of it as a text has tokens"
    is_vector = all(len(shape) == 1 for shape in graph_split.shapes)
    side = assembly.backbone.image_size or 0
    if not is_vector and graph_split.row_values > _MAX_VALUES * 3 * side**2:
        return "so little of it is frozen that its features are larger than the photos"
    needed = _count_rows(assembly, phase) * graph_split.row_bytes(runtime.cache_dtype)
    if needed > units.parse_bytes(runtime.cache_limit, units.LIMIT):
        limit = f"runtime.cache_limit={runtime.cache_limit}"
        return f"features of {needed / 2**30:.1f} GiB would not fit {limit}"
    return graph_split


def _views(assembly: Assembly, phase: Phase) -> dict[str, int]:
    """Views of an example by the splits that a phase needs: that of the test in the last phase."""
    is_last = phase.refit_of or phase is assembly.phases[-1]
    splits = ["train", "val", *(["test"] if is_last else [])]
    views = {split: 1 for split in splits if len(assembly.splits.get(split, ()))}
    if assembly.loader.augmentation(phase.augment) is not None:
        views["train"] = assembly.loader.augment_views or 1
    return views


def _count_rows(assembly: Assembly, phase: Phase) -> int:
    """How many examples, each view counted, have features."""
    views = _views(assembly, phase)
    return sum(len(assembly.splits[split]) * count for split, count in views.items())


@dataclass
class _Extraction:
    """The passes over the data for one phase, and what came of them."""

    assembly: Assembly
    phase: Phase
    graph_split: GraphSplit
    store: ArrayCache
    on_batch: Callable[[int, int], None]
    engine: Engine | None = None
    seconds: float = 0.0
    computed: int = 0
    read: int = 0
    bytes: int = 0
    bytes_in_memory: int = 0
    network_facts: dict[str, Any] = field(default_factory=dict)
    digests: list[str] = field(default_factory=list)

    def arrays(self, split: str, view: int) -> CachedArrays:
        """The features of one split and view: from the cache, or computed while others wait."""
        assembly, preset = self.assembly, None
        augmentation = assembly.loader.augmentation(self.phase.augment)
        if split == "train" and augmentation is not None:
            preset = augmentation.preset
        if not self.network_facts:
            self.network_facts = cache_key.of_network(self.graph_split.lower)
        facts = self.network_facts | cache_key.of_examples(assembly, split, preset, view)
        key, count = array_cache.key_of(facts), len(assembly.splits[split])
        entry, lock, is_new = self.store.get_or_compute(
            key,
            compute=lambda: self._compute(split, view, key, facts),
            on_wait=lambda: self.on_batch(0, 1),
        )
        self.computed += count if is_new else 0
        self.read += 0 if is_new else count
        self.digests.extend(entry.digests)
        budget = units.parse_bytes(assembly.config.runtime.memory_budget)
        used = assembly.loader.memory_bytes + self.bytes_in_memory
        arrays = entry.arrays(max(0, budget - used), lock)
        self.bytes += entry.bytes
        self.bytes_in_memory += entry.bytes if arrays.in_memory else 0
        return arrays

    def record(self, arrays: dict[str, list[CachedArrays]]) -> dict[str, Any]:
        """What was computed and how."""
        chosen = self.engine
        return {
            "shapes": [list(shape) for shape in self.graph_split.shapes],
            "dtype": self.assembly.config.runtime.cache_dtype,
            "bytes": self.bytes,
            "computed": self.computed,
            "read": self.read,
            "seconds": round(self.seconds, 3),
            "engine": chosen.name if chosen else None,
            "reason": chosen.reason if chosen else None,
            "parity": chosen.parity if chosen else None,
            "in_memory": all(view.in_memory for views in arrays.values() for view in views),
            "sha256": hashlib.sha256("".join(self.digests).encode()).hexdigest(),
            "folder": str(self.store.folder),
        }

    def _compute(self, split: str, view: int, key: str, facts: dict[str, Any]) -> None:
        assembly, began = self.assembly, time.monotonic()
        runtime, indices = assembly.config.runtime, assembly.splits[split]
        self.store.make_room(len(indices) * self.graph_split.row_bytes(runtime.cache_dtype))
        augment = self.phase.augment if split == "train" else "none"
        order = assembly.loader.pass_order(indices)
        dataset = assembly.loader.augmented(indices[order], runtime.seed, view, augment)
        try:
            inputs = (batch[0] for batch in dataset.as_numpy_iterator())
            first = next(inputs)
            if self.engine is None:
                lower = self.graph_split.lower
                lower.jit_compile = assembly.devices.jit_compile()
                self.engine = engine.choose(
                    lower, runtime.extractor, assembly.devices.kind, first,
                    assembly.devices.precision, _count_rows(assembly, self.phase),
                )  # fmt: skip
            made = {
                "model": assembly.config.model.name,
                "data": assembly.config.data.name,
                "split": split,
                "engine": self.engine.name,
                "parity": self.engine.parity,
            }
            steps = assembly.loader.steps_per_epoch(len(indices))
            batches = self._run(self.engine, itertools.chain([first], inputs), steps)
            restored = restore_order(batches, order)
            self.store.write(key, facts, made, runtime.cache_dtype, restored)
        except Exception as error:
            if assembly.loader.data_error(error) is not None:
                assembly.loader.prepare(indices)  # reports all broken files, not the first alone
            raise
        self.seconds += time.monotonic() - began

    def _run(
        self, chosen: Engine, inputs: Iterator[np.ndarray], steps: int
    ) -> Iterator[Sequence[np.ndarray]]:
        def counted() -> Iterator[np.ndarray]:
            for number, batch in enumerate(inputs):
                self.on_batch(number, steps)
                yield batch

        yield from chosen.run_all(counted())


def _reader(
    arrays: dict[str, list[CachedArrays]], splits: dict[str, np.ndarray], examples: int
) -> Callable[[np.ndarray, int], list[np.ndarray]]:
    """From positions in the data set to their features in an epoch."""
    names = list(arrays)
    split_of = np.full(examples, -1, np.int8)
    row_of = np.zeros(examples, np.int64)
    for number, name in enumerate(names):
        split_of[splits[name]] = number
        row_of[splits[name]] = np.arange(len(splits[name]))

    def read_split(split: str, positions: np.ndarray, epoch: int) -> list[np.ndarray]:
        views = arrays[split]
        return views[epoch % len(views)].read(row_of[positions])

    def read(positions: np.ndarray, epoch: int) -> list[np.ndarray]:
        splits = split_of[positions]
        if (splits == splits[0]).all():
            return read_split(names[splits[0]], positions, epoch)
        features: list[np.ndarray] = []
        for number in np.unique(splits):
            rows = splits == number
            parts = read_split(names[number], positions[rows], epoch)
            features = features or [
                np.empty((len(positions), *part.shape[1:]), part.dtype) for part in parts
            ]
            for array, part in zip(features, parts, strict=True):
                array[rows] = part
        return features

    return read


def describe(record: dict[str, Any], modality: ModalityEntry) -> str:
    """A record of features in one line for people."""
    count = plural(record["computed"] + record["read"], modality.noun, modality.plural)
    width = " + ".join(" x ".join(f"{side:,}" for side in shape) for shape in record["shapes"])
    amount = f"{record['bytes'] / 2**20:.1f} MiB"
    where = "in memory" if record["in_memory"] else "read from disk as needed"
    source = "all from the cache"
    if record["computed"]:
        source = f"computed once in {record['seconds']:.1f} s by {record['engine']}"
        if record["read"]:
            source += f", {record['read']:,} from the cache"
    return f"features of {count}, {width} numbers each, {source} ({amount}, {where})"
