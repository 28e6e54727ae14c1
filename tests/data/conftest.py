"""Small data sets on disk, each with files that differ."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pictures import picture

from fmkit.data.content.images import ImageArray
from fmkit.data.examples import Examples, from_names


@pytest.fixture
def photos(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes class folders: photos(root, cats=5, dogs=4)."""

    def write(folder: str = "photos", **counts: int) -> Path:
        root = tmp_path / folder
        for number, (name, count) in enumerate(counts.items()):
            (root / name).mkdir(parents=True, exist_ok=True)
            for index in range(count):
                file = root / name / f"{Path(name).name}{index}.png"
                picture(100 * number + index).save(file)
        root.mkdir(parents=True, exist_ok=True)
        return root

    return write


@pytest.fixture
def rows() -> Callable[..., Examples]:
    """A function that makes examples in memory: rows(count, classes)."""

    def make(count: int, classes: int = 3, size: int = 12, **more: list[str]) -> Examples:
        pixels = np.stack([np.asarray(picture(index, (size, size))) for index in range(count)])
        names = [f"class{index % classes}" for index in range(count)]
        ids = [f"row-{index:06d}" for index in range(count)]
        return from_names(ids, names, ImageArray(pixels), **more)

    return make
