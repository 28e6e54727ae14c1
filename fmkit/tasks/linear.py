"""The convex optimum of a linear softmax head, found by L-BFGS on fixed features.

N examples, D features, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

STRENGTHS = tuple(float(each) for each in np.logspace(-5, 2, 15))
"""Inverse L2 strengths that are tried, scikit-learn's C: half a decade apart."""

_ITERATIONS = 1000


@dataclass(frozen=True)
class LinearHead:
    """A fitted head: logits = features @ kernel + bias.

    Attributes:
        kernel: (D, C) float32.
        bias: (C,) float32.
        strength: the C that was chosen.
        losses: validation loss in nats by each C that was tried.
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
    features = features.astype(np.float64)
    mean, scale = features.mean(axis=0), features.std(axis=0)
    # Features that hardly change are left alone: MiniLM has some of 1e-31, and a weight as large as
    # its inverse would make the first step of fine-tuning NaN.
    scale[scale <= 1e-6 * np.maximum(np.abs(mean), scale.max())] = np.inf
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


def _both_classes(kernel: np.ndarray, bias: np.ndarray) -> tuple[Any, Any]:
    """Of two classes scikit-learn keeps the second's logit against the first: half for each."""
    if len(kernel) > 1:
        return kernel, bias
    return np.concatenate([-kernel, kernel]) / 2, np.concatenate([-bias, bias]) / 2
