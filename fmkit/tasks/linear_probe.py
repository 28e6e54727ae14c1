"""The choice of a linear head on fixed features by held-out examples, and the fit at a choice.

N examples, n of them fitted to, D features, K outputs: see `fmkit.tasks.linear_problems`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np

from fmkit.core import machine
from fmkit.tasks.linear_problems import SCALINGS, Problem, principal_axes

STRENGTHS = tuple(float(value) for value in np.logspace(-5, 4, 19))
"""The inverse L2 strengths to try, scikit-learn's C: half a decade apart. A ridge's alpha is 1 / C.
"""

_TOO_LITTLE = 1e-4  # nats; a search does not go on for less, as it would on separable classes
_SEARCH, _EXACT = 1e-6, 1e-7  # the gradient's largest component where L-BFGS stops
_FEW_VALUES = 2**21  # of features; with fewer, threads wait for each other more than they compute

Folds = Sequence[tuple[np.ndarray, np.ndarray]]
"""Positions that are fitted to, (n,), and positions that are held out."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _few_threads(function: _Function) -> _Function:
    """Compute with few features, the second argument, on one thread of BLAS."""

    @functools.wraps(function)
    def run(problem: Problem, features: np.ndarray, *arguments: Any, **options: Any) -> Any:
        is_small = features.size <= _FEW_VALUES
        with machine.one_blas_thread() if is_small else contextlib.nullcontext():
            return function(problem, features, *arguments, **options)

    return cast(_Function, run)


@dataclass(frozen=True)
class Choice:
    """The scaling and the strength with the lowest loss on held-out examples.

    Attributes:
        strength: of `STRENGTHS`.
        loss: the mean over the held-out examples of all folds.
        losses: by scaling, and then by strength.
    """

    scaling: str
    strength: float
    loss: float
    losses: dict[str, dict[float, float]]


@_few_threads
def choose(
    problem: Problem, features: np.ndarray, folds: Folds, scalings: Iterable[str] = SCALINGS
) -> Choice:
    """Choose scaling and strength by the loss of the examples that folds hold out.

    The strengths are tried from the strongest penalty on, each from the solution of the one before,
    until `Problem.patience` in a row are no better.

    Each fold scales features by what it is fitted to: a deviation that the held-out examples have
    a part in hides features that are nearly constant without them, and larger in new examples.

    Args:
        features: (N, D).
    """
    losses: dict[str, dict[float, float]] = {}
    for scaling in scalings:
        solvers = [(_Fold(problem, features, pair, scaling), pair[1]) for pair in folds]
        by_strength = losses[scaling] = {}
        for strength in STRENGTHS:
            of_folds = [
                problem.metrics(fold.outputs(strength, _SEARCH), held_out)["loss"]
                for fold, held_out in solvers
            ]
            by_strength[strength] = float(np.concatenate(of_folds).mean())
            row = np.array([*by_strength.values()])
            behind = len(row) - 1 - int(np.argmax(row <= row.min() + _TOO_LITTLE))
            if problem.patience is not None and behind >= problem.patience:
                break
    loss, scaling, strength = min(
        (value, name, key) for name, row in losses.items() for key, value in row.items()
    )
    return Choice(scaling, strength, loss, losses)


class _Fold:
    """Solves for what a fold is fitted to, in its own axes."""

    def __init__(
        self, problem: Problem, features: np.ndarray, fold: tuple[np.ndarray, np.ndarray],
        scaling: str,
    ) -> None:  # fmt: skip
        rows, held_out = fold
        axes = principal_axes(features, rows, scaling)
        self._problem, self._solve = problem, problem.solver(axes, rows)
        self._axes = dataclasses.replace(axes, x=axes.x[held_out])

    def outputs(self, strength: float, tolerance: float) -> np.ndarray:
        """Outputs of the held-out examples, (n, K)."""
        everything = np.arange(len(self._axes.x))
        return self._problem.outputs(self._axes, self._solve(strength, tolerance), everything)


@_few_threads
def held_out_outputs(
    problem: Problem, features: np.ndarray, folds: Folds, scaling: str, strength: float
) -> np.ndarray:
    """The outputs of each example by the fold that holds it out, (N, K); one fold must do so."""
    parts = [_Fold(problem, features, fold, scaling).outputs(strength, _EXACT) for fold in folds]
    outputs = np.empty((len(features), parts[0].shape[1]))
    for (_, held_out), part in zip(folds, parts, strict=True):
        outputs[held_out] = part
    return outputs


@_few_threads
def fit(
    problem: Problem, features: np.ndarray, scaling: str, strength: float,
    rows: np.ndarray | None = None,
) -> list[np.ndarray]:  # fmt: skip
    """The head's weights, kernel (D, K) and bias (K,), solved for the examples at `rows` or all."""
    rows = np.arange(len(features)) if rows is None else rows
    axes = principal_axes(features, rows, scaling)
    return axes.head(problem.solver(axes, rows)(strength, _EXACT))


def record(problem: Problem, choice: Choice) -> dict[str, Any]:
    """A choice for the run's record."""
    name = problem.strength_name
    by_name = {
        scaling: {problem.named(strength): loss for strength, loss in row.items()}
        for scaling, row in choice.losses.items()
    }
    return {
        "scaling": choice.scaling,
        "strength": choice.strength,
        name: problem.named(choice.strength),
        f"loss_by_{name}": by_name,
    }
