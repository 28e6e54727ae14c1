"""The frozen-feature cache: what is below the cut runs once, the phase trains on what it gave.

A phase that trains only layers above a cut gets the same features from below it in every epoch, so
its batches are cut out of stored features instead, in the order and with the targets that the
images would have come in. With `data.augment_views=K` epoch e shows view e mod K of each photo, and
all K are stored. The result is the same model; a test holds it.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.config import units
from fmkit.data.loaders.feature_loader import FeatureLoader
from fmkit.store import array_cache
from fmkit.store.array_cache import CachedArrays, FeatureStore
from fmkit.train.assemble import Assembly
from fmkit.train.features import cache_key, graph_cut
from fmkit.train.features import engine as extract
from fmkit.train.features.graph_cut import GraphSplit
from fmkit.train.phases import Phase

_MAX_VALUES = 2
"""Most numbers that an example's features may have for each number of its photo: what is larger
costs more to read than a few low layers cost to run."""

Tick = Callable[[int, int], None]
"""Told (batches done, batches in all) of a pass, and asked whether to go on: it may raise."""


@dataclass
class Features:
    """What a phase trains on instead of images.

    Attributes:
        cut: the network in two parts.
        loader: batches of features, for every split that was asked for.
        record: what was computed and how, for the run's status.
    """

    cut: GraphSplit
    loader: FeatureLoader
    arrays: dict[str, list[CachedArrays]]
    record: dict[str, Any]

    def matrix(self, split: str) -> np.ndarray:
        """A split's features of one vector an example, (N, D), in the split's order."""
        (rows,) = self.arrays[split][0].read(np.arange(self.arrays[split][0].rows))
        return rows


@dataclass
class _Pass:
    """The passes over the data for one phase: which, and what is already there."""

    assembly: Assembly
    phase: Phase
    cut: GraphSplit
    tick: Tick
    engine: extract.Engine | None = None
    seconds: float = 0.0
    computed: int = 0
    read: int = 0
    bytes: int = 0
    held: int = 0
    network: dict[str, Any] = field(default_factory=dict)
    digests: list[str] = field(default_factory=list)


def find_cut(assembly: Assembly, phase: Phase) -> GraphSplit | str:
    """The cut of a phase that is frozen and settled, or why its features cannot be cached."""
    runtime, loader = assembly.config.runtime, assembly.loader
    if runtime.cache == "never":
        return "runtime.cache=never"
    if assembly.parts:
        return "several objectives share it, each with batches of its own at every step"
    cut = graph_cut.find(assembly.learner)
    if isinstance(cut, str):
        return cut
    if loader.has_random_inputs:
        return "the task draws what it shows of a photo anew at every step"
    if loader.mixes_examples(phase.augment):
        return "MixUp and CutMix make new photos of every batch"
    if loader.augments(phase.augment) and loader.augment_views is None:
        return (
            f"augmentation shows new photos in every epoch (stage.{phase.name}.augment=none or "
            "data.augment_views=4 would not)"
        )
    if any(None in shape for shape in cut.shapes):
        return "what is frozen gives more than a vector, and as much of it as a text has tokens"
    is_vector = all(len(shape) == 1 for shape in cut.shapes)
    side = assembly.backbone.image_size or 0
    if not is_vector and cut.row_values > _MAX_VALUES * 3 * side**2:
        return "so little of it is frozen that its features are larger than the photos"
    needed = _bytes_needed(assembly, phase, cut)
    limit = units.parse_bytes(runtime.cache_limit, units.LIMIT)
    if needed > limit:
        return (
            f"features of {needed / 2**30:.1f} GiB would not fit runtime.cache_limit="
            f"{runtime.cache_limit}"
        )
    return cut


def splits_of(assembly: Assembly, phase: Phase) -> list[str]:
    """The splits whose features a phase needs: the test's only after the last one."""
    wanted = ["train", "val"]
    if phase is assembly.phases[-1]:
        wanted.append("test")
    return [name for name in wanted if len(assembly.splits.get(name, ()))]


def _views(assembly: Assembly, phase: Phase, split: str) -> int:
    if split != "train" or not assembly.loader.augments(phase.augment):
        return 1
    return assembly.loader.augment_views or 1


def _bytes_needed(assembly: Assembly, phase: Phase, cut: GraphSplit) -> int:
    rows = sum(
        len(assembly.splits[split]) * _views(assembly, phase, split)
        for split in splits_of(assembly, phase)
    )
    return rows * cut.row_values * np.dtype(assembly.config.runtime.cache_dtype).itemsize


def prepare(assembly: Assembly, phase: Phase, tick: Tick) -> Features | str:
    """A phase's features, computed now or before; or why there are none.

    Args:
        assembly: frozen for the phase.
        phase: the phase.
        tick: called between batches.

    Raises:
        DataError: photos are broken.
    """
    cut = find_cut(assembly, phase)
    if isinstance(cut, str):
        return cut
    runtime = assembly.config.runtime
    root = Path(runtime.cache_dir) if runtime.cache_dir else array_cache.default_folder()
    limit = units.parse_bytes(runtime.cache_limit, units.LIMIT)
    store, work = FeatureStore(root, limit), _Pass(assembly, phase, cut, tick)
    try:
        arrays = {
            split: [
                _arrays(work, store, split, view) for view in range(_views(assembly, phase, split))
            ]
            for split in splits_of(assembly, phase)
        }
    except OSError as error:
        return f"the cache {store.folder} cannot be written ({error.strerror or error})"
    loader = FeatureLoader(
        _reader(arrays, assembly.splits, len(assembly.examples)),
        cut.shapes,
        assembly.task.targets(assembly.examples),
        make_order=assembly.loader.order,
        batch_size=assembly.config.data.batch_size,
        num_classes=assembly.task.num_classes,
        class_weights=assembly.task.class_weights,
    )
    return Features(cut, loader, arrays, _record(work, store, arrays))


def _record(
    work: _Pass, store: FeatureStore, arrays: dict[str, list[CachedArrays]]
) -> dict[str, Any]:
    kept = all(each.in_memory for views in arrays.values() for each in views)
    return {
        "shapes": [list(shape) for shape in work.cut.shapes],
        "dtype": work.assembly.config.runtime.cache_dtype,
        "bytes": work.bytes,
        "computed": work.computed,
        "read": work.read,
        "seconds": round(work.seconds, 3),
        "engine": work.engine.name if work.engine else None,
        "reason": work.engine.reason if work.engine else None,
        "parity": work.engine.parity if work.engine else None,
        "in_memory": kept,
        "sha256": hashlib.sha256("".join(work.digests).encode()).hexdigest(),
        "folder": str(store.folder),
    }


def described(record: dict[str, Any]) -> str:
    """A record in one line for people."""
    width = " + ".join("x".join(str(side) for side in shape) for shape in record["shapes"])
    amount = f"{record['bytes'] / 2**20:.1f} MiB"
    where = "in memory" if record["in_memory"] else "read from disk as needed"
    if not record["computed"]:
        return f"{record['read']} of {width} from the cache ({amount}, {where})"
    return (
        f"{record['computed']} of {width} computed once by {record['engine']} in "
        f"{record['seconds']:.1f} s, {record['read']} from the cache ({amount}, {where})"
    )


def _arrays(work: _Pass, store: FeatureStore, split: str, view: int) -> CachedArrays:
    """The features of one split and view: from the cache, or computed while others wait."""
    facts = _facts(work, split, view)
    key, count = array_cache.key_of(facts), len(work.assembly.splits[split])

    entry, lock, computed = store.obtain(
        key,
        make=lambda: _compute(work, store, split, view, key, facts),
        waiting=lambda: work.tick(0, 1),
    )
    work.computed += count if computed else 0
    work.read += 0 if computed else count
    work.digests.extend(entry.digests)
    arrays = entry.arrays(_budget(work), lock)
    work.bytes += entry.bytes
    work.held += entry.bytes if arrays.in_memory else 0
    return arrays


def _compute(
    work: _Pass, store: FeatureStore, split: str, view: int, key: str, facts: dict[str, Any]
) -> None:
    assembly, began = work.assembly, time.monotonic()
    indices = assembly.splits[split]
    dtype = assembly.config.runtime.cache_dtype
    store.make_room(len(indices) * work.cut.row_values * np.dtype(dtype).itemsize)
    dataset = assembly.loader.augmented(
        indices, assembly.config.runtime.seed, view,
        work.phase.augment if split == "train" else "none",
    )  # fmt: skip
    try:
        images = (batch[0] for batch in dataset.as_numpy_iterator())
        first = next(images)
        if work.engine is None:
            work.engine = _engine(work, first)
        made = {
            "model": assembly.config.model.name,
            "data": assembly.config.data.name,
            "split": split,
            "engine": work.engine.name,
            "parity": work.engine.parity,
        }
        batches = _run(work, itertools.chain([first], images), len(indices))
        store.write(key, facts, made, dtype, batches)
    except Exception as error:
        if assembly.loader.data_error(error) is not None:
            assembly.loader.prepare(indices)  # tells of all broken files, not of the first alone
        raise
    work.seconds += time.monotonic() - began


def _engine(work: _Pass, first: np.ndarray) -> extract.Engine:
    assembly = work.assembly
    work.cut.lower.jit_compile = assembly.devices.jit_compile()
    missing = sum(
        len(assembly.splits[split]) * _views(assembly, work.phase, split)
        for split in splits_of(assembly, work.phase)
    )
    return extract.choose(
        work.cut.lower, assembly.config.runtime.extractor, assembly.devices.kind, first,
        assembly.devices.precision, missing,
    )  # fmt: skip


def _run(work: _Pass, images: Iterator[np.ndarray], count: int) -> Iterator[Sequence[np.ndarray]]:
    steps = work.assembly.loader.steps_per_epoch(count)
    if work.engine is None:
        raise RuntimeError("no engine was chosen")
    for number, batch in enumerate(images):
        work.tick(number, steps)
        yield work.engine.run(batch)


def _budget(work: _Pass) -> int:
    """What is left of the memory budget beside what the loader keeps."""
    whole = units.parse_bytes(work.assembly.config.runtime.memory_budget)
    return max(0, whole - work.assembly.loader.memory_bytes - work.held)


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


def _facts(work: _Pass, split: str, view: int) -> dict[str, Any]:
    """Everything that the features of one split and view depend on."""
    assembly = work.assembly
    preset = None
    if split == "train" and assembly.loader.augments(work.phase.augment):
        preset = assembly.loader.augment_preset(work.phase.augment)
    work.network = work.network or cache_key.of_network(work.cut.lower)
    return work.network | cache_key.of_examples(assembly, split, preset, view)
