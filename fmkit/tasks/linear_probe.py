"""Linear probe: the convex optimum of a linear head on fixed features.

Classes and sets of labels are solved by L-BFGS, numbers in closed form.

N examples, D features, C classes, K labels or numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss

STRENGTHS = tuple(float(value) for value in np.logspace(-5, 2, 15))
"""The inverse L2 strengths to try, scikit-learn's C: half a decade apart."""

_ITERATIONS = 1000

_S = TypeVar("_S")


@dataclass(frozen=True)
class LinearHead:
    """A fitted head: logits, or numbers, = features @ kernel + bias.

    Attributes:
        kernel: (D, C) or (D, K) float32.
        bias: (C,) or (K,) float32.
        strength: the chosen C or alpha.
        losses: validation loss by strength.
    """

    kernel: np.ndarray
    bias: np.ndarray
    strength: float
    losses: dict[float, float]


def fit(
    features: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None,
    validation: tuple[np.ndarray, np.ndarray],
    classes: int,
) -> LinearHead:
    """Multinomial logistic regression; the L2 strength has the lowest validation loss.

    The features are standardised by the training examples, so that one penalty suits all, and the
    scale is folded into the weights afterwards. The strengths are tried from the strongest penalty
    on, each from the solution of the one before, until two in a row do not improve; the best one is
    then solved more exactly.

    Args:
        features: (N, D).
        labels: class numbers, (N,); every class occurs.
        weights: of each example in the loss, (N,), or None.
        validation: features and labels to choose by.
        classes: C.
    """
    mean, scale = _moments(features)
    x, x_val = (features - mean) / scale, (validation[0] - mean) / scale
    model = LogisticRegression(C=STRENGTHS[0], max_iter=_ITERATIONS, warm_start=True, tol=1e-4)

    def solve(strength: float) -> tuple[float, tuple[np.ndarray, np.ndarray]]:
        model.set_params(C=strength).fit(x, labels, sample_weight=weights)
        probabilities = model.predict_proba(x_val)
        loss = float(log_loss(validation[1], probabilities, labels=np.arange(classes)))
        return loss, (model.coef_.copy(), model.intercept_.copy())

    strength, solution, losses = _search(solve)
    model.coef_, model.intercept_ = solution
    model.set_params(C=strength, tol=1e-6).fit(x, labels, sample_weight=weights)
    kernel, bias = _both_classes(model.coef_, model.intercept_)
    return _unscale(kernel.T, bias, mean, scale, strength, losses)


def _search(solve: Callable[[float], tuple[float, _S]]) -> tuple[float, _S, dict[float, float]]:
    """The strength with the lowest loss, its solution, and the losses by strength.

    Args:
        solve: from a strength to its validation loss and a solution.
    """
    losses: dict[float, float] = {}
    best = np.inf
    for strength in STRENGTHS:
        losses[strength], solution = solve(strength)
        if len(losses) == 1 or losses[strength] < best:
            best, best_strength, best_solution = losses[strength], strength, solution
        elif list(losses.values())[-2] > best:
            break
    return best_strength, best_solution, losses


def _unscale(
    kernel: np.ndarray,
    bias: np.ndarray,
    mean: np.ndarray,
    scale: np.ndarray,
    strength: float,
    losses: dict[float, float],
) -> LinearHead:
    """A head for standardised features as one for the features themselves."""
    kernel = kernel / scale[:, None]
    bias = bias - mean @ kernel
    return LinearHead(kernel.astype(np.float32), bias.astype(np.float32), strength, losses)


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each feature, (D,) float64.

    The deviation of a feature that hardly changes is infinite, so that its weight is 0: MiniLM has
    features of 1e-31, and a weight of 1e31 would make the first step of fine-tuning NaN.
    """
    features = features.astype(np.float64)
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale <= 1e-6 * np.maximum(np.abs(mean), scale.max())] = np.inf
    return mean, scale


def fit_labels(
    features: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    validation: tuple[np.ndarray, np.ndarray],
) -> LinearHead:
    """A logistic regression for each label; one L2 strength has the lowest validation loss.

    Standardised, tried and solved as by `fit`. A label that all training examples have, or none of
    them, gets a constant logit, as if there were one more example on each side.

    Args:
        features: (N, D).
        labels: (N, K), 0 and 1.
        weights: in the loss, of examples with a label and of those without, (2, K).
        validation: features and labels to choose by.
    """
    mean, scale = _moments(features)
    x, x_val = (features - mean) / scale, (validation[0] - mean) / scale
    models = [_BinaryHead(x, label, weights[:, k]) for k, label in enumerate(labels.T)]

    def solve(strength: float) -> tuple[float, list[tuple[np.ndarray, float]]]:
        solutions = [model.solve(strength, tol=1e-4) for model in models]
        logits = np.stack([x_val @ kernel + bias for kernel, bias in solutions], axis=1)
        signed = np.where(validation[1] > 0.5, -logits, logits)
        return float(np.logaddexp(0.0, signed).mean()), solutions

    strength, solutions, losses = _search(solve)
    exact = [
        model.solve(strength, tol=1e-6, start=start)
        for model, start in zip(models, solutions, strict=True)
    ]
    kernel = np.stack([kernel for kernel, _ in exact], axis=1)
    bias = np.array([bias for _, bias in exact])
    return _unscale(kernel, bias, mean, scale, strength, losses)


class _BinaryHead:
    """One label's logistic regression, solved for one strength after the other.

    Args:
        x: standardised features, (N, D).
        labels: 0 and 1, (N,).
        weights: of 1 and of 0.
    """

    def __init__(self, x: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> None:
        self._x, self._labels = x, labels > 0.5
        self._weights = np.where(self._labels, *weights)
        self._model = LogisticRegression(max_iter=_ITERATIONS, warm_start=True)

    def solve(
        self, strength: float, tol: float, start: tuple[np.ndarray, float] | None = None
    ) -> tuple[np.ndarray, float]:
        """Kernel (D,) and bias; from `start`, or from the last solution."""
        count, positives = len(self._labels), int(self._labels.sum())
        if positives in (0, count):
            odds = (positives + 1) / (count - positives + 1)
            return np.zeros(self._x.shape[1]), float(np.log(odds))
        if start is not None:
            self._model.coef_, self._model.intercept_ = start[0][None], np.array([start[1]])
        self._model.set_params(C=strength, tol=tol)
        self._model.fit(self._x, self._labels, sample_weight=self._weights)
        return self._model.coef_[0].copy(), float(self._model.intercept_[0])


def fit_numbers(
    features: np.ndarray, numbers: np.ndarray, validation: tuple[np.ndarray, np.ndarray]
) -> LinearHead:
    """Ridge regression; the L2 strength has the lowest mean squared error in validation.

    The strengths are scikit-learn's alpha, the inverses of those of `fit`.

    Args:
        features: (N, D).
        numbers: (N, K), of about the same scale.
        validation: features and numbers to choose by.
    """
    mean, scale = _moments(features)
    x, x_val = (features - mean) / scale, (validation[0] - mean) / scale
    losses: dict[float, float] = {}
    solutions: dict[float, tuple[np.ndarray, np.ndarray]] = {}
    for strength in STRENGTHS:
        alpha = 1.0 / strength
        model = Ridge(alpha=alpha).fit(x, numbers)
        kernel = model.coef_.reshape(numbers.shape[1], -1).T
        bias = np.broadcast_to(model.intercept_, (numbers.shape[1],))
        losses[alpha] = float(np.square(x_val @ kernel + bias - validation[1]).mean())
        solutions[alpha] = kernel, bias
    best = min(losses, key=lambda alpha: losses[alpha])
    return _unscale(*solutions[best], mean, scale, best, losses)


def _both_classes(kernel: np.ndarray, bias: np.ndarray) -> tuple[Any, Any]:
    """Weights for each class: for two, scikit-learn has one logit, of which each gets half."""
    if len(kernel) > 1:
        return kernel, bias
    return np.concatenate([-kernel, kernel]) / 2, np.concatenate([-bias, bias]) / 2
