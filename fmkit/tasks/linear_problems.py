"""What linear heads learn, and their optimum: classes, sets of labels, and numbers.

Classes and sets of labels are logistic regressions, solved by L-BFGS; numbers are ridge
regressions, solved in closed form. At the same strength they are scikit-learn's.

An L2 penalty does not change under a rotation, so all is solved in the principal axes of the
features. Those are at most as many as the examples, and along them the Hessian is nearly diagonal:
scaled by it, L-BFGS takes tens of steps instead of hundreds.

N examples, n of them fitted to, D features, R <= min(N, D) axes, K outputs: classes, labels or
numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg
from scipy.optimize import minimize
from scipy.special import expit, logsumexp

from fmkit.tasks import temperature

SCALINGS = ("standardised", "none", "unit")
"""Each feature in its own standard deviations, or all of them in one, the root of the mean square
of theirs, so that one grid of strengths serves both; `unit` is `none` of features at one length."""

_ITERATIONS = 1000
_SHORTEST = 1e-12
MAX_EXACT_VALUES = 2**23
"""Of features; more of them are multiplied in single precision."""

Solution = tuple[np.ndarray, np.ndarray]
"""Kernel (R, K) and bias (K,)."""

Solver = Callable[[float, float], Solution]
"""From a strength and a tolerance to a solution."""


@dataclass(frozen=True)
class Axes:
    """Features along their principal axes.

    Attributes:
        x: (N, R).
        variances: mean squares of x, (R,).
        mean: of the features, (D,).
        basis: from a kernel of `x` to one of the features, (D, R).
    """

    x: np.ndarray
    variances: np.ndarray
    mean: np.ndarray
    basis: np.ndarray

    def head(self, solution: Solution) -> list[np.ndarray]:
        """Kernel (D, K) and bias (K,) for the features themselves, float32."""
        kernel = self.basis @ solution[0]
        bias = solution[1] - self.mean @ kernel
        return [kernel.astype(np.float32), bias.astype(np.float32)]


def length_of(features: np.ndarray, rows: np.ndarray, scaling: str) -> float:
    """The length that a scaling gives all features, or 0 where it leaves them as they are.

    It is the root of the mean square of their own, so that a head has weights of the usual size.
    """
    if scaling != "unit":
        return 0.0
    return float(np.sqrt(np.square(features[rows], dtype=np.float64).sum(axis=1).mean()))


def principal_axes(
    features: np.ndarray, rows: np.ndarray, scaling: str, most_exact: int = MAX_EXACT_VALUES
) -> Axes:
    """Bring features to one length if asked for; centre, scale and rotate them.

    All of it goes by the examples at `rows`.

    Args:
        features: (N, D).
        rows: (n,) positions.
        scaling: one of `SCALINGS`.
        most_exact: values of features up to which they are multiplied in double precision.
    """
    if length := length_of(features, rows, scaling):
        norms = np.sqrt(np.square(features, dtype=np.float64).sum(axis=1, keepdims=True))
        features = features * (length / np.maximum(norms, _SHORTEST))
    dtype = np.float64 if features.size <= most_exact else np.float32
    fitted = features[rows]
    mean, scale = fitted.mean(axis=0, dtype=np.float64), fitted.std(axis=0, dtype=np.float64)
    # The weight of a feature that hardly changes is 0: MiniLM has features of 1e-31, and a weight
    # of 1e31 would make the first step of fine-tuning NaN.
    is_constant = scale <= 1e-6 * np.maximum(np.abs(mean), scale.max())
    if scaling != "standardised":
        scale = np.full_like(scale, np.sqrt(np.square(scale).mean()))
    scale[is_constant] = np.inf
    x = ((features - mean) / scale).astype(dtype)
    fitted = x[rows]
    is_wide = len(rows) < x.shape[1]
    products = fitted @ fitted.T if is_wide else fitted.T @ fitted
    squares, basis = linalg.eigh(products.astype(np.float64))
    has_length = squares > np.finfo(dtype).eps ** 0.6 * squares[-1]
    squares, basis = squares[has_length], basis[:, has_length]
    if is_wide:
        basis = fitted.T @ (basis / np.sqrt(squares))
    variances = squares / len(rows)
    return Axes(x @ basis.astype(dtype), variances, mean, basis / scale[:, None])


class Problem:
    """What a linear head learns; a base class.

    Attributes:
        strength_name: what scikit-learn calls the L2 strength.
        is_costly: whether a solution takes long, so that not all strengths are tried.
    """

    strength_name = "C"
    is_costly = True

    def named(self, strength: float) -> float:
        """A strength as `strength_name` counts it."""
        return strength

    def solver(self, axes: Axes, rows: np.ndarray) -> Solver:
        """Solves for the examples at `rows`."""
        raise NotImplementedError

    def outputs(self, axes: Axes, solution: Solution, rows: np.ndarray) -> np.ndarray:
        """Logits or numbers of the examples at `rows`, (n, K), none of them infinite."""
        return np.asarray(axes.x[rows] @ solution[0] + solution[1])

    def metrics(self, outputs: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
        """By name the metrics that are means over examples, of each one, (n,); `loss` first."""
        raise NotImplementedError

    def factor(self, outputs: np.ndarray, rows: np.ndarray) -> float:
        """What outputs are multiplied by: it suits those of held-out examples, (n, K), best."""
        return 1.0

    def strata(self) -> np.ndarray | None:
        """What folds are stratified by, (N,), where it is not what splits are stratified by."""
        return None

    def network_outputs(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs as the whole network gives them."""
        return outputs


class Classes(Problem):
    """Multinomial logistic regression; of two classes, one of a yes or no, as scikit-learn has it.

    A class that is not among the examples gets the probability that one more example of it would
    have given it, whatever the features.

    Args:
        labels: class numbers, (N,).
        weights: of each example in the loss, (N,), or None.
        classes: K.
    """

    def __init__(self, labels: np.ndarray, weights: np.ndarray | None, classes: int) -> None:
        self._labels, self._classes = labels.astype(np.int64), classes
        self._weights = np.ones(len(labels)) if weights is None else weights.astype(np.float64)

    def solver(self, axes: Axes, rows: np.ndarray) -> Solver:
        """The solution's bias of a class without examples is minus infinity."""
        labels, weights = self._labels[rows], self._weights[rows, None]
        present = np.unique(labels)
        targets = (labels[:, None] == present).astype(np.float64)
        absent_bias = np.full(self._classes, -np.inf)
        if len(present) == 1:
            absent_bias[present] = 0.0
            return lambda strength, tolerance: (
                np.zeros((len(axes.variances), self._classes)), absent_bias
            )  # fmt: skip
        is_binary = int(self._classes == 2)
        logistic = _Logistic(axes, rows, targets[:, is_binary:], weights, not is_binary)

        def solve(strength: float, tolerance: float) -> Solution:
            kernel, bias = logistic.solve(strength, tolerance)
            if is_binary:
                kernel, bias = np.hstack([-kernel, kernel]) / 2, np.hstack([-bias, bias]) / 2
            full = np.zeros((len(kernel), self._classes)), absent_bias.copy()
            full[0][:, present], full[1][present] = kernel, bias
            return full

        return solve

    def outputs(self, axes: Axes, solution: Solution, rows: np.ndarray) -> np.ndarray:
        """Logits, (n, K)."""
        logits = super().outputs(axes, solution, rows)
        absent = np.isneginf(logits)
        if absent.any():
            one_more = logsumexp(logits, axis=1, keepdims=True) - np.log(len(self._labels))
            logits = np.where(absent, one_more, logits)
        return logits

    def metrics(self, outputs: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Cross-entropy in nats, and whether the largest logit is the class's."""
        labels = self._labels[rows]
        of_label = np.take_along_axis(outputs, labels[:, None], axis=1)[:, 0]
        is_right = outputs.argmax(axis=1) == labels
        return {"loss": logsumexp(outputs, axis=1) - of_label, "accuracy": is_right.astype(float)}

    def factor(self, outputs: np.ndarray, rows: np.ndarray) -> float:
        """The inverse of the temperature with the lowest cross-entropy, of 1 to 50.

        A strong penalty makes logits small: a head that ranks well then seems unsure, and loses to
        one that is fitted too closely. Logits are not made smaller: that would spare the latter.

        One more example counts as of each class in equal parts, so that the factor stays finite
        where all are right (Platt 1999 smooths targets so).
        """
        labels, count = self._labels[rows], len(self._labels)

        def loss(logits: np.ndarray) -> float:
            of_label = np.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
            likelihood = (count * of_label + logits.mean(axis=1)) / (count + 1)
            return float((logsumexp(logits, axis=1) - likelihood).mean())

        return 1 / temperature.fit(loss, outputs, highest=1.0)[0]


class LabelSets(Problem):
    """A logistic regression for each label, with one strength for all.

    A label that all examples have, or none of them, gets a constant logit, as if there were one
    more example on each side.

    Args:
        labels: (N, K), 0 and 1.
        weights: in the loss, of examples with a label and of those without, (2, K).
    """

    def __init__(self, labels: np.ndarray, weights: np.ndarray) -> None:
        self._labels, self._weights = labels > 0.5, weights

    def solver(self, axes: Axes, rows: np.ndarray) -> Solver:
        """All labels are solved together."""
        labels = self._labels[rows]
        counts = np.stack([labels.sum(axis=0), (~labels).sum(axis=0)])
        is_constant = (counts == 0).any(axis=0)
        weights = np.where(labels, *self._weights) * ~is_constant
        logistic = _Logistic(axes, rows, labels.astype(np.float64), weights, is_softmax=False)

        def solve(strength: float, tolerance: float) -> Solution:
            kernel, bias = logistic.solve(strength, tolerance)
            odds = np.log((counts[0] + 1) / (counts[1] + 1))
            return kernel * ~is_constant, np.where(is_constant, odds, bias)

        return solve

    def metrics(self, outputs: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Cross-entropy in nats, the mean over labels, and whether all labels are right."""
        labels = self._labels[rows]
        is_right = ((outputs > 0) == labels).all(axis=1)
        losses = np.logaddexp(0.0, np.where(labels, -outputs, outputs))
        return {"loss": losses.mean(axis=1), "subset_accuracy": is_right.astype(float)}


class Numbers(Problem):
    """Ridge regression of numbers in standard deviations.

    Args:
        numbers: (N, K), of about the same scale.
        to_units: from such numbers, (n, K), to those of the user's units.
    """

    strength_name = "alpha"
    is_costly = False

    def __init__(
        self, numbers: np.ndarray, to_units: Callable[[np.ndarray], np.ndarray] = np.asarray
    ) -> None:
        self._numbers, self._to_units = numbers, to_units

    def named(self, strength: float) -> float:
        """The inverse of C."""
        return 1.0 / strength

    def solver(self, axes: Axes, rows: np.ndarray) -> Solver:
        """By the normal equations; the tolerance is not needed."""
        x, numbers = axes.x[rows].astype(np.float64), self._numbers[rows]
        x_mean, mean = x.mean(axis=0), numbers.mean(axis=0)
        x = x - x_mean
        products, sides = x.T @ x, x.T @ (numbers - mean)

        def solve(strength: float, tolerance: float) -> Solution:
            penalised = products + np.eye(len(products)) / strength
            kernel = linalg.solve(penalised, sides, assume_a="pos") if len(products) else sides
            return kernel, mean - x_mean @ kernel

        return solve

    def metrics(self, outputs: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Mean squared error in deviations, and mean absolute error in the user's units."""
        numbers = self._numbers[rows]
        in_units = self.network_outputs(outputs) - self.network_outputs(numbers)
        squares = np.square(outputs - numbers)
        return {"loss": squares.mean(axis=1), "mae": np.abs(in_units).mean(axis=1)}

    def network_outputs(self, outputs: np.ndarray) -> np.ndarray:
        """Numbers in the user's units."""
        return self._to_units(outputs)

    def strata(self) -> np.ndarray:
        """Ten bins of equal size, or of five examples where they are fewer than fifty."""
        ranks = self._numbers.mean(axis=1).argsort(kind="stable").argsort(kind="stable")
        bins = max(1, min(10, len(ranks) // 5))
        return np.asarray(ranks * bins // len(ranks))


class _Logistic:
    """Minimises sum of w * cross-entropy + |kernel|^2 / (2 C); see the top.

    Args:
        rows: positions that are fitted to, (n,).
        targets: 0 and 1, (n, K).
        weights: (n, K), or (n, 1) with `is_softmax`.
        is_softmax: one class each; else each output is a yes or no by itself.
    """

    def __init__(
        self, axes: Axes, rows: np.ndarray, targets: np.ndarray, weights: np.ndarray,
        is_softmax: bool,
    ) -> None:  # fmt: skip
        self._x = axes.x[rows]
        self._targets, self._weights, self._is_softmax = targets, weights / len(rows), is_softmax
        width = targets.shape[1]
        curvature = (width - 1) / width**2 if is_softmax else 0.25  # of even odds
        mean_weights = np.broadcast_to(weights.mean(axis=0), width)
        self._curvatures = np.outer([*axes.variances, 1.0], curvature * mean_weights + 1e-9)
        self._solutions = {0.0: np.zeros((len(axes.variances) + 1, width))}

    def solve(self, strength: float, tolerance: float) -> Solution:
        """Kernel (R, K) and bias (K,), found from the solution at the next lower strength."""
        start = self._solutions[max(key for key in self._solutions if key <= strength)]
        penalty = 1.0 / (strength * len(self._x))
        scale = self._curvatures.copy()
        scale[:-1] += penalty
        scale = np.sqrt(scale)  # the Hessian is near 1 in units of this

        def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
            solution = flat.reshape(scale.shape) / scale
            kernel, bias = solution[:-1], solution[-1]
            loss, residuals = self._loss(self._x @ kernel.astype(self._x.dtype) + bias)
            gradient = np.empty_like(scale)
            gradient[:-1] = self._x.T @ residuals.astype(self._x.dtype) + penalty * kernel
            gradient[-1] = residuals.sum(axis=0)
            value = loss + penalty / 2 * float(np.square(kernel).sum())
            return value, (gradient / scale).ravel()

        result = minimize(
            objective, (start * scale).ravel(), jac=True, method="L-BFGS-B",
            options={"maxiter": _ITERATIONS, "gtol": tolerance, "ftol": 0.1 * tolerance**2},
        )  # fmt: skip
        solution = self._solutions[strength] = result.x.reshape(scale.shape) / scale
        return solution[:-1], solution[-1]

    def _loss(self, logits: np.ndarray) -> tuple[float, np.ndarray]:
        """The weighted mean of the cross-entropies, and its gradient by the logits, (n, K)."""
        of_target = (logits * self._targets).sum(axis=1, keepdims=True)
        if not self._is_softmax:
            losses = np.logaddexp(0.0, logits) - logits * self._targets
            residuals = expit(logits) - self._targets
        else:
            highest = logits.max(axis=1, keepdims=True)
            residuals = np.exp(logits - highest)
            totals = residuals.sum(axis=1, keepdims=True)
            losses = np.log(totals) + highest - of_target
            residuals = residuals / totals - self._targets
        return float((self._weights * losses).sum()), self._weights * residuals
