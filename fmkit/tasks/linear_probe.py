"""The convex optimum of a linear head on fixed features: of classes and of sets of labels found by
L-BFGS, of numbers in closed form.

N examples, D features, C classes, K labels or numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss

STRENGTHS = tuple(float(each) for each in np.logspace(-5, 2, 15))
"""Inverse L2 strengths that are tried, scikit-learn's C: half a decade apart."""

_ITERATIONS = 1000


@dataclass(frozen=True)
class LinearHead:
    """A fitted head: logits, or numbers, = features @ kernel + bias.

    Attributes:
        kernel: (D, C) or (D, K) float32.
        bias: (C,) or (K,) float32.
        strength: the C or alpha that was chosen.
        losses: validation loss by each of those that was tried.
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

    The features are standardised by the training examples, so that one penalty suits them all, and
    the scale is folded into the weights afterwards. The strengths are tried from the strongest
    penalty on, each from the solution of the one before, until two have not got better; the best is
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
    best: tuple[float, float, np.ndarray, np.ndarray] | None = None
    losses: dict[float, float] = {}
    for strength in STRENGTHS:
        model.set_params(C=strength).fit(x, labels, sample_weight=weights)
        losses[strength] = loss = float(
            log_loss(validation[1], model.predict_proba(x_val), labels=np.arange(classes))
        )
        if best is None or loss < best[1]:
            best = (strength, loss, model.coef_.copy(), model.intercept_.copy())
        elif list(losses.values())[-2] > best[1]:
            break
    if best is None:
        raise RuntimeError("no strength was tried")
    model.coef_, model.intercept_ = best[2], best[3]
    model.set_params(C=best[0], tol=1e-6).fit(x, labels, sample_weight=weights)
    kernel, bias = _both_classes(model.coef_, model.intercept_)
    kernel = kernel.T / scale[:, None]
    return LinearHead(
        kernel.astype(np.float32), (bias - mean @ kernel).astype(np.float32), best[0], losses
    )


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each feature, (D,) float64; the deviation of one that hardly changes is
    infinite, so that it gets no weight.

    MiniLM has features of 1e-31, and a weight as large as the inverse of one would make the first
    step of fine-tuning NaN.
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

    Standardised, tried and solved as by `fit`. A label that all training examples have, or none,
    gets a constant, that of one example more on each side.

    Args:
        features: (N, D).
        labels: (N, K), 0 and 1.
        weights: in the loss, of examples with a label and of those without, (2, K).
        validation: features and labels to choose by.
    """
    mean, scale = _moments(features)
    x, x_val = (features - mean) / scale, (validation[0] - mean) / scale
    heads = [_Binary(x, truth, weights[:, k]) for k, truth in enumerate(labels.T)]
    best: tuple[float, float, list[tuple[np.ndarray, float]]] | None = None
    losses: dict[float, float] = {}
    for strength in STRENGTHS:
        found = [each.solved(strength, tol=1e-4) for each in heads]
        logits = np.stack([x_val @ kernel + bias for kernel, bias in found], axis=1)
        wrong = np.where(validation[1] > 0.5, -logits, logits)
        losses[strength] = loss = float(np.logaddexp(0.0, wrong).mean())
        if best is None or loss < best[1]:
            best = (strength, loss, found)
        elif list(losses.values())[-2] > best[1]:
            break
    if best is None:
        raise RuntimeError("no strength was tried")
    exact = [
        each.solved(best[0], tol=1e-6, start=start)
        for each, start in zip(heads, best[2], strict=True)
    ]
    kernel = np.stack([each for each, _ in exact], axis=1) / scale[:, None]
    bias = np.array([each for _, each in exact]) - mean @ kernel
    return LinearHead(kernel.astype(np.float32), bias.astype(np.float32), best[0], losses)


class _Binary:
    """One label's logistic regression, solved for one strength after the other.

    Args:
        x: standardised features, (N, D).
        truth: 0 and 1, (N,).
        weights: of 1 and of 0.
    """

    def __init__(self, x: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> None:
        self._x, self._truth = x, truth > 0.5
        self._weights = np.where(self._truth, *weights)
        self._model = LogisticRegression(max_iter=_ITERATIONS, warm_start=True)

    def solved(
        self, strength: float, tol: float, start: tuple[np.ndarray, float] | None = None
    ) -> tuple[np.ndarray, float]:
        """Kernel (D,) and bias; from `start`, or from the last solution."""
        count, has = len(self._truth), int(self._truth.sum())
        if has in (0, count):
            return np.zeros(self._x.shape[1]), float(np.log((has + 1) / (count - has + 1)))
        if start is not None:
            self._model.coef_, self._model.intercept_ = start[0][None], np.array([start[1]])
        self._model.set_params(C=strength, tol=tol)
        self._model.fit(self._x, self._truth, sample_weight=self._weights)
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
    found: dict[float, tuple[float, np.ndarray, np.ndarray]] = {}
    for strength in STRENGTHS:
        alpha = 1.0 / strength
        model = Ridge(alpha=alpha).fit(x, numbers)
        kernel = model.coef_.reshape(numbers.shape[1], -1).T
        bias = np.broadcast_to(model.intercept_, (numbers.shape[1],))
        loss = float(np.square(x_val @ kernel + bias - validation[1]).mean())
        found[alpha] = (loss, kernel, bias)
    best = min(found, key=lambda each: found[each][0])
    kernel = found[best][1] / scale[:, None]
    bias = found[best][2] - mean @ kernel
    losses = {alpha: loss for alpha, (loss, _, _) in found.items()}
    return LinearHead(kernel.astype(np.float32), bias.astype(np.float32), best, losses)


def _both_classes(kernel: np.ndarray, bias: np.ndarray) -> tuple[Any, Any]:
    """Of two classes scikit-learn keeps the second's logit against the first: half for each."""
    if len(kernel) > 1:
        return kernel, bias
    return np.concatenate([-kernel, kernel]) / 2, np.concatenate([-bias, bias]) / 2
