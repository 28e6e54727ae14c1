"""An epoch of the whole network beside a bare `fit`, and a step beside PyTorch's."""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.contestants import assembled, epoch_clock, new_run, plain_batches, plain_model
from benchmarks.measuring import BATCH, Contestants, interleaved, table
from benchmarks.photos import make_photos


def unfrozen(options: argparse.Namespace, folder: Path) -> str:
    make_photos(folder / "photos", options.images)
    rows = {}
    for model, side in (("efficientnet_lite0", 96), ("small_cnn", 32)):
        trial = UnfrozenEpoch(folder, model, side)
        contestants: Contestants = {
            "fmkit": trial.fmkit,
            "bare fit": trial.bare,
            "Keras' defaults": trial.defaults,
        }
        rows[f"{model}, {side} px"] = interleaved(contestants, options.repeats)
    return table(f"An unfrozen epoch of {options.images} photos", "s", rows)


class UnfrozenEpoch:
    """Median seconds of the epochs after the first, on one model after the other's manner."""

    epochs = 4

    def __init__(self, folder: Path, model: str, side: int) -> None:
        self._folder, self._side = folder, side
        self._words = [f"model={model}", f"model.image_size={side}", "stage=unfrozen"]
        self._words += [f"stage.full.epochs={self.epochs}"]

    def fmkit(self) -> float:
        from fmkit.train import loop

        self._assembly = assembled("finetune", self._folder / "photos", self._words)
        self._assembly.loader.prepare()
        run = new_run(self._folder)
        loop.train(self._assembly, run)
        rows = [json.loads(line) for line in (run.folder / "metrics.jsonl").open()]
        examples = len(self._assembly.splits["train"])
        return statistics.median(examples / row["examples_per_second"] for row in rows[1:])

    def bare(self) -> float:
        """The model as fmkit's loop has just compiled it."""
        assembly = self._assembly
        batches = assembly.loader.ordered(assembly.splits["train"])
        images, targets = (np.concatenate(each) for each in zip(*batches, strict=True))
        import tensorflow as tf

        steps = -(-len(images) // BATCH)
        shuffled = tf.data.Dataset.from_tensor_slices((images, targets)).shuffle(len(images))
        options = tf.data.Options()
        options.autotune.enabled = False  # the end of each epoch would wait for its thread
        endless = shuffled.batch(BATCH).repeat().prefetch(2).with_options(options)
        return self._fit(assembly.model, endless, steps_per_epoch=steps)

    def defaults(self) -> float:
        model = plain_model(self._assembly)
        return self._fit(model, plain_batches(self._folder / "photos" / "train", self._side))

    def _fit(self, model: Any, *data: Any, **settings: Any) -> float:
        clock = epoch_clock()
        model.fit(*data, epochs=self.epochs, verbose=0, callbacks=[clock], **settings)
        return statistics.median(clock.seconds[1:])


# --- beside PyTorch -----------------------------------------------------------------------------


def torch(options: argparse.Namespace, folder: Path) -> str:
    if importlib.util.find_spec("torchvision") is None:
        return "### A training step beside PyTorch's\n\nNot run: `pip install torch torchvision`.\n"
    make_photos(folder / "photos", 4 * BATCH)
    trial = UnfrozenStep(folder)
    np.savez(trial.batch, images=trial.images, targets=trial.targets)
    figures = interleaved({"fmkit": trial.fmkit, "PyTorch": trial.torch}, options.repeats)
    rows = {f"mobilenet_v2, {trial.side} px, {BATCH} photos": figures}
    return table("A training step beside PyTorch's", "s", rows)


class UnfrozenStep:
    """Median seconds of a step of the whole network after the first, images in memory.

    Both train torchvision's and Keras' MobileNetV2 with AdamW in float32; PyTorch eagerly and in
    its faster layout, channels last. BatchNorm trains in both.
    """

    side, steps = 224, 8

    def __init__(self, folder: Path) -> None:
        words = ["model=mobilenet_v2", "model.weights=none", f"model.image_size={self.side}"]
        words += ["stage=scratch", "stage.full.epochs=1", "data.augment=none"]
        self._assembly = assembled("finetune", folder / "photos", words)
        batches = self._assembly.loader.ordered(self._assembly.splits["train"])
        self.images, self.targets = next(iter(batches.as_numpy_iterator()))
        self.batch = folder / "batch.npz"

    def fmkit(self) -> float:
        """The step that the loop runs, as it compiles it."""
        from fmkit.train import freeze, phase_data

        assembly, phase = self._assembly, self._assembly.phases[0]
        freeze.apply(assembly.model, assembly.backbone, phase)
        whole = phase_data.PhaseInputs(assembly.model, lambda first, steps: None, None)
        phase_data.compile_for(assembly, phase, whole)
        images, targets = self.images, self.targets
        return _median(lambda: assembly.model.train_on_batch(images, targets), self.steps)

    def torch(self) -> float:
        words = [sys.executable, sys.argv[0], "torch-step", str(self.batch), str(self.steps)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        return float(done.stdout.splitlines()[-1])


def torch_step(batch: str, steps: str) -> None:
    """In a process of its own, since PyTorch and TensorFlow in one may crash: seconds of a step."""
    import torch
    import torchvision

    arrays = np.load(batch)
    model = torchvision.models.mobilenet_v2(num_classes=arrays["targets"].shape[-1])
    model = model.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=1e-4)
    images = torch.from_numpy(arrays["images"]).permute(0, 3, 1, 2) / 127.5 - 1
    images = images.contiguous(memory_format=torch.channels_last)
    targets = torch.from_numpy(arrays["targets"])

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(model(images), targets).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    print(_median(step, int(steps)))


def _median(step: Callable[[], Any], steps: int) -> float:
    step()
    taken = []
    for _ in range(steps):
        began = time.perf_counter()
        step()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)
