"""A training step under each setting of TensorFlow on this device, each in a process of its own."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.contestants import assembled
from benchmarks.measuring import BATCH, interleaved, table
from benchmarks.photos import make_photos

NETWORKS = (("efficientnet_lite0", 96), ("small_cnn", 32))

SETTINGS: dict[str, tuple[dict[str, str], list[str]]] = {
    "fmkit": ({}, []),
    "1 intra-op thread": ({"TF_NUM_INTRAOP_THREADS": "1"}, []),
    "8 intra-op threads": ({"TF_NUM_INTRAOP_THREADS": "8"}, []),
    "1 inter-op thread": ({"TF_NUM_INTEROP_THREADS": "1"}, []),
    "no oneDNN": ({"TF_ENABLE_ONEDNN_OPTS": "0"}, []),
    "bfloat16": ({}, ["runtime.precision=mixed_bfloat16"]),
    "XLA": ({}, ["runtime.jit=true"]),
}
"""Variables of the environment and words of the command, by name; `fmkit` has the defaults."""


def settings(options: argparse.Namespace, folder: Path) -> str:
    make_photos(folder / "photos", 2 * BATCH)

    def contestant(name: str, network: list[str]) -> Callable[[], float]:
        variables, words = SETTINGS[name]
        command = [sys.executable, sys.argv[0], "step-under", str(folder / "photos")]

        def measure() -> float:
            done = subprocess.run(
                [*command, *network, *words],
                capture_output=True,
                text=True,
                check=True,
                env={**os.environ, **variables},
            )
            return float(done.stdout.splitlines()[-1])

        return measure

    rows = {}
    for model, side in NETWORKS:
        network = [f"model={model}", f"model.image_size={side}", "stage=unfrozen"]
        contestants = {name: contestant(name, network) for name in SETTINGS}
        rows[f"{model}, {side} px"] = interleaved(contestants, options.repeats)
    return table("A training step by setting", "s", rows)


def step_under(root: str, *words: str) -> None:
    """In a process of its own: the shortest step of a network, disturbed least by other work."""
    print(_shortest_step(assembled("finetune", Path(root), words)))


def _shortest_step(assembly: Any, steps: int = 40) -> float:
    from fmkit.train import freeze, phase_data

    phase = assembly.phases[0]
    freeze.apply(assembly.model, assembly.backbone, phase)
    whole = phase_data.PhaseInputs(assembly.model, lambda first, steps: None, None)
    phase_data.compile_for(assembly, phase, whole)
    images, targets = next(iter(assembly.loader.ordered(assembly.splits["train"])))
    images, targets = np.asarray(images), np.asarray(targets)
    taken = []
    for _ in range(steps):
        began = time.perf_counter()
        assembly.model.train_on_batch(images, targets)
        taken.append(time.perf_counter() - began)
    return min(taken)
