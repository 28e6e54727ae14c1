"""Small real data, and the command line run in this process."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest
from PIL import Image

from fmkit.cli import main

QUICK = ["model=small_cnn", "stage=scratch", "stage.full.epochs=2", "data.batch_size=64"]
"""A model and a length that train in seconds."""


@pytest.fixture
def photos(tmp_path):
    """A folder of 3 classes of 16 coloured squares each, told apart by their colour."""
    return make_photos(tmp_path / "photos")


def make_photos(root: Path, classes=("blue", "green", "red"), count: int = 16) -> Path:
    colours = {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}
    noise = np.random.default_rng(0)
    for name in classes:
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.array(colours.get(name, (90, 90, 90))) + noise.normal(0, 25, (24, 30, 3))
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image.save(root / name / f"{number:02d}.png")
    return root


@pytest.fixture
def fmkit(tmp_path, monkeypatch, capsys):
    """Run a command line from an empty folder: returns (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = main(list(words))
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def only_run(root: Path, command: str = "finetune") -> Path:
    """The one run folder of a command."""
    (folder,) = (root / "runs" / command).iterdir()
    return folder
