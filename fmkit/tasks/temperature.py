"""Temperature scaling: the loss of logits after the one factor that suits the targets best.

Guo et al. 2017, On Calibration of Modern Neural Networks, arxiv.org/abs/1706.04599. The loss of a
network that is too sure of itself says little about how well it ranks; after scaling it does.
"""

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize_scalar


def calibrated_loss(loss: Callable[[np.ndarray], float], logits: np.ndarray) -> float:
    """The lowest loss of logits that are all multiplied by one factor, of 1/50 to 50.

    Args:
        loss: the mean loss of logits, in nats.
        logits: (N, K).
    """
    logits = np.asarray(logits, np.float64)

    def scaled(log_factor: float) -> float:
        return loss(logits * np.exp(log_factor))

    bound = float(np.log(50))
    return float(minimize_scalar(scaled, bounds=(-bound, bound), method="bounded").fun)
