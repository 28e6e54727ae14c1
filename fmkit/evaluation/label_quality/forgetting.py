"""The training examples that a run found hard: never right, or forgotten again.

Tables of them, with columns as of `tables`: `forgetting.csv` has all examples that the run counted,
`hard_examples.csv` the hardest with what they show, for a labelling tool or a spreadsheet. Counts
are those of `fmkit.train.forgetting`.

N examples that a run was trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.core.errors import plural
from fmkit.data.examples import Examples
from fmkit.data.sources.relabel import EXAMPLE
from fmkit.evaluation.label_quality import tables
from fmkit.evaluation.write import write_table
from fmkit.store import forgetting as store

ALL, HARDEST = "forgetting.csv", "hard_examples.csv"

MOST = 1000
"""Rows of `hard_examples.csv`."""

Counts = Mapping[str, np.ndarray]
"""By name, (N,)."""


def order(counts: Counts) -> np.ndarray:
    """The hardest first, (N,): never right, then often forgotten, then learned late."""
    learned, forgotten = counts["learned"], counts["forgotten"]
    return np.lexsort((np.arange(len(learned)), counts["right"], -learned, -forgotten, learned > 0))


def hardest(counts: Counts) -> np.ndarray:
    """Those that were never right or were forgotten, the hardest first."""
    ranked = order(counts)
    return ranked[(counts["learned"][ranked] == 0) | (counts["forgotten"][ranked] > 0)]


def summary(counts: Counts) -> dict[str, int]:
    """Counts over all, for a report."""
    never = counts["learned"] == 0
    return {
        "counted": len(never),
        "never_right": int(never.sum()),
        "forgotten": int((counts["forgotten"] > 0).sum()),
    }


def describe(counts: Counts) -> str:
    """The summary as a line for people."""
    row = summary(counts)
    verb = "was" if row["never_right"] == 1 else "were"
    return (
        f"of {plural(row['counted'], 'training example')} {row['never_right']:,} {verb} never "
        f"answered right while training, {row['forgotten']:,} right and then wrong again: {ALL}"
    )


def rows(examples: Examples, chosen: np.ndarray, counts: Counts) -> dict[str, list[Any]]:
    """A row of each chosen example, by column.

    Args:
        examples: the N examples, which have classes.
        chosen: positions among them.
        counts: of them.
    """
    picked = {name: counts[name][chosen] for name in store.COUNTS}
    return {
        EXAMPLE: [examples.ids[k] for k in chosen.tolist()],
        "label": [examples.classes[examples.labels[k]] for k in chosen.tolist()],
        "epochs": picked["seen"].tolist(),
        "learned": [int(epoch) if epoch else None for epoch in picked["learned"]],
        "forgotten": picked["forgotten"].tolist(),
        "last": ["right" if right else "wrong" for right in picked["right"]],
    }


def write(folder: Path, examples: Examples) -> str:
    """Write both tables of a run; returns what they say in a line, empty without counts.

    Args:
        folder: the run's.
        examples: the data set that it was trained on.
    """
    if (read := store.read(folder)) is None:
        return ""
    positions, counts = read
    trained = examples.take(positions)
    write_table(folder / ALL, _whole_numbers(rows(trained, order(counts), counts)))
    hard = hardest(counts)[:MOST]
    write_table(
        folder / HARDEST,
        {**tables.shown(trained, hard), **_whole_numbers(rows(trained, hard, counts))},
    )
    return describe(counts)


def _whole_numbers(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Columns for a table, in which pandas would make 1 in a column with gaps 1.0."""
    import pandas as pd

    learned = [pd.NA if epoch is None else epoch for epoch in columns["learned"]]
    return {**columns, "learned": learned}
