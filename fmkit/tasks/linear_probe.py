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
from fmkit.tasks.linear_problems import MAX_EXACT_VALUES, SCALINGS, Problem, principal_axes

STRENGTHS = tuple(float(value) for value in np.logspace(-5, 4, 19))
"""The inverse L2 strengths to try, scikit-learn's C: half a decade apart. A ridge's alpha is 1 / C.
"""

_DECADE = 2  # of `STRENGTHS`
_TOO_LITTLE = 1e-4  # nats; a search does not go on for less, as it would on separable classes
_SEARCH, _EXACT = 1e-6, 1e-7  # the gradient's largest component where L-BFGS stops
_MAX_EXACT_SEARCH = 2**19  # values of features; with more, single precision is a third of the time
_FEW_VALUES = 2**21  # of features; with fewer, threads wait for each other more than they compute

Folds = Sequence[tuple[np.ndarray, np.ndarray]]
"""Positions that are fitted to, (n,), and positions that are held out."""

Trial = tuple[float, float, float]
"""Of a strength: the loss, the loss with the factor that pays best, and that factor."""

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
        factor: of the head's outputs, `Problem.factor` of the held-out examples.
        loss: the mean over the held-out examples of all folds, with what the factor costs.
        losses: by scaling, and then by strength, each with its own factor and what that costs.
    """

    scaling: str
    strength: float
    factor: float
    loss: float
    losses: dict[str, dict[float, float]]


@_few_threads
def choose(
    problem: Problem, features: np.ndarray, folds: Folds, scalings: Iterable[str] = SCALINGS
) -> Choice:
    """Choose scaling and strength by the loss of the examples that folds hold out.

    Their outputs are multiplied by `Problem.factor` where that pays, as those of the head will be.
    Where solutions are costly, not all strengths are tried (see `search`), and many features are
    searched in single precision; `fit` is exact again.

    Each fold scales features by what it is fitted to: a deviation that the held-out examples have
    a part in hides features that are nearly constant without them, and larger in new examples.

    Args:
        features: (N, D).
    """
    losses: dict[str, dict[float, float]] = {}
    factors: dict[tuple[str, float], float] = {}
    held_out = np.concatenate([rows for _, rows in folds])
    for scaling in scalings:
        solvers = [_Fold(problem, features, fold, scaling, _MAX_EXACT_SEARCH) for fold in folds]

        def trial(strength: float, solvers: Sequence[_Fold] = solvers) -> Trial:
            for fold in solvers:
                fold.solve(strength, _SEARCH)
            return _losses(problem, solvers, held_out)

        every = () if problem.is_costly else STRENGTHS
        trials = {strength: trial(strength) for strength in every} or search(trial)
        losses[scaling] = {strength: loss for strength, (_, loss, _) in trials.items()}
        factors |= {(scaling, strength): factor for strength, (*_, factor) in trials.items()}
    loss, scaling, strength = min(
        (value, name, key) for name, row in losses.items() for key, value in row.items()
    )
    return Choice(scaling, strength, factors[scaling, strength], loss, losses)


def _losses(problem: Problem, solvers: Sequence[_Fold], held_out: np.ndarray) -> Trial:
    """The loss of the held-out examples, the loss with the factor that pays best, and that factor.

    A factor is one parameter more, so that it costs 1 / n nats a held-out example (Akaike 1974).
    Where it gains less, outputs are left as they are.
    """

    def loss(factor: float) -> float:
        outputs = np.concatenate([fold.outputs(factor) for fold in solvers])
        return float(problem.metrics(outputs, held_out)["loss"].mean())

    plain = loss(1.0)
    factor = problem.factor(np.concatenate([fold.outputs() for fold in solvers]), held_out)
    if factor == 1:
        return plain, plain, factor
    cost = 1 / len(np.unique(held_out))
    return plain, *min((plain, 1.0), (loss(factor) + cost, factor))


def search(trial: Callable[[float], Trial]) -> dict[float, Trial]:
    """Walk over `STRENGTHS` by decades, and then half a decade to both sides of the best.

    It begins with the strongest penalty, and ends where the next decade is no better without a
    factor: weak penalties take the longest to solve.
    """
    trials: dict[int, Trial] = {}
    for index in range(0, len(STRENGTHS), _DECADE):
        before = min((plain for plain, *_ in trials.values()), default=np.inf)
        trials[index] = trial(STRENGTHS[index])
        if not trials[index][0] < before - _TOO_LITTLE:
            break
    best = min(trials, key=lambda index: trials[index][1])
    for index in {best - 1, best + 1} & {*range(len(STRENGTHS))}:
        trials[index] = trial(STRENGTHS[index])
    return {STRENGTHS[index]: trials[index] for index in sorted(trials)}


class _Fold:
    """Solves for what a fold is fitted to, in its own axes."""

    def __init__(
        self, problem: Problem, features: np.ndarray, fold: tuple[np.ndarray, np.ndarray],
        scaling: str, most_exact: int = MAX_EXACT_VALUES,
    ) -> None:  # fmt: skip
        rows, held_out = fold
        axes = principal_axes(features, rows, scaling, most_exact)
        self._problem, self._solver = problem, problem.solver(axes, rows)
        self._axes = dataclasses.replace(axes, x=axes.x[held_out])

    def solve(self, strength: float, tolerance: float) -> _Fold:
        """Solve for a strength, from the solution of the one before."""
        self._solution = self._solver(strength, tolerance)
        return self

    def outputs(self, factor: float = 1.0) -> np.ndarray:
        """Outputs of the held-out examples, (n, K), by the solution times a factor."""
        kernel, bias = self._solution
        everything = np.arange(len(self._axes.x))
        return self._problem.outputs(self._axes, (factor * kernel, factor * bias), everything)


@_few_threads
def held_out_outputs(
    problem: Problem, features: np.ndarray, folds: Folds, scaling: str, strength: float,
    factor: float = 1.0,
) -> np.ndarray:  # fmt: skip
    """The outputs of each example by the fold that holds it out, (N, K); one fold must do so."""
    parts = [
        _Fold(problem, features, fold, scaling).solve(strength, _EXACT).outputs(factor)
        for fold in folds
    ]
    outputs = np.empty((len(features), parts[0].shape[1]))
    for (_, held_out), part in zip(folds, parts, strict=True):
        outputs[held_out] = part
    return outputs


@_few_threads
def fit(
    problem: Problem, features: np.ndarray, scaling: str, strength: float,
    rows: np.ndarray | None = None, factor: float = 1.0,
) -> list[np.ndarray]:  # fmt: skip
    """The head's weights, kernel (D, K) and bias (K,), solved for the examples at `rows` or all.

    They are multiplied by `factor`, and so are the outputs.
    """
    rows = np.arange(len(features)) if rows is None else rows
    axes = principal_axes(features, rows, scaling)
    kernel, bias = axes.head(problem.solver(axes, rows)(strength, _EXACT))
    return [factor * kernel, factor * bias]


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
        "factor": choice.factor,
        name: problem.named(choice.strength),
        f"loss_by_{name}": by_name,
    }
