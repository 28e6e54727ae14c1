"""Runs of seconds through the real loop: a small net on synthetic images of 8 x 8 pixels."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

from fmkit.config.schema.commands import TrainConfig
from fmkit.config.schema.data import ImageData
from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.optimizer import AdamConfig
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.config.schema.stage import PhaseConfig
from fmkit.config.schema.task import ClassificationConfig
from fmkit.core import safe_io
from fmkit.data import splits
from fmkit.data.content.images import ImageArray
from fmkit.data.dataset import Dataset
from fmkit.data.examples import Examples
from fmkit.store.run_dir import RunWriter
from fmkit.train import assemble, devices, loop
from fmkit.train.checkpoints import checkpoint, variables

CLASSES = ("dark", "light", "middle")


def settings(stage=None, **changes) -> TrainConfig:
    """A config; `changes` are keys like `optimizer_ema` for `optimizer.ema`."""
    config = TrainConfig(
        model=ModelConfig(name="small_cnn", weights="none", image_size=8, dropout=0.0),
        data=ImageData(name="synthetic", batch_size=16, augment="none", flip="none"),
        optimizer=AdamConfig(name="adam", learning_rate=0.01, warmup="0%"),
        stage=stage or {"full": PhaseConfig(epochs="2", batchnorm="train")},
        task=ClassificationConfig(),
        runtime=RuntimeConfig(verbose=False, precision="float32"),
    )
    for key, value in changes.items():
        group, _, name = key.partition("_")
        setattr(config, group, dataclasses.replace(getattr(config, group), **{name: value}))
    return config


def images(count: int = 60, seed: int = 0) -> Examples:
    """Squares that are dark, middle or light, in equal numbers and with noise."""
    noise = np.random.default_rng(seed)
    labels = np.arange(count) % len(CLASSES)
    level = np.array([60, 190, 120])[labels]
    pixels = level[:, None, None, None] + noise.normal(0, 40, (count, 8, 8, 3))
    return Examples(
        ids=tuple(f"row-{each:04d}" for each in range(count)),
        labels=labels.astype(np.int32),
        classes=CLASSES,
        content=ImageArray(pixels.clip(0, 255).astype(np.uint8)),
        splits=np.where(np.arange(count) % 5 == 4, "val", "train"),
    )


def assembled(
    config: TrainConfig, examples: Examples | None = None, is_new: bool = True
) -> assemble.Assembly:
    """Everything a run needs; 60 images make 48 to train on, 3 steps of 16, and 12 to validate."""
    examples = images() if examples is None else examples
    found = splits.make_splits(examples, config.data.val_fraction, 0.0, 0)
    data = Dataset(examples, found, splits.describe(examples, found))
    return assemble.assemble(config, data, devices.prepare(config.runtime), is_new=is_new)


def folder(parent: Path, name: str = "run") -> RunWriter:
    """A run folder to train in."""
    (parent / name).mkdir(parents=True)
    run = RunWriter(parent / name, "finetune")
    run.update()
    return run


@dataclasses.dataclass
class Trained:
    """What a run left behind."""

    assembly: assemble.Assembly
    run: RunWriter
    phases: list[loop.PhaseResult]

    @property
    def rows(self) -> list[dict]:
        return list(safe_io.read_json_lines(self.run.folder / "metrics.jsonl"))

    @property
    def status(self) -> dict:
        return json.loads((self.run.folder / "status.json").read_text())

    @property
    def weights(self) -> dict[str, np.ndarray]:
        return variables.arrays(self.assembly.model.variables)

    def saved(self, step: int | None = None) -> dict[str, np.ndarray]:
        """The weights of a checkpoint, the newest unless a step is named."""
        return checkpoint.read_weights(checkpoint.best_or_newest(self.run.checkpoints, step))


def train(parent: Path, config: TrainConfig, examples: Examples | None = None) -> Trained:
    """Train to the end."""
    assembly, run = assembled(config, examples), folder(parent)
    return Trained(assembly, run, loop.train(assembly, run))
