"""The input pipeline alone, and the memory of listing and loading."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from benchmarks.measuring import BATCH, interleaved, seconds, table
from benchmarks.photos import link_photos, make_photos


def pipeline(options: argparse.Namespace, folder: Path) -> str:
    make_photos(folder / "photos", options.images)
    contestants = {
        "fmkit": _loader_rate(folder / "photos"),
        "bare decode": _decode_rate(folder / "photos"),
        "ImageDataGenerator": _generator_rate(folder / "photos" / "train"),
    }
    figures = interleaved(contestants, options.repeats)
    speed = table("Input pipeline", "images/s", {f"{options.images} photos, 224 px": figures})
    return speed + "\n" + _memory_table(options, folder)


def _loader_rate(root: Path) -> Callable[[], float]:
    from fmkit.config.schema.data import ImageFolderData
    from fmkit.data import dataset
    from fmkit.data.loaders.image_loader import ImageLoader

    data = dataset.read(ImageFolderData(root=str(root)), 0)
    indices = data.splits["train"]
    loader = ImageLoader(
        data.examples,
        data.examples.labels,
        image_size=224,
        batch_size=BATCH,
        memory_budget_bytes=0,
    )
    epochs = 4  # a phase's batches are one data set, made once
    steps = epochs * loader.steps_per_epoch(len(indices))

    def train() -> None:
        for _ in loader.train(indices, seed=0, steps=steps):
            pass

    return lambda: epochs * len(indices) / seconds(train)


def _decode_rate(root: Path) -> Callable[[], float]:
    from fmkit.data.images.decode import decode

    paths = sorted(str(each) for each in (root / "train").rglob("*.jpg"))
    np.random.default_rng(0).shuffle(paths)
    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))

    def epoch() -> None:
        for _ in pool.map(lambda path: decode(path, 224, "squash"), paths):
            pass

    return lambda: len(paths) / seconds(epoch)


def _generator_rate(root: Path) -> Callable[[], float]:
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    with contextlib.redirect_stdout(sys.stderr):
        batches = ImageDataGenerator().flow_from_directory(str(root), target_size=(224, 224))

    def epoch() -> None:
        batches.reset()
        for _ in range(len(batches)):
            next(batches)

    return lambda: batches.n / seconds(epoch)


def _memory_table(options: argparse.Namespace, folder: Path) -> str:
    counts = [options.files // 10, options.files]
    grown = {}
    for count in counts:
        link_photos(folder / f"files-{count}", count)
        words = [sys.executable, sys.argv[0], "memory-of", str(folder / f"files-{count}")]
        done = subprocess.run([*words, str(counts[0])], capture_output=True, text=True, check=True)
        grown[count] = json.loads(done.stdout.splitlines()[-1])
    lines = [
        "### Memory of listing and loading",
        "",
        "| files | listing, MiB | with an epoch, MiB |",
    ]
    lines.append("|---|---|---|")
    for count, (listed, loaded) in grown.items():
        lines.append(f"| {count:,} | {listed / 2**20:.1f} | {loaded / 2**20:.1f} |")
    more = counts[1] - counts[0]
    each = [(grown[counts[1]][at] - grown[counts[0]][at]) / more for at in (0, 1)]
    lines += ["", f"Growth of peak memory by one file more: {each[0]:.0f} bytes for the listing, "]
    lines[-1] += f"{each[1]:.0f} with loading {counts[0]:,} images of 32 px in training order."
    return "\n".join(lines) + "\n"


def memory_of(root: str, images: str) -> None:
    """In a process of its own: bytes that peak memory grows by listing, and by loading as well."""
    import tensorflow as tf

    from fmkit.config.schema.data import ImageFolderData
    from fmkit.data import dataset
    from fmkit.data.loaders.image_loader import ImageLoader

    list(tf.data.Dataset.range(4).map(lambda each: each + 1))  # threads and pools count for neither
    before = _peak()
    data = dataset.read(ImageFolderData(root=root), 0)
    listed = _peak() - before
    loader = ImageLoader(
        data.examples, data.examples.labels, image_size=32, batch_size=BATCH, memory_budget_bytes=0
    )
    for _ in loader.train(data.splits["train"], seed=0, steps=int(images) // BATCH):
        pass
    print(json.dumps([listed, _peak() - before]))


def _peak() -> int:
    """This program's; getrusage's would begin with that of the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) * 1024  # type: ignore[union-attr]
