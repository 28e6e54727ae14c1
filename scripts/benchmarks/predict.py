"""`fmkit predict` beside a bare loop over decoded photos, and its time to the first line."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.contestants import assembled
from benchmarks.measuring import BATCH, Contestants, interleaved, seconds, table
from benchmarks.photos import make_photos
from benchmarks.startup import FMKIT, environment, wall


def predict(options: argparse.Namespace, folder: Path) -> str:
    make_photos(folder / "photos", options.images)
    trial = Predictions(folder, options.side)
    count = len(trial.photos)
    contestants: Contestants = {"Keras": lambda: trial.fmkit("keras")}
    if importlib.util.find_spec("openvino") is not None:
        trial.export()
        contestants["OpenVINO"] = lambda: trial.fmkit("openvino")
        contestants["bare loop"] = trial.bare
    figures = interleaved(contestants, options.repeats)
    rates = {name: [count / taken for taken in column] for name, column in figures.items()}
    rows = {
        f"{count} photos, {engine}": {
            "fmkit": rates[engine],
            **{name: rates[name] for name in rates if name == "bare loop"},
        }
        for engine in ("Keras", "OpenVINO")
        if engine in rates
    }
    note = "" if "bare loop" in rates else "The bare loop needs `pip install 'fmkit[bench]'`."
    speed = table("Predictions of photos", "images/s", rows, note)
    return speed + "\n" + _start(options, folder, trial.photos[0])


def _start(options: argparse.Namespace, folder: Path, photo: str) -> str:
    """Seconds of the whole command with one photo."""
    words = [*FMKIT, "pretrain", "data=digits", "model=small_cnn", "stage.head.epochs=1 steps"]
    words += [f"runs_dir={folder / 'runs'}"]
    subprocess.run(words, cwd=folder, env=environment(), capture_output=True, check=True)
    one = [*FMKIT, "predict", "run=last", f"runs_dir={folder / 'runs'}", photo]
    imports = wall([sys.executable, "-c", "import tensorflow, keras"], folder)
    nothing = wall([sys.executable, "-c", "import hydra, numpy, rich"], folder)
    compared: dict[str, tuple[Callable[[], float], Callable[[], float]]] = {
        "to the first line": (lambda: _first_line(one, folder), nothing),
        "one photo, small_cnn": (wall(one, folder), imports),
    }
    rows = {
        name: interleaved({"fmkit": ours, "imports alone": limit}, options.repeats)
        for name, (ours, limit) in compared.items()
    }
    return table("Start of `fmkit predict`", "s", rows, "Imports: as in the section startup.")


def _first_line(words: list[str], folder: Path) -> float:
    began = time.perf_counter()
    with subprocess.Popen(
        words, cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        process.stderr.readline()  # type: ignore[union-attr]
        taken = time.perf_counter() - began
        process.communicate()
    return taken


class Predictions:
    """Seconds from files to outputs; the model is built before."""

    def __init__(self, folder: Path, side: int) -> None:
        self._folder, self.side = folder, side
        words = [f"model.image_size={side}", "stage.head.epochs=1"]
        self._assembly = assembled("pretrain", folder / "photos", words)
        photos = sorted(str(path) for path in (folder / "photos").rglob("*.jpg"))
        self.photos = photos[: len(photos) // 8 * 8]  # the bare loop's requests are of 8

    def fmkit(self, engine: str) -> float:
        """The pass of `fmkit predict`, an export included."""
        from types import SimpleNamespace

        from fmkit.data.predict_photos import photos_from_values
        from fmkit.evaluation import predict
        from fmkit.evaluation.inference import Inference
        from fmkit.evaluation.load_run import LoadedRun

        assembly: Any = self._assembly
        run: Any = SimpleNamespace(
            id="bench", config=lambda: {"data": {"name": "image_folder", "root": "-"}}
        )
        inference = Inference(assembly.model, engine)
        trained = LoadedRun(
            run, assembly.model, assembly.task, assembly.spec, assembly.backbone, inference, False
        )
        inputs = photos_from_values(self.photos, None)
        return seconds(lambda: predict.predict_photos(trained, inputs, BATCH))

    def export(self) -> None:
        import keras

        model = keras.Model(self._assembly.model.inputs, self._assembly.model.outputs)
        model.export(str(self._folder / "model.xml"), format="openvino", verbose=False)

    def bare(self) -> float:
        """Threads that decode, a thread a core, and requests of 8 photos; compiled before."""
        import openvino

        from fmkit.core.machine import available_cores
        from fmkit.data.images.decode import decode

        core = openvino.Core()
        graph = core.read_model(self._folder / "model.xml")
        graph.reshape([8, self.side, self.side, 3])
        settings = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
        queue = openvino.AsyncInferQueue(core.compile_model(graph, "CPU", settings))
        outputs: dict[int, np.ndarray] = {}
        queue.set_callback(
            lambda request, start: outputs.update({start: request.get_output_tensor(0).data.copy()})
        )

        def run() -> None:
            ahead = 12 * 8
            with ThreadPoolExecutor(available_cores()) as pool:
                waiting = [pool.submit(decode, p, self.side, "squash") for p in self.photos[:ahead]]
                for start in range(0, len(self.photos), 8):
                    batch = [future.result() for future in waiting[:8]]
                    following = self.photos[start + ahead : start + ahead + 8]
                    waiting = waiting[8:] + [
                        pool.submit(decode, p, self.side, "squash") for p in following
                    ]
                    queue.start_async({0: np.stack(batch).astype(np.float32)}, start)
            queue.wait_all()

        return seconds(run)
