"""Photos to measure with: crops of scikit-learn's two sample photos."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("china", "flower")


def make_photos(root: Path, count: int, size: tuple[int, int] = (500, 375)) -> None:
    """JPEGs in root/train/CLASS and a quarter as many in root/val/CLASS."""
    from sklearn.datasets import load_sample_image

    draw = np.random.default_rng(0)
    originals = [Image.fromarray(load_sample_image(f"{name}.jpg")) for name in CLASSES]
    for split, number in (("train", count), ("val", max(2, count // 4))):
        for index in range(number):
            name = CLASSES[index % 2]
            left, top = int(draw.integers(0, 140)), int(draw.integers(0, 52))
            photo = originals[index % 2].resize(size, box=(left, top, left + 500, top + 375))
            path = root / split / name / f"{index:06d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            photo.save(path, quality=90)


def link_photos(root: Path, count: int) -> None:
    """`count` names of 64 small photos, at most 1,000 a class and two classes or more."""
    make_photos(root / ".photos", 64, size=(64, 48))
    photos = sorted((root / ".photos" / "train").rglob("*.jpg"))
    in_class = min(1000, count // 2)
    for index in range(count):
        folder = root / f"class-{index // in_class:03d}"
        folder.mkdir(exist_ok=True)
        os.link(photos[index % len(photos)], folder / f"{index:06d}.jpg")
