"""What tests of whole runs share: a quick model, and a folder of photos."""

from pathlib import Path

import numpy as np
from PIL import Image

QUICK = ["model=small_cnn", "stage=scratch", "stage.full.epochs=2", "data.batch_size=64"]
"""A model and a length that train in seconds."""


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


def make_examples(root: Path) -> None:
    """The `photos` and `reviews.csv` that help, README and guide name in command lines."""
    for kind in ("cat", "dog"):
        (root / "photos" / kind).mkdir(parents=True)
        (root / "photos" / kind / "1.jpg").touch()
    rows = "".join(f"it was a {word} film,{word}\n" for word in ("good", "bad") * 4)
    (root / "reviews.csv").write_text(f"text,label\n{rows}")


def only_run(root: Path, command: str = "finetune") -> Path:
    """The one run folder of a command."""
    (folder,) = (root / "runs" / command).iterdir()
    return folder
