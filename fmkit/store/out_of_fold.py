"""What cross-validated heads of a run gave for examples that they had not seen.

N examples, K outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.core import files, npz
from fmkit.store import run_dir


def save(folder: Path, positions: np.ndarray, outputs: np.ndarray) -> None:
    """Write it into a run's folder, in one step.

    Args:
        folder: the run's.
        positions: of the examples in the data set, (N,).
        outputs: of the network, (N, K).
    """
    with files.replacing(folder / run_dir.OUT_OF_FOLD) as temporary:
        np.savez(temporary, positions=positions, outputs=outputs)


def read(folder: Path, status: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray] | None:
    """Positions and outputs; None where the run's best head is not the one of its end."""
    path, best = folder / run_dir.OUT_OF_FOLD, status.get("best") or {}
    phases = status.get("phases") or [{}]
    if not path.exists() or best.get("phase") != phases[-1].get("name"):
        return None
    with npz.open_npz(path) as arrays:
        return arrays.read("positions"), arrays.read("outputs")
