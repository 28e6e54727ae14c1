"""Compares an exported model, run by its own runtime, with the model that it came from.

B batch, K numbers in a result, T tokens of the longest text in a batch.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.config.registry import Export
from fmkit.core import files
from fmkit.core.errors import ArtifactError
from fmkit.export import measure
from fmkit.export.inputs import Sample

ALLOWED = 1e-4
"""Most a result may differ in float32, times the largest value of the results where that is above
1: probabilities by this much, logits and numbers in units by such a share."""

Results = list[np.ndarray]
"""The result of each batch, (B, K), or (B, T, K) of texts."""


def run(folder: Path, sample: Sample, output: str, sizes: Sequence[int]) -> tuple[Results, dict]:
    """The results of an export, and its times and memory, from a process of its own.

    Args:
        folder: of the export, with its loader.
        sample: what it runs on.
        output: the name of its result.
        sizes: batches that are timed.

    Raises:
        ArtifactError: it does not run, or reads other tokens than fmkit.
    """
    with tempfile.TemporaryDirectory(prefix="fmkit-export-") as name:
        work = Path(name)
        job = {"batches": len(sample.batches), "raw": sample.raw, "sizes": list(sizes)}
        files.write_json(work / "job.json", job)
        np.savez(work / "inputs.npz", **_numbered(sample.batches))
        _measure(folder, work)
        report = json.loads((work / "report.json").read_text(encoding="utf-8"))
        with np.load(work / "results.npz", allow_pickle=False) as stored:
            for number, batch in enumerate(sample.batches):
                if not np.array_equal(stored[f"{number} "], batch):
                    raise ArtifactError(
                        "its loader reads the examples otherwise than fmkit: the arrays of batch "
                        f"{number} differ."
                    )
            if f"0 {output}" not in stored:
                names = [name[2:] for name in stored if name.startswith("0 ") and name != "0 "]
                raise ArtifactError(f"its result is called {', '.join(names)}, not {output}.")
            return [stored[f"{number} {output}"] for number in range(len(sample.batches))], report


def _numbered(batches: Sequence[np.ndarray]) -> dict[str, Any]:
    return {str(number): batch for number, batch in enumerate(batches)}


def _measure(folder: Path, work: Path) -> None:
    """Run `measure.py`; what it writes to stderr becomes the message where it fails."""
    quiet = {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONDONTWRITEBYTECODE": "1",
        "KERAS_BACKEND": "tensorflow",
    }
    result = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-P", measure.__file__, str(folder), str(work)],
        env={**os.environ, **quiet}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    if result.returncode:
        lines = result.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = lines[-1][:300] if lines else f"exit status {result.returncode}"
        raise ArtifactError(f"it does not run: {reason}.")


def compare(
    sample: Sample, results: Results, references: Results, row: Export
) -> dict[str, float | None]:
    """The largest difference, also as a share of the largest value, and the share of examples with
    the same answer; None where the task has no single answer.

    What is computed of padding does not count.

    Raises:
        ArtifactError: shapes differ.
    """
    pairs = []
    for batch, ours, theirs in zip(sample.batches, results, references, strict=True):
        if ours.shape != theirs.shape:
            raise ArtifactError(
                f"its results are of shape {ours.shape}; those of the model of {theirs.shape}."
            )
        rows = _compared(batch, theirs)
        pairs.append((ours[rows].astype(np.float64), theirs[rows].astype(np.float64)))
    ours, theirs = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    # NumPy's maximum, unlike Python's, is NaN where one of them is.
    difference = float(np.max(np.abs(ours - theirs)))
    largest = float(np.max(np.abs(theirs)))
    answers = _ANSWERS.get(row.answers)
    agreement = None if answers is None else float(np.mean(answers(ours) == answers(theirs)))
    return {
        "max_abs": difference,
        "max_rel": difference / largest if largest else difference,
        "allowed": ALLOWED * max(1.0, largest),
        "agreement": agreement,
    }


def _compared(batch: np.ndarray, results: np.ndarray) -> Any:
    """What counts of results: all of it, or of results for each token (B, T, K) those of tokens."""
    is_by_token = results.ndim == 3 and np.issubdtype(batch.dtype, np.integer)
    return batch >= 0 if is_by_token else slice(None)


def _labels(shares: np.ndarray) -> np.ndarray:
    """Each set of labels as a number of bits, (N,) of bytes."""
    packed = np.packbits(shares >= 0.5, axis=-1)
    return np.ascontiguousarray(packed).view(f"V{packed.shape[-1]}")[:, 0]


def _largest(numbers: np.ndarray) -> np.ndarray:
    return numbers.argmax(axis=-1)


_ANSWERS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "class": _largest, "tags": _largest, "token": _largest, "labels": _labels,
}  # fmt: skip
"""By `Export.answers`, what two models are said to agree on."""
