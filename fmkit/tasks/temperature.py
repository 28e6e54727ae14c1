"""Temperature scaling: the one divisor of logits that suits the targets best.

Guo et al. 2017, On Calibration of Modern Neural Networks, arxiv.org/abs/1706.04599. The loss of a
network that is too sure of itself says little about how well it ranks; after scaling it does.
"""

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize_scalar


def fit(
    loss: Callable[[np.ndarray], float], logits: np.ndarray, highest: float = 50.0
) -> tuple[float, float]:
    """The temperature, from 1/50 to `highest`, and the loss of the logits divided by it.

    Args:
        loss: the mean loss of logits, in nats.
        logits: (N, K).
    """
    logits = np.asarray(logits, np.float64)

    def scaled(log_factor: float) -> float:
        return loss(logits * np.exp(log_factor))

    bounds = (-float(np.log(highest)), float(np.log(50)))
    result = minimize_scalar(scaled, bounds=bounds, method="bounded")
    return float(np.exp(-result.x)), float(result.fun)


def calibrated_loss(loss: Callable[[np.ndarray], float], logits: np.ndarray) -> float:
    """The loss of logits after temperature scaling; see `fit`."""
    return fit(loss, logits)[1]
