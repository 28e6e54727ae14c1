"""Linear probe: the convex optimum of a linear head on fixed features.

Classes and sets of labels are solved by L-BFGS, numbers in closed form.

N examples, D features, C classes, K labels or numbers.
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss

from fmkit.tasks.base import LinearHead

STRENGTHS = tuple(float(value) for value in np.logspace(-5, 2, 15))
"""The inverse L2 strengths to try, scikit-learn's C: half a decade apart."""

_ITERATIONS = 1000

_S = TypeVar("_S")


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
    x, x_val, unscale = _standardise(features, validation[0])
    model = LogisticRegression(C=STRENGTHS[0], max_iter=_ITERATIONS, warm_start=True, tol=1e-4)

    def solve(strength: float) -> tuple[float, tuple[np.ndarray, np.ndarray]]:
        model.set_params(C=strength).fit(x, labels, sample_weight=weights)
        probabilities = model.predict_proba(x_val)
        loss = float(log_loss(validation[1], probabilities, labels=np.arange(classes)))
        return loss, (model.coef_.copy(), model.intercept_.copy())

    strength, solution, losses = _search(solve)
    model.coef_, model.intercept_ = solution
    model.set_params(C=strength, tol=1e-6).fit(x, labels, sample_weight=weights)
    kernel, bias = model.coef_, model.intercept_
    if len(kernel) == 1:  # for two classes scikit-learn has one logit, of which each gets half
        kernel, bias = np.concatenate([-kernel, kernel]) / 2, np.concatenate([-bias, bias]) / 2
    return unscale(kernel.T, bias, "C", strength, losses)


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


def _standardise(
    features: np.ndarray, validation: np.ndarray
) -> tuple[np.ndarray, np.ndarray, Callable[..., LinearHead]]:
    """Both in standard deviations of the training features, (., D) float64, and a function that
    makes a head for the features themselves of the solution for these."""
    features = features.astype(np.float64)
    mean, scale = features.mean(axis=0), features.std(axis=0)
    # The weight of a feature that hardly changes is 0: MiniLM has features of 1e-31, and a weight
    # of 1e31 would make the first step of fine-tuning NaN.
    scale[scale <= 1e-6 * np.maximum(np.abs(mean), scale.max())] = np.inf

    def unscale(
        kernel: np.ndarray, bias: np.ndarray, name: str, strength: float, losses: dict[float, float]
    ) -> LinearHead:
        kernel = kernel / scale[:, None]
        bias = bias - mean @ kernel
        record = {name: strength, f"validation_loss_by_{name}": losses}
        return {"logits": [kernel.astype(np.float32), bias.astype(np.float32)]}, record

    return (features - mean) / scale, (validation - mean) / scale, unscale


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
    x, x_val, unscale = _standardise(features, validation[0])
    solvers = [_label_solver(x, label > 0.5, weights[:, k]) for k, label in enumerate(labels.T)]

    def solve(strength: float) -> tuple[float, list[tuple[np.ndarray, float]]]:
        solutions = [solver(strength, 1e-4, None) for solver in solvers]
        logits = np.stack([x_val @ kernel + bias for kernel, bias in solutions], axis=1)
        signed = np.where(validation[1] > 0.5, -logits, logits)
        return float(np.logaddexp(0.0, signed).mean()), solutions

    strength, solutions, losses = _search(solve)
    pairs = zip(solvers, solutions, strict=True)
    kernels, biases = zip(*(solver(strength, 1e-6, start) for solver, start in pairs), strict=True)
    return unscale(np.stack(kernels, axis=1), np.array(biases), "C", strength, losses)


def _label_solver(
    x: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> Callable[..., tuple[np.ndarray, float]]:
    """One label's logistic regression: from a strength, a tolerance and a solution to start from
    (None: the last one) to kernel (D,) and bias.

    Args:
        x: standardised features, (N, D).
        labels: (N,) bool.
        weights: of True and of False.
    """
    count, positives = len(labels), int(labels.sum())
    sample_weight = np.where(labels, *weights)
    model = LogisticRegression(max_iter=_ITERATIONS, warm_start=True)

    def solve(
        strength: float, tol: float, start: tuple[np.ndarray, float] | None
    ) -> tuple[np.ndarray, float]:
        if positives in (0, count):
            return np.zeros(x.shape[1]), float(np.log((positives + 1) / (count - positives + 1)))
        if start is not None:
            model.coef_, model.intercept_ = start[0][None], np.array([start[1]])
        model.set_params(C=strength, tol=tol).fit(x, labels, sample_weight=sample_weight)
        return model.coef_[0].copy(), float(model.intercept_[0])

    return solve


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
    x, x_val, unscale = _standardise(features, validation[0])
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
    return unscale(*solutions[best], "alpha", best, losses)
