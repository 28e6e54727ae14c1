"""Tables of labels that are likely wrong: for a labelling tool or a spreadsheet, and of all scores.

`label_errors.csv` has the likely errors, the worst first, and is a table that fmkit reads itself:
`path` or `text` is what an example shows, `label` what it was given. After its labels are corrected
it is what `data.relabel` takes. `label_scores.csv` has every example.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fmkit.data.content.files import Files
from fmkit.data.examples import Examples
from fmkit.data.sources.relabel import EXAMPLE
from fmkit.evaluation.label_quality.suspects import Suspects
from fmkit.evaluation.write import write_table

ERRORS, SCORES = "label_errors.csv", "label_scores.csv"


def write(
    folder: Path, suspects: Suspects, examples: Examples, split_of: Sequence[str]
) -> tuple[Path, Path]:
    """Write both tables; returns the paths of the likely errors and of all scores.

    Args:
        suspects: of N examples.
        examples: the same N examples.
        split_of: the split of each.
    """
    likely = suspects.likely()
    errors, scores = folder / ERRORS, folder / SCORES
    write_table(errors, {**shown(examples, likely), **columns(suspects, likely, split_of)})
    write_table(scores, columns(suspects, suspects.ranked(), split_of))
    return errors, scores


def columns(
    suspects: Suspects, positions: np.ndarray, split_of: Sequence[str]
) -> dict[str, list[Any]]:
    """The rows of the examples at `positions`, by column; ranks are among all examples."""
    ranks = np.empty(len(suspects.scores), np.int64)
    ranks[suspects.ranked()] = np.arange(1, len(ranks) + 1)
    chosen = positions.tolist()
    return {
        EXAMPLE: [suspects.ids[k] for k in chosen],
        "label": [suspects.given[k] for k in chosen],
        "suggested": [suspects.suggested[k] for k in chosen],
        "probability": [_rounded(suspects.probabilities[k]) for k in chosen],
        "score": [_rounded(suspects.scores[k]) for k in chosen],
        "loss": [_rounded(suspects.losses[k]) for k in chosen],
        "rank": ranks[positions].tolist(),
        "split": [split_of[k] for k in chosen],
    }


def rows(
    suspects: Suspects, positions: np.ndarray, split_of: Sequence[str]
) -> list[dict[str, Any]]:
    """The same, a mapping an example."""
    by_column = columns(suspects, positions, split_of)
    return [dict(zip(by_column, row, strict=True)) for row in zip(*by_column.values(), strict=True)]


def split_names(count: int, splits: Mapping[str, np.ndarray]) -> list[str]:
    """The split of each of `count` examples; empty where it is in none."""
    names = [""] * count
    for name, positions in splits.items():
        for position in positions.tolist():
            names[position] = name
    return names


def shown(examples: Examples, positions: np.ndarray) -> dict[str, list[str]]:
    """What examples show, where a cell can say it: a path, or a text; arrays have neither."""
    content, chosen = examples.content, positions.tolist()
    if isinstance(content, Files):
        return {"path": [content.paths[k] for k in chosen]}
    texts = [content.excerpt(k) for k in chosen]
    names = list(texts[0]) if texts else []
    return {name: [text[name] for text in texts] for name in names}


def _rounded(value: float) -> float | None:
    """A number with six digits; None where it is not one."""
    return float(f"{value:.6g}") if np.isfinite(value) else None
