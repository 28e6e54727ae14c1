"""Repeated cross-validation of a linear head: the folds, the choice, and figures out of fold.

N examples, K outputs.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from fmkit.core.bootstrap import mean_intervals
from fmkit.tasks import linear_probe
from fmkit.tasks.linear_probe import Folds
from fmkit.tasks.linear_problems import SCALINGS, Problem

_FOLDS, _REPEATS = 5, 3
_MAX_REPEATED, _ENOUGH = 1000, 2000
"""Examples up to which folds are drawn anew for each repeat, and that suffice to choose by."""

_RESAMPLES = 1000


@dataclass(frozen=True)
class CrossValidation:
    """A choice by cross-validation, and the outputs out of fold.

    Attributes:
        outputs: of the whole network, by heads that have not seen the example, (N, K). They are of
            the first repeat: their mean over repeats would be the output of an ensemble.
        metrics: means over the examples by name, `loss` first.
        record: all of it but the outputs, for the run's status.
    """

    outputs: np.ndarray
    metrics: dict[str, float]
    record: dict[str, Any]


def problem_with(strata: np.ndarray, groups: np.ndarray | None) -> str:
    """Why examples cannot be divided into folds, as a phrase; empty where they can."""
    if np.median(np.unique(strata, return_counts=True)[1]) < 2:
        return "most classes have one example"
    if groups is not None and len(np.unique(groups)) < 2:
        return "all examples are in one group"
    return ""


def make_folds(strata: np.ndarray, groups: np.ndarray | None, seed: int) -> list[Folds]:
    """Stratified folds, several for each of the repeats; a group is in one fold of each.

    Five, or as many as a class has examples in the median: rarer ones are absent from some. Groups
    leave little to draw, so that they are divided once.

    Args:
        strata: whole numbers, (N,).
        groups: (N,), or None.
        seed: of the draw.
    """
    _, counts = np.unique(strata, return_counts=True)
    count = int(np.clip(np.median(counts), 2, _FOLDS))
    kind: Any = StratifiedKFold
    if groups is not None:
        kind, count = StratifiedGroupKFold, min(count, len(np.unique(groups)))
    repeats: list[Folds] = []
    is_repeated = groups is None and len(strata) <= _MAX_REPEATED
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        for repeat in range(_REPEATS if is_repeated else 1):
            splitter = kind(count, shuffle=True, random_state=seed + repeat)
            pairs = splitter.split(strata, strata, groups)
            repeats.append([pair for pair in pairs if len(pair[0]) and len(pair[1])])
    return repeats


def choose(
    problem: Problem, features: np.ndarray, strata: np.ndarray, groups: np.ndarray | None,
    seed: int, scalings: Sequence[str] = SCALINGS,
) -> CrossValidation:  # fmt: skip
    """Choose scaling and strength of a linear head by the loss of examples out of fold.

    A choice by the same figures makes them a little too good, far less than noise: some thirty
    candidates, most of them alike.

    Args:
        features: (N, D).
        strata: what folds are stratified by, unless the problem knows better, (N,).
        groups: of examples that must not be divided, (N,), or None.
        seed: of folds and intervals.
        scalings: to choose from.
    """
    own = problem.strata()
    repeats = make_folds(strata if own is None else own, groups, seed)
    everything, folds = np.arange(len(features)), repeats[0]
    enough = max(1, -(-len(folds) * _ENOUGH // len(features)))
    searched = folds[:enough] if len(repeats) == 1 else [pair for fold in repeats for pair in fold]
    choice = linear_probe.choose(problem, features, searched, scalings)
    outputs = linear_probe.held_out_outputs(
        problem, features, folds, choice.scaling, choice.strength, choice.factor
    )
    columns = problem.metrics(outputs, everything)
    metrics = {name: float(column.mean()) for name, column in columns.items()}
    return CrossValidation(
        problem.network_outputs(outputs),
        metrics,
        {
            "examples": len(features),
            "folds": len(folds),
            "repeats": len(repeats),
            **linear_probe.record(problem, choice),
            "out_of_fold": metrics,
            "intervals": mean_intervals(columns, _RESAMPLES, seed),
        },
    )
