"""The scan before training beside a bare decode."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.measuring import interleaved, seconds, table
from benchmarks.photos import make_photos
from PIL import Image


def scan(options: argparse.Namespace, folder: Path) -> str:
    make_photos(folder / "photos", options.images, size=(224, 224))
    paths = sorted((folder / "photos").rglob("*.jpg"))
    contestants = {
        "fmkit": lambda: len(paths) / seconds(lambda: _inspected(folder / "photos", None)),
        "bare decode": lambda: len(paths) / seconds(lambda: _decoded_by_pillow(paths)),
        "known": _known_rate(folder, len(paths)),
    }
    figures = interleaved(contestants, options.repeats)
    return table("Scan before training", "photos/s", {f"{len(paths)} photos, 224 px": figures})


def _inspected(root: Path, cache: Path | None) -> None:
    from fmkit.config.schema.data import ImageFolderData
    from fmkit.data.quality import inspect

    inspect.inspect(ImageFolderData(root=str(root)), 0, cache)


def _known_rate(folder: Path, count: int) -> Callable[[], float]:
    _inspected(folder / "photos", folder / "known")
    return lambda: count / seconds(lambda: _inspected(folder / "photos", folder / "known"))


def _decoded_by_pillow(paths: Sequence[Path]) -> None:
    def decode(path: Path) -> None:
        with Image.open(path) as image:
            image.load()

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(decode, paths))
