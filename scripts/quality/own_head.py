"""Whether a run ended worse than the head that it started from.

The head's own test figures are those of the same run without its later phases: seeds, data and
features are equal, so the head is.

N test examples.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

_REPEATED = "refit_"
"""How the names of phases begin that repeat one on validation examples, too."""


def phases(run: Path) -> list[dict[str, Any]]:
    """Name, epochs, seconds, best validation figure and share that is kept of each phase."""
    rows = json.loads((run / "status.json").read_text(encoding="utf-8"))["phases"]
    return [
        {
            "name": row["name"],
            "epochs": row["epochs"],
            "seconds": round(row["seconds"], 2),
            "best": (row["best"] or {}).get("value"),
            "share": (row["best"] or {}).get("share"),
        }
        for row in rows
        if not row["skipped"]
    ]


def test_metrics(run: Path) -> dict[str, float]:
    """The metrics of the test split that are single numbers."""
    metrics = json.loads((run / "eval" / "test.json").read_text(encoding="utf-8"))
    return {name: value for name, value in metrics.items() if isinstance(value, int | float)}


def words_without_later_phases(run: Path, words: Sequence[str]) -> list[str] | None:
    """The settings of a run that ends after its head; None where the run has a head alone or none.

    Args:
        words: settings of the run beside those of its data.
    """
    names = [row["name"] for row in phases(run)]
    trained = [name for name in names if not name.startswith(_REPEATED)]
    if len(trained) < 2 or trained[0] != "head":
        return None
    later = trained[1:]
    others = [
        word for word in words if not any(word.startswith(f"stage.{name}.") for name in later)
    ]
    return [*others, *(f"~stage.{name}" for name in later)]


def compare(run: Path, head_run: Path, metric: str) -> dict[str, Any]:
    """The head's test figure, how far the run ended above it, and the standard error of that.

    The standard error is paired over the test examples; None where the metric is not a mean over
    them.
    """
    head, final = (test_metrics(folder)[metric] for folder in (head_run, run))
    scores = [example_scores(folder) for folder in (run, head_run)]
    error = None
    if scores[0] is not None and scores[1] is not None:
        differences = scores[0] - scores[1]
        error = float(differences.std(ddof=1) / np.sqrt(len(differences)))
    return {"value": head, "difference": final - head, "standard_error": error}


def example_scores(run: Path) -> np.ndarray | None:
    """What each test example adds to accuracy or R2, (N,); None for sets of labels."""
    import pandas as pd

    table = pd.read_parquet(run / "eval" / "test.parquet")
    if any(str(name).startswith("label_") for name in table.columns):
        return None
    label, prediction = table["label"], table["prediction"]
    if pd.api.types.is_float_dtype(prediction):
        return 1 - ((label - prediction) ** 2 / label.var(ddof=0)).to_numpy()
    return (label == prediction).to_numpy().astype(float)
