"""The features that a head gets, through fmkit's own cache, for the peers to learn from.

N examples, D features, K labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

SPLITS = ("train", "val", "test")


def save(words: Sequence[str], path: Path) -> None:
    """Compute the features that a run with these settings would cache, and write them as `.npz`.

    `x` and `y` are of the labelled examples, `x_test` and `y_test` of the test split: pooled
    features (N, D) float32, and class numbers (N,), numbers (N,), or 0 and 1 (N, K).
    """
    from fmkit.core import files

    assembly, phase = _assemble([*words, "stage=frozen"])
    from fmkit.train import freeze
    from fmkit.train.features import cache, graph_cut

    freeze.apply(assembly.model, assembly.backbone, phase)
    graph_cut.freeze_inference(assembly.model)
    features = cache.prepare(assembly, phase, lambda done, total: None)
    if isinstance(features, str):
        raise RuntimeError(f"there are no features: {features}")
    x = {split: features.arrays[split][0].tensor(0) for split in SPLITS}
    y = {split: _targets(assembly.examples)[assembly.splits[split]] for split in SPLITS}
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(path) as temporary:
        np.savez(
            temporary,
            x=np.concatenate([x["train"], x["val"]]),
            y=np.concatenate([y["train"], y["val"]]),
            x_test=x["test"],
            y_test=y["test"],
        )


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
    data = dataset.read(config.data, config.runtime.seed)
    machine = devices.prepare(config.runtime)
    config.model.image_size = build_model.image_size(config.model, data.examples)
    assembly = assemble.assemble(config, data, machine)
    return assembly, assembly.phases[0]
