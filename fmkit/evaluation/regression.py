"""Figures of merit of a model that gives numbers.

N examples, K numbers, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fmkit.core import files
from fmkit.core.errors import DataError, NonFiniteError, received
from fmkit.core.types import DataSpec
from fmkit.data.targets import Numbers
from fmkit.evaluation.bootstrap import intervals, mean_of_known, ratio
from fmkit.evaluation.evaluator import EvaluationInputs, EvaluationResult

_INTERVALS = ("mae", "rmse", "r2", "pearson")
_OF_SUMS = ("mse", "mae", "rmse", "r2", "pearson")


def evaluate(question: EvaluationInputs) -> EvaluationResult:
    """Figures, and for each example what it has and what was predicted."""
    known = question.examples.annotations
    if not isinstance(known, Numbers):
        raise DataError("the run learned numbers, and the data has none.")
    batches = question.loader.ordered(question.indices)
    found = np.asarray(question.learner.predict(batches, verbose=0), np.float64)
    truth = known.values[question.indices]
    told = figures(truth, found, known.names, question.bootstrap, question.seed)
    loss = float(question.task.loss(truth.astype(np.float32), found, None, False))
    ids = [question.examples.ids[each] for each in question.indices]
    labels = _named("label", truth, known.names)
    return {"n": told.pop("n"), "loss": loss, **told}, {
        "id": ids,
        **labels,
        **_named("prediction", found, known.names),
    }


def figures(
    truth: np.ndarray,
    found: np.ndarray,
    names: Sequence[str],
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything that is worth knowing of predicted numbers on one split, ready for JSON.

    `mse`, `mae`, `rmse` (the root of a number's `mse`) and `median_absolute_error` are in the units
    of the numbers; `r2` is the share of the variance that is explained, below 0 where the mean
    would be nearer; `pearson` and `spearman` are correlations. Those of several numbers are the
    means over them, and `per_number` has each. What is not defined, as `r2` where all are equal, is
    None, and left out of those means. `intervals` are by bootstrap over examples.

    Args:
        truth: (N, K).
        found: (N, K).
        names: K of them.
        bootstrap: resamples R; 0 makes every interval None.
        seed: of the resamples.

    Raises:
        DataError: no examples, or arrays that do not fit together.
        NonFiniteError: a prediction is NaN or infinite.
    """
    truth, found = np.asarray(truth, np.float64), np.asarray(found, np.float64)
    _check(truth, found, names)
    centre = truth.mean(axis=0)
    rows = _rows(truth - centre, found - centre)

    def of_sums(sums: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
        each = _figures(sums, counts)  # (R, K) each
        return {name: mean_of_known(values) for name, values in each.items()}

    whole = _figures(rows.sum(axis=0, keepdims=True), np.array([len(truth)]))
    per_number = {}
    for k, name in enumerate(names):
        own = {figure: float(values[0, k]) for figure, values in whole.items()}
        own["median_absolute_error"] = float(np.median(np.abs(truth[:, k] - found[:, k])))
        own["spearman"] = _spearman(truth[:, k], found[:, k])
        per_number[name] = own | {
            "mean": float(truth[:, k].mean()),
            "deviation": float(truth[:, k].std()),
            "mean_error": float((found[:, k] - truth[:, k]).mean()),
        }
    means = {
        figure: float(mean_of_known(np.array([each[figure] for each in per_number.values()])))
        for figure in (*_OF_SUMS, "median_absolute_error", "spearman")
    }
    return files.nonfinite_to_none(
        {
            "n": len(truth),
            **means,
            "per_number": per_number,
            "intervals": intervals(rows, of_sums, _INTERVALS, bootstrap, seed),
        }
    )


def _check(truth: np.ndarray, found: np.ndarray, names: Sequence[str]) -> None:
    if truth.shape != found.shape or truth.shape[1:] != (len(names),):
        raise DataError(received("predictions", found.shape, f"the shape {truth.shape}"))
    if not len(truth):
        raise DataError("There is no example to judge. Name a split that has some.")
    broken = np.flatnonzero(~np.isfinite(found).all(axis=1))
    if len(broken):
        raise NonFiniteError(
            f"The model's numbers are not finite for {len(broken)} of {len(truth)} examples; the "
            f"first is number {broken[0]}.",
            "Its weights have left the finite numbers, or an input has: lower the learning rate "
            "or use runtime.precision=float32.",
        )


def _rows(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    """What each example adds, (N, 7 K): errors squared and absolute, and what correlations need.

    Both near 0, or the sums of squares would cancel.
    """
    error = found - truth
    parts = [error**2, np.abs(error), truth, truth**2, found, found**2, truth * found]
    return np.concatenate(parts, axis=1)


def _figures(sums: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    """Figures (R, K) from sums (R, 7 K) of the rows of `counts` examples each."""
    means = np.split(sums / counts[:, None], 7, axis=1)
    squared, absolute, truth, truths, found, founds, both = means
    varies, moves = truths - truth**2, founds - found**2
    # What rounding leaves of a variance of 0 is none.
    varies = np.where(varies <= 1e-12 * truths, 0.0, varies)
    moves = np.where(moves <= 1e-12 * founds, 0.0, moves)
    return {
        "mse": squared,
        "mae": absolute,
        "rmse": np.sqrt(squared),
        "r2": 1 - ratio(squared, varies, np.nan),
        "pearson": ratio(both - truth * found, np.sqrt(varies * moves), np.nan),
    }


def _spearman(truth: np.ndarray, found: np.ndarray) -> float:
    """Pearson's correlation of ranks; NaN where one of both never changes."""
    from scipy.stats import rankdata

    ranks = [rankdata(each) for each in (truth, found)]
    if any((each == each[0]).all() for each in ranks):
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


def _named(word: str, values: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """A column for each number, whose name ends in that number's where there are several."""
    if len(names) == 1:
        return {word: values[:, 0]}
    return {f"{word}_{name}": values[:, k] for k, name in enumerate(names)}


def predictions(outputs: np.ndarray, spec: DataSpec) -> dict[str, Any]:
    """Columns for `fmkit predict`, of numbers (N, K)."""
    return dict(_named("prediction", np.asarray(outputs, np.float64), spec.names))
