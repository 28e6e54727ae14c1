"""Runs an exported model by its own loader: results, times and memory, without fmkit or Keras.

    python -P measure.py FOLDER WORK

FOLDER is the export, with `load.py`. WORK has `job.json` and `inputs.npz`; `results.npz` and
`report.json` are written there. It runs in a process of its own, so that nothing of fmkit's is
there that the file could lack, and imports nothing of it.
"""

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

_SECONDS = 1.0
"""How long one size of a batch is timed, unless that is less than"""
_LEAST = 5
"""so many passes."""
_MOST = 100


def main(folder: str, work: Path) -> None:
    """Run the model on each batch, then time it."""
    job = json.loads((work / "job.json").read_text(encoding="utf-8"))
    with np.load(work / "inputs.npz", allow_pickle=False) as stored:
        batches = [stored[f"{number}"] for number in range(job["batches"])]
    sys.path.insert(0, folder)
    import load

    runtime = _peak_bytes()
    predict = load.load()
    if job["raw"]:
        batches = [load.read([_as_read(item) for item in batch]) for batch in job["raw"]]
    results: dict[str, np.ndarray] = {}
    for number, batch in enumerate(batches):
        results[f"{number} "] = batch
        results |= {f"{number} {name}": array for name, array in predict(batch).items()}
    peak = _peak_bytes()
    report = {
        "latency_seconds": {
            str(size): _latency(predict, batches[0], size) for size in job["sizes"]
        },
        "rss_bytes": peak,
        "model_rss_bytes": peak - runtime,
    }
    arrays: dict[str, Any] = results
    np.savez(work / "results.npz", **arrays)
    (work / "report.json").write_text(json.dumps(report), encoding="utf-8")


def _as_read(item: Any) -> Any:
    """A text, or a pair of them as the tuple that tokenizers take."""
    return tuple(item) if isinstance(item, list) else item


def _latency(predict: Any, batch: np.ndarray, size: int) -> float:
    """The median time of a pass over so many examples; the first pass, which prepares, apart."""
    examples = batch[np.arange(size) % len(batch)]
    predict(examples)
    seconds: list[float] = []
    while len(seconds) < _LEAST or (sum(seconds) < _SECONDS and len(seconds) < _MOST):
        began = time.perf_counter()
        predict(examples)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _peak_bytes() -> int:
    """The most memory that this process has held."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    except (OSError, ValueError):  # not Linux
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
