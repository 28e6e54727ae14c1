"""The frozen stage beside one forward pass and beside plain Keras."""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.contestants import assembled, epoch_clock, new_run, plain_batches, plain_model
from benchmarks.measuring import Contestants, Figures, interleaved, seconds, table
from benchmarks.photos import make_photos
from benchmarks.startup import first_row


def frozen(options: argparse.Namespace, folder: Path) -> str:
    make_photos(folder / "photos", options.images)
    trial = FrozenStage(folder, options.side)
    rows: dict[str, Figures] = {}
    for epochs in options.epochs:
        contestants: Contestants = {
            "fmkit": lambda epochs=epochs: trial.fmkit(epochs),
            "forward pass": trial.forward,
            "plain Keras": lambda epochs=epochs: trial.plain(epochs),
        }
        mark = f", plain Keras ~ from {trial.measured}" if epochs > trial.measured else ""
        rows[f"epochs: {epochs}{mark}"] = interleaved(contestants, options.repeats)
    again = statistics.median(trial.second_run() for _ in range(options.repeats))
    note = f"A second run over the same features: {again:.2f} s from start-up to its first step."
    title = f"The frozen stage on {options.images} photos, efficientnet_lite0, {trial.side} px"
    return table(title, "s", rows, note)


class FrozenStage:
    """Seconds of a head's training on a frozen backbone, from files; models are built before."""

    measured = 3

    def __init__(self, folder: Path, side: int) -> None:
        self._folder, self.side = folder, side

    def fmkit(self, epochs: int, cache: Path | None = None, log_every: int = 0) -> float:
        from fmkit.train import loop

        cache = cache or Path(tempfile.mkdtemp(dir=self._folder))
        assembly = self._assembled(epochs, cache, log_every)
        run = new_run(self._folder)
        return seconds(lambda: loop.train(assembly, run))

    def forward(self) -> float:
        """Decode and predict, all splits once."""
        assembly = self._assembled(1)
        batches = assembly.loader.ordered(np.arange(len(assembly.examples)))
        return seconds(lambda: assembly.model.predict(batches, verbose=0))

    def plain(self, epochs: int) -> float:
        assembly = self._assembled(1)
        for layer in (each for block in assembly.backbone.blocks for each in block.layers):
            layer.trainable = False
        model, clock = plain_model(assembly), epoch_clock()
        train, val = (
            plain_batches(self._folder / "photos" / split, self.side) for split in ("train", "val")
        )
        count = min(epochs, self.measured)
        model.fit(train, validation_data=val, epochs=count, verbose=0, callbacks=[clock])
        return sum(clock.seconds) + (epochs - count) * statistics.mean(clock.seconds[1:] or [0.0])

    def second_run(self) -> float:
        """From the stage's beginning to its first row, features cached by a run before."""
        from fmkit.train import loop

        cache = self._folder / "kept"
        if not cache.exists():
            self.fmkit(1, cache)
        assembly, run = self._assembled(1, cache, log_every=1), new_run(self._folder)
        began = time.perf_counter()
        with ThreadPoolExecutor(1) as pool:
            ended: list[bool] = []
            seen = pool.submit(first_row, run.folder, lambda: not ended)
            loop.train(assembly, run)
            ended.append(True)
            return seen.result() - began

    def _assembled(self, epochs: int, cache: Path | None = None, log_every: int = 0) -> Any:
        from fmkit.config.schema.runtime import RuntimeConfig

        words = [f"model.image_size={self.side}", f"stage.head.epochs={epochs}"]
        words.append("data.refit=false")  # its epochs would come on top: plain Keras has none
        words.append(f"runtime.log_every={log_every}")
        keys = {each.name for each in dataclasses.fields(RuntimeConfig)}
        if cache is not None and "cache_dir" in keys:
            words.append(f"runtime.cache_dir={cache}")
        return assembled("pretrain", self._folder / "photos", words)
