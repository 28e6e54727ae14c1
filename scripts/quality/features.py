"""The features that a head gets, through fmkit's own cache, for the peers to learn from.

N examples, D features, K labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


def save(words: Sequence[str], path: Path) -> None:
    """Write the features of a run with these settings as `.npz`.

    `x` and `y` are of the labelled examples, training and validation together, `x_test` and
    `y_test` of the test split.
    """
    from fmkit.core import files

    splits = of_splits(words)
    (x, y), (x_test, y_test) = (
        [np.concatenate(parts) for parts in zip(*(splits[name] for name in names), strict=True)]
        for names in (("train", "val"), ("test",))
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(path) as temporary:
        np.savez(temporary, x=x, y=y, x_test=x_test, y_test=y_test)


def of_splits(words: Sequence[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By split, the pooled features (N, D) float32 and the targets that a head would train on.

    Targets are class numbers (N,), numbers (N,), or 0 and 1 (N, K). They are computed and cached as
    those of `fmkit finetune` with these settings.
    """
    assembly, phase = _assemble([*words, "stage=frozen"])
    from fmkit.train import freeze
    from fmkit.train.features import cache, graph_cut

    freeze.apply(assembly.model, assembly.backbone, phase)
    graph_cut.freeze_inference(assembly.model)
    features = cache.prepare(assembly, phase, lambda done, total: None)
    if isinstance(features, str):
        raise RuntimeError(f"there are no features: {features}")
    targets = _targets(assembly.examples)
    return {
        split: (views[0].tensor(0), targets[assembly.splits[split]])
        for split, views in features.arrays.items()
    }


def _targets(examples: Any) -> np.ndarray:
    annotations = examples.annotations
    if annotations is None:
        return np.asarray(examples.labels)
    if annotations.kind == "numbers":
        return np.asarray(annotations.values[:, 0])
    return np.asarray(annotations.indicators, int)


def _assemble(words: Sequence[str]) -> tuple[Any, Any]:
    """The network, the data and the one phase of `fmkit finetune` with these settings."""
    from fmkit.commands import launch
    from fmkit.config.preflight import check
    from fmkit.data import dataset
    from fmkit.train import assemble, build_model, devices

    line, names = launch.read_line("finetune", words)
    config = check(line, names)
    seed = config.data.split_seed
    data = dataset.read(config.data, config.runtime.seed if seed is None else seed)
    machine = devices.prepare(config.runtime)
    config.model.image_size = build_model.image_size(config.model, data.examples)
    assembly = assemble.assemble(config, data, machine)
    return assembly, assembly.phases[0]
