"""How fast fmkit is beside the limit and beside plain Keras, measured in one run.

    python scripts/bench.py [SECTION ...] [--repeats N] [--images N]

scan      Photos a second, 224 px JPEGs: all that fmkit looks at before it trains, nothing known
          beforehand; a bare decode of the same files by Pillow, a thread a core; the scan again,
          when every file is known.
pipeline  Images a second, files to batches of 224 px, training order, nothing kept in memory:
          fmkit's loader; bare parallel decode (the same decoder, a thread a core, no batches: the
          limit); Keras' legacy ImageDataGenerator.flow_from_directory at its defaults, which does
          not antialias. Then the growth of peak memory by listing and loading 10,000 and 100,000
          files, a process each, from /proc: Linux only.
unfrozen  Seconds of a training epoch, validation and the first, tracing epoch left out: fmkit's
          loop; plain `fit` of the same compiled model on the same images in memory (the limit);
          image_dataset_from_directory and `fit` at Keras' defaults, same net, from files.
startup   Wall seconds of `fmkit --help`, of a config error, of `fmkit runs` with 1,000 runs, and
          from process start to the first training step, beside the imports alone (the limit).
frozen    Seconds of 1, 10 and 100 epochs of the head on a frozen backbone, validation after each:
          `fmkit pretrain`'s stage, an empty feature cache at first; one forward pass over the
          files (the limit); image_dataset_from_directory and `fit` of the frozen model at Keras'
          defaults, extrapolated (~) from three epochs. Then a second run over the same features.

What is compared runs in turns, A B C A B C; each figure is the median over the repeats, and a ratio
is the median of the ratios within a repeat. Photos are crops of scikit-learn's two sample photos.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.util
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as the command line sets it

CLASSES = ("china", "flower")
BATCH = 32
FMKIT = [sys.executable, "-m", "fmkit.cli"]
Contestants = dict[str, Callable[[], float]]
Figures = dict[str, list[float]]


# --- measuring and telling ----------------------------------------------------------------------


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def interleaved(contestants: Contestants, repeats: int) -> Figures:
    """What each contestant returns, in turns, so that a slow minute of the machine hits all."""
    figures: Figures = {name: [] for name in contestants}
    for number in range(repeats):
        for name, measure in contestants.items():
            figures[name].append(measure())
            print(f"  {number + 1}/{repeats} {name}: {figures[name][-1]:.3f}", file=sys.stderr)
    return figures


def table(title: str, unit: str, rows: dict[str, Figures], limits: str = "") -> str:
    """Rows of medians and of fmkit's ratio to each other column, as Markdown."""
    others = [name for name in next(iter(rows.values())) if name != "fmkit"]
    head = ["", f"fmkit, {unit}", *others, *(f"fmkit / {name}" for name in others)]
    lines = [f"### {title}", "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row, figures in rows.items():
        medians = [_short(statistics.median(figures[name])) for name in ("fmkit", *others)]
        ratios = [f"{ratio(figures, name):.3g}" for name in others]
        lines.append("| " + " | ".join([row, *medians, *ratios]) + " |")
    return "\n".join([*lines, "", limits]).rstrip() + "\n"


def ratio(figures: Figures, other: str) -> float:
    """The median over the repeats of fmkit's figure to another's."""
    pairs = zip(figures["fmkit"], figures[other], strict=True)
    return statistics.median(ours / theirs for ours, theirs in pairs)


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


# --- photos -------------------------------------------------------------------------------------


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


# --- scan ---------------------------------------------------------------------------------------


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
    from fmkit.config.schema import ImageFolderData
    from fmkit.data import inspection

    inspection.inspect(ImageFolderData(root=str(root)), 0, cache)


def _known_rate(folder: Path, count: int) -> Callable[[], float]:
    _inspected(folder / "photos", folder / "known")
    return lambda: count / seconds(lambda: _inspected(folder / "photos", folder / "known"))


def _decoded_by_pillow(paths: Sequence[Path]) -> None:
    def decode(path: Path) -> None:
        with Image.open(path) as image:
            image.load()

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(decode, paths))


# --- pipeline -----------------------------------------------------------------------------------


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
    from fmkit.config.schema import ImageFolderData
    from fmkit.data import dataset
    from fmkit.data.pipeline import ImageLoader

    data = dataset.read(ImageFolderData(root=str(root)), 0)
    indices = data.splits["train"]
    loader = ImageLoader(
        data.examples,
        data.examples.labels,
        image_size=224,
        batch_size=BATCH,
        memory_budget_bytes=0,
    )
    steps = loader.steps_per_epoch(len(indices))

    def epoch() -> None:
        for _ in loader.train(indices, seed=0, steps=steps):
            pass

    return lambda: len(indices) / seconds(epoch)


def _decode_rate(root: Path) -> Callable[[], float]:
    from fmkit.data.decode import decode

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
        words = [sys.executable, __file__, "memory-of", str(folder / f"files-{count}")]
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

    from fmkit.config.schema import ImageFolderData
    from fmkit.data import dataset
    from fmkit.data.pipeline import ImageLoader

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


# --- unfrozen -----------------------------------------------------------------------------------


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
        return self._fit(assembly.learner, images, targets, batch_size=BATCH)

    def defaults(self) -> float:
        model = plain_model(self._assembly)
        return self._fit(model, plain_batches(self._folder / "photos" / "train", self._side))

    def _fit(self, model: Any, *data: Any, **settings: Any) -> float:
        clock = epoch_clock()
        model.fit(*data, epochs=self.epochs, verbose=0, callbacks=[clock], **settings)
        return statistics.median(clock.seconds[1:])


def assembled(command: str, root: Path, words: Sequence[str]) -> Any:
    """What `fmkit COMMAND` would train on the photos under a folder, not augmented."""
    from fmkit.config import command_line
    from fmkit.config.check import check
    from fmkit.data import dataset
    from fmkit.data import table as data_table
    from fmkit.models import table as model_table
    from fmkit.tasks import table as task_table
    from fmkit.train import assemble, devices

    names = {
        "model.name": model_table.names(),
        "data.name": data_table.names(),
        "task.name": task_table.names(),
    }
    fixed = ["data=image_folder", f"data.root={root}", "data.augment=none"]
    fixed += [f"data.batch_size={BATCH}", "runtime.verbose=false"]
    config = check(command_line.parse(command, [*fixed, *words]), names)
    data = dataset.read(config.data, 0)
    return assemble.assemble(config, data, devices.prepare(config.runtime))


def new_run(folder: Path) -> Any:
    from fmkit.store.run import Run, claim

    run = Run(claim(folder / "runs", "finetune"), "finetune")
    run.update()
    return run


def plain_model(assembly: Any) -> Any:
    """The same net, trainable as it is now, compiled as a tutorial does."""
    import keras

    model = keras.Model(assembly.learner.inputs, assembly.learner.outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    return model


def plain_batches(root: Path, side: int) -> Any:
    import keras

    with contextlib.redirect_stdout(sys.stderr):
        return keras.utils.image_dataset_from_directory(str(root), image_size=(side, side))


def epoch_clock() -> Any:
    """A callback whose `seconds` are those of each epoch, validation included."""
    import keras

    class Clock(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            self.seconds: list[float] = []

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self._began = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.seconds.append(time.perf_counter() - self._began)

    return Clock()


# --- start-up -----------------------------------------------------------------------------------


def startup(options: argparse.Namespace, folder: Path) -> str:
    make_runs(folder / "runs", 1000)
    bare = [sys.executable, "-c", "import hydra, numpy, rich"]
    imports = [sys.executable, "-c", "import tensorflow, keras"]
    compared = {
        "fmkit --help": (_wall([*FMKIT, "--help"], folder), _wall(bare, folder)),
        "a config error": (_wall([*FMKIT, "finetune", "optt.lr=1"], folder), _wall(bare, folder)),
        "fmkit runs, 1,000 runs": (_wall([*FMKIT, "runs"], folder), _wall(bare, folder)),
        "to the first step": (lambda: _first_step(folder), _wall(imports, folder)),
    }
    rows = {
        name: interleaved({"fmkit": ours, "imports alone": limit}, options.repeats)
        for name, (ours, limit) in compared.items()
    }
    note = "Imports: Hydra, NumPy and rich; for the first step TensorFlow and Keras."
    return table("Start-up", "s", rows, note)


def make_runs(root: Path, count: int) -> None:
    """Folders of finished runs, as `fmkit runs` reads them."""
    for number in range(count):
        minute = f"{number // 60:02d}:{number % 60:02d}"
        folder = root / "finetune" / f"2026-01-01_{minute.replace(':', '')}00-{number:06x}"
        folder.mkdir(parents=True)
        status = {
            "state": "done", "command": "finetune", "started": f"2026-01-01T{minute}:00+00:00",
            "seconds": 60.0, "model": "small_cnn", "data": "digits", "stage": "head+full",
            "phase": "full", "epoch": 4, "step": 400, "test": {"n": 100, "accuracy": 0.9},
        }  # fmt: skip
        (folder / "status.json").write_text(json.dumps(status))


def _wall(words: list[str], folder: Path) -> Callable[[], float]:
    def run() -> None:
        subprocess.run(words, cwd=folder, env=_environment(), capture_output=True, check=False)

    return lambda: seconds(run)


def _environment() -> dict[str, str]:
    """This process's, with the fmkit that it uses itself."""
    root = Path(importlib.util.find_spec("fmkit").origin).parent.parent  # type: ignore[union-attr]
    return {**os.environ, "PYTHONPATH": str(root)}


def _first_step(folder: Path) -> float:
    runs = Path(tempfile.mkdtemp(dir=folder))
    words = [*FMKIT, "finetune", "data=digits", "model=small_cnn", f"runs_dir={runs}"]
    words += ["runtime.log_every=1", "stage.head.epochs=1 steps", "stage.full.epochs=1 steps"]
    began = time.perf_counter()
    process = subprocess.Popen(
        words, cwd=folder, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    found = first_row(runs, lambda: process.poll() is None) - began
    process.wait()
    return found


def first_row(runs: Path, goes_on: Callable[[], bool]) -> float:
    """When the first metrics row of a run was seen; not a number when it ends without."""
    while goes_on():
        if any(each.stat().st_size for each in runs.rglob("metrics.jsonl")):
            return time.perf_counter()
        time.sleep(0.005)
    return float("nan")


# --- frozen -------------------------------------------------------------------------------------


def frozen(options: argparse.Namespace, folder: Path) -> str:
    make_photos(folder / "photos", options.images)
    trial = FrozenStage(folder)
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

    side, measured = 160, 3

    def __init__(self, folder: Path) -> None:
        self._folder = folder

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
        return seconds(lambda: assembly.learner.predict(batches, verbose=0))

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
        from fmkit.config.schema import RuntimeConfig

        words = [f"model.image_size={self.side}", f"stage.head.epochs={epochs}"]
        words.append(f"runtime.log_every={log_every}")
        keys = {each.name for each in dataclasses.fields(RuntimeConfig)}
        if cache is not None and "cache_dir" in keys:
            words.append(f"runtime.cache_dir={cache}")
        return assembled("pretrain", self._folder / "photos", words)


SECTIONS = {
    "scan": scan,
    "pipeline": pipeline,
    "unfrozen": unfrozen,
    "startup": startup,
    "frozen": frozen,
}


def main() -> None:
    if sys.argv[1:2] == ["memory-of"]:
        memory_of(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("sections", nargs="*", default="all", choices=[*SECTIONS, "all"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, 10, 100])
    options = parser.parse_args()
    chosen = SECTIONS if "all" in options.sections else options.sections
    for name in chosen:
        with tempfile.TemporaryDirectory(prefix="fmkit-bench-") as folder:
            print(SECTIONS[name](options, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
