"""Whether a disk is large enough for the checkpoints of a run."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import keras

from fmkit import files
from fmkit.errors import ResourceError


def check_disk(parent: Path, model: keras.Model, optimizer: Any) -> None:
    """Say before training that a disk is too small for its checkpoints.

    Two must fit, for one is there while the next is written, and a tenth more for all else.

    Raises:
        ResourceError: less is free.
    """
    variables = [*model.variables, *([] if optimizer is None else optimizer.variables)]
    needed = int(2.2 * sum(_bytes(each) for each in variables))
    free = files.free_bytes(parent)
    if free < needed:
        raise ResourceError(
            f"the disk is too small for two checkpoints of this run: they need "
            f"{files.amount(needed)}, {files.amount(free)} are free in {parent}.",
            "Make room, or name a folder on another disk: runs_dir=DIR",
        )


def _bytes(variable: Any) -> int:
    kind = keras.backend.standardize_dtype(variable.dtype)
    width = 1 if kind == "bool" else int(re.sub(r"\D", "", kind)) // 8
    return math.prod(variable.shape) * width
