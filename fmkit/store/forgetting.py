"""How often each training example of a run went from right to wrong.

N examples that a run was trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fmkit.core import files, npz
from fmkit.store import run_dir

COUNTS = ("seen", "learned", "forgotten", "right")
"""Arrays of counts; `fmkit.train.forgetting.ForgettingEvents` says what they are."""


def save(folder: Path, positions: np.ndarray, counts: Mapping[str, np.ndarray]) -> None:
    """Write them into a run's folder, in one step.

    Args:
        folder: the run's.
        positions: of the examples in the data set, (N,), ascending.
        counts: by name, (N,) int32.
    """
    with files.replacing(folder / run_dir.FORGETTING) as temporary:
        np.savez(
            temporary, positions=positions, seen=counts["seen"], learned=counts["learned"],
            forgotten=counts["forgotten"], right=counts["right"],
        )  # fmt: skip


def read(folder: Path) -> tuple[np.ndarray, dict[str, np.ndarray]] | None:
    """Positions and counts; None where the run has none."""
    path = folder / run_dir.FORGETTING
    if not path.exists():
        return None
    with npz.open_npz(path) as arrays:
        return arrays.read("positions"), {name: arrays.read(name) for name in COUNTS}
